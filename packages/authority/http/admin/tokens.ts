/** `/tokens/inspections`: between the wire and administration/inspect.ts. */
import { type InspectParts, look } from '../../administration/inspect.ts'
import { given } from './page.ts'
import type { Some } from './parts.ts'

export function tokenHandlers(parts: InspectParts): Some<'inspectToken'> {
  return {
    async inspectToken({ body }) {
      const { kind, alive, reason, ids, expiresAt, revokedBy } = await look(body.token, parts)
      const ended = revokedBy && {
        kind: revokedBy.kind,
        id: revokedBy.target,
        seq: revokedBy.seq,
        at_ms: revokedBy.atMs,
        reason: revokedBy.reason,
      }
      return { kind, alive, reason, ids: given(ids) as Record<string, string>, expires_at: expiresAt, revoked_by: ended }
    },
  }
}
