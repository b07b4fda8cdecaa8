/** `/backups`: between the wire and administration/backups.ts. */
import { type BackupParts, listBackups, makeBackup } from '../../administration/backups.ts'
import { onlyOne } from '../../administration/only-one.ts'
import type { Some } from './parts.ts'

export function backupHandlers(parts: BackupParts): Some<'listBackups' | 'startBackup'> {
  const copying = onlyOne()
  return {
    async listBackups() {
      const backups = await listBackups(parts)
      return { items: backups.map(({ name, bytes, createdAt }) => ({ name, bytes, created_at: createdAt })) }
    },
    startBackup: ({ body }, { actor }) =>
      copying(async function* () {
        const beganMs = parts.clock.monotonic()
        const copy = makeBackup(body.name, actor, parts)
        let step = await copy.next()
        for (; step.done !== true; step = await copy.next()) yield { kind: 'progress' as const, ...step.value }
        const { name, bytes } = step.value
        yield { kind: 'result' as const, name, bytes, took_ms: parts.clock.monotonic() - beganMs }
      }),
  }
}
