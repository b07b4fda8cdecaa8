/** What the key ring learns from the log: another node's compromise at once, and that the store may have gone back in time. */
import type { KeyRing } from './keys/key-ring.ts'
import type { Registry } from './revocation/registry.ts'

export function keysFollowLog(
  registry: Pick<Registry, 'follow' | 'position'>,
  keys: Pick<KeyRing, 'refresh' | 'doubt'>,
  issuer: string,
): void {
  let known = registry.position?.epoch
  registry.follow({
    applied(_epoch, entries) {
      if (entries.some((entry) => entry.kind === 'key' && entry.issuer === issuer)) void keys.refresh().catch(() => {})
    },
    reset({ epoch }) {
      if (epoch !== known) keys.doubt()
      known = epoch
    },
  })
}
