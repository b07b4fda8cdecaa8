/** Who administers, as the audit record calls them. */
import type { AuditActor } from '../audit/events.ts'

export type Administrator = Extract<AuditActor, `client:${string}` | `subject:${string}` | `operator:${string}`>

/** Who asks, and the key by which they know their request again. */
export interface Asker {
  readonly actor: Administrator
  readonly idempotencyKey: string | undefined
}
