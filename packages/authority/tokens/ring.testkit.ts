/** Ring keys from nothing but their versions, for tests that need no store. */
import { createHmac } from 'node:crypto'
import type { KeyRing } from '../keys/key-ring.ts'

/** Versions `oldest` to `newest`; those in `lost` were compromised. */
export function testRing(oldest: number, newest: number, lost: readonly number[] = []): Pick<KeyRing, 'ring' | 'isAhead'> {
  return {
    ring(version = newest) {
      if (version < oldest || version > newest || lost.includes(version)) return undefined
      return { version, hmac: (data) => createHmac('sha256', `ring key ${version}`).update(data).digest() }
    },
    isAhead: (version) => version > newest,
  }
}
