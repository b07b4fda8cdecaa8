/** Signing keys: their schedule, handing over, the emergency exit. */
import type { KeyId } from '@signet/kernel/ids.ts'
import { refuse } from '../../administration/reasons.ts'
import type { AdminParts, Some } from './parts.ts'
import { showReceipt } from './revocations.ts'

type KeyRecord = ReturnType<AdminParts['keys']['records']>[number]

type Parts = Pick<AdminParts, 'keys' | 'revoker' | 'issuer'>

export function keyHandlers({ keys, revoker, issuer }: Parts): Some<'listKeys' | 'rotateKey' | 'compromiseKey'> {
  return {
    async listKeys() {
      await keys.refresh() // Another node may have moved one on.
      return { items: keys.records().map(show) }
    },

    async rotateKey({ body }, { actor }) {
      const id = await keys.rotate(body.purpose, actor, { force: body.force })
      const key = find(id)
      return { id, purpose: key.purpose, state: key.state, active_at: key.activeAt }
    },

    async compromiseKey({ params, body }, { actor }) {
      await keys.refresh()
      const id = find(params.id as KeyId).id
      const target = { kind: 'key' as const, id }
      return showReceipt(target, issuer, await revoker.revoke(target, { reason: body.reason, actor }))
    },
  }

  function find(id: KeyId): KeyRecord {
    const key = keys.records().find((record) => record.id === id)
    if (key === undefined) throw refuse('not_found', 'unknown_key')
    return key
  }
}

const show = (key: KeyRecord) => ({
  id: key.id,
  purpose: key.purpose,
  alg: key.alg,
  state: key.state,
  version: key.version,
  created_at: key.createdAt,
  active_at: key.activeAt,
  retiring_at: key.retiringAt,
  retired_at: key.retiredAt,
  ...(key.publicJwk === undefined ? {} : { public_jwk: JSON.parse(key.publicJwk) as Record<string, unknown> }),
})
