/** Who administers, as the audit record calls them. */
import type { AuditActor } from '../audit/events.ts'

export type Administrator = Extract<AuditActor, `client:${string}` | `subject:${string}` | `operator:${string}`>
