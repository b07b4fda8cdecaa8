/**
 * Deliberate defects, each the kind of mistake that an innocent change could make. They are put between the parts, never into the product.
 * The simulation must find every one of them: otherwise its silence about the product means nothing.
 */

import { guardMilliseconds } from '@signet/authority/policy/settings.ts'
import type { FamilyStanding } from '@signet/authority/store/ports/families.ts'
import type { Store, Tx } from '@signet/authority/store/store.ts'
import { signJwt } from '@signet/authority/tokens/jwt.ts'
import { parseRefreshToken } from '@signet/authority/tokens/refresh-token.ts'
import { HEAD_TYPE, type HeadPayload } from '@signet/kernel/feed.ts'
import { createRevocationView, type RevocationBatch, type RevocationView } from '@signet/kernel/revocation-view.ts'
import { FeedClient } from '@signet/validator/feed-client.ts'
import { ISSUER } from './names.ts'
import { overlay } from './store.ts'
import type { Tampering } from './tampering.ts'

export interface Mutant {
  readonly name: string
  readonly tampering: Tampering
  /** A seed that found it, tried first; the search goes on from 1. */
  readonly seed: number
}

export const MUTANTS: readonly Mutant[] = [
  {
    name: 'grace answers are given without a look at client and key',
    seed: 17,
    tampering: {
      async caller(caller, token, { truth }) {
        const presented = parseRefreshToken(token)
        const family = presented && (await truth().families.find(presented.family))?.family
        if (family === undefined || presented === undefined || presented.generation !== family.generation - 1) return caller
        const record = { ...caller.client.record, id: family.terms.client }
        return { ...caller, jkt: family.jkt, client: { ...caller.client, record } }
      },
    },
  },
  {
    name: 'grace has no end',
    seed: 178,
    tampering: {
      store: (store, { machine }) =>
        withFamily(store, (standing) => ({
          ...standing,
          family: { ...standing.family, rotatedAtMs: machine.surroundings.clock.now() },
        })),
    },
  },
  {
    name: 'a rotation rests on an old read and does not compare',
    seed: 1,
    tampering: {
      store(store) {
        const remembered = new Map<string, FamilyStanding>()
        const reading = withFamily(store, (standing) => {
          const known = remembered.get(standing.family.id)
          if (known === undefined) remembered.set(standing.family.id, standing)
          return known ?? standing
        })
        return withTx(reading, (tx) =>
          overlay(tx, {
            families: overlay(tx.families, { rotate: async (rotation: never) => (await tx.families.rotate(rotation)) || true }),
          }),
        )
      },
    },
  },
  {
    name: 'the head is answered from memory',
    seed: 5,
    tampering: {
      hub: (hub, { registry, keys }) =>
        overlay(hub, {
          async head(probe: string) {
            const { epoch = '', seq = 0 } = registry.position ?? {}
            const payload: HeadPayload = { iss: ISSUER, epoch, seq, probe, age_ms: 0 }
            return signJwt(keys.signer('feed'), { typ: HEAD_TYPE }, payload)
          },
        }),
    },
  },
  {
    name: 'cutoffs have no guard',
    seed: 10,
    tampering: {
      revokerStore(store, { settings }) {
        const guardMs = guardMilliseconds(settings)
        const earlier = overlay(store, { now: async () => (await store.now()) - guardMs })
        return withTx(earlier, (tx) => overlay(tx, { nowMs: tx.nowMs - guardMs }))
      },
    },
  },
  {
    name: 'entries are forgotten by the policy of today',
    seed: 27,
    tampering: {
      revokerStore: (store) => withTx(store, (tx) => overlay(tx, { meta: overlay(tx.meta, { tokenSeconds: async () => 0 }) })),
    },
  },
  {
    name: 'a node mints whatever its clock and its knowledge',
    seed: 41,
    tampering: { registry: (registry) => overlay(registry, { assertMayMint: () => {} }) },
  },
  {
    name: 'a node issues past a revocation that it has not read',
    seed: 48,
    tampering: { registry: (registry) => overlay(registry, { reachMs: Number.POSITIVE_INFINITY }) },
  },
  {
    name: 'new tokens are not lifted past cutoffs',
    seed: 3,
    tampering: { mint: (mint) => ({ ...mint, accessToken: (request) => mint.accessToken({ ...request, floorMs: 0 }) }) },
  },
  {
    name: 'staleness counts from the answer',
    seed: 5,
    tampering: { staleness: (milliseconds, tookMs) => Math.max(0, milliseconds - tookMs) },
  },
  {
    name: 'a relay passes its own age off as none',
    seed: 2,
    tampering: { relaySign: (sign) => (typ, payload) => sign(typ, typ === HEAD_TYPE ? { ...payload, age_ms: 0 } : payload) },
  },
  {
    name: 'every probe is the same',
    seed: 8,
    tampering: {
      validator(options) {
        const { surroundings } = options
        if (surroundings === undefined) return options
        const bytes = (count: number) => (count === 16 ? new Uint8Array(16) : surroundings.chance.bytes(count))
        return { ...options, surroundings: { ...surroundings, chance: { bytes } } }
      },
    },
  },
  {
    name: 'gaps are passed over',
    seed: 69,
    tampering: {
      install: () =>
        replaced(
          Object.getPrototypeOf(createRevocationView()) as RevocationView,
          'applyBatch',
          (real) =>
            function (this: RevocationView, batch: RevocationBatch, limit: never) {
              if (batch.epoch === this.position?.epoch && batch.from > this.position.seq + 1)
                this.advance({ epoch: batch.epoch, seq: batch.from - 1 })
              return real.call(this, batch, limit)
            },
        ),
    },
  },
  {
    name: 'another epoch drops every cutoff at once',
    seed: 2,
    tampering: {
      install: () =>
        replaced(
          FeedClient.prototype as unknown as { resync(why: string): void; parts: { view: RevocationView } },
          'resync',
          (real) =>
            function (this: { resync(why: string): void; parts: { view: RevocationView } }, why: string) {
              const { view } = this.parts
              if (view.position !== undefined && view.salt !== undefined) view.begin(view.position, view.salt)
              real.call(this, why)
            },
        ),
    },
  },
]

/** By a part of its name. Throws when there is none. */
export function mutantNamed(part: string, among: readonly Mutant[] = MUTANTS): Mutant {
  const mutant = among.find(({ name }) => name.includes(part))
  if (mutant === undefined) throw new Error(`no mutant is called "${part}"`)
  return mutant
}

function withFamily(store: Store, change: (standing: FamilyStanding) => FamilyStanding): Store {
  const find = async (id: never) => {
    const standing = await store.families.find(id)
    return standing === undefined ? undefined : change(standing)
  }
  return overlay(store, { families: overlay(store.families, { find }) })
}

function withTx(store: Store, change: (tx: Tx) => Tx): Store {
  return overlay(store, { transact: <T>(work: (tx: Tx) => Promise<T>) => store.transact((tx) => work(change(tx))) })
}

/** Puts another method in the place of one, and says how to put it back. */
function replaced<T extends object, Name extends keyof T>(
  on: T,
  name: Name,
  by: (real: Extract<T[Name], (...all: never[]) => unknown>) => unknown,
): () => void {
  const real = on[name]
  Object.assign(on, { [name]: by(real as never) })
  return () => void Object.assign(on, { [name]: real })
}
