/** The moves of the schedule as transitions of the store. Each either happens wholly, by this node, or throws `MoveLost`. */
import { type KeyId, newId } from '@signet/kernel/ids.ts'
import type { Chance } from '@signet/kernel/surroundings.ts'
import { epochSeconds } from '@signet/kernel/surroundings.ts'
import { type AuditActor, type AuditDetail, type AuditEventType, audited } from '../audit/events.ts'
import type { PolicySettings } from '../policy/settings.ts'
import type { KeyPurpose, KeyRecord, KeyState } from '../store/ports/keys.ts'
import type { Tx } from '../store/store.ts'
import { generatePrivateKey, generatePrivateKeySync, isSigningAlgorithm } from './algorithms.ts'
import {
  algorithmFor,
  dropPrivatePart,
  isSpent,
  type Material,
  type NewKey,
  RING_ALGORITHM,
  RING_KEY_BYTES,
  sealKey,
} from './key-record.ts'
import type { MasterKey } from './master-key.ts'
import type { KeyMove } from './schedule.ts'

/** Another node made the move first; nothing of this one remains. */
export class MoveLost extends Error {}

export interface MoveParts {
  readonly master: MasterKey
  readonly chance: Chance
}

/** Makes the key material a move needs. Before the transaction, since RSA takes its time. */
export async function materialFor(move: KeyMove, chance: Chance): Promise<Material | undefined> {
  if (move.kind !== 'create') return undefined
  if (move.alg === RING_ALGORITHM) return { kind: 'ring', bytes: chance.bytes(RING_KEY_BYTES) }
  if (!isSigningAlgorithm(move.alg)) throw new Error(`no such signing algorithm: ${move.alg}`)
  return { kind: 'signing', alg: move.alg, key: await generatePrivateKey(move.alg) }
}

export async function makeMove(
  tx: Tx,
  move: KeyMove,
  material: Material | undefined,
  parts: MoveParts,
  actor: AuditActor,
): Promise<void> {
  const nowAt = epochSeconds(tx.nowMs)
  switch (move.kind) {
    case 'create': {
      if (material === undefined) throw new Error('a new key needs its material')
      won(await create(tx, material, move, parts, actor))
      return
    }
    case 'activate': {
      if (move.active !== undefined) {
        const times = { retiringAt: nowAt, retiredAt: Math.max(move.retiredAt, nowAt) }
        won(await tx.keys.move(move.active.id, 'active', 'retiring', times))
      }
      won(await tx.keys.move(move.next.id, 'next', 'active', { activeAt: nowAt }))
      record(tx, parts, 'key.activated', actor, move.next, move.active === undefined ? {} : { replaces: move.active.id })
      return
    }
    case 'advance':
      won(await tx.keys.move(move.next.id, 'next', 'next', { activeAt: move.activeAt }))
      record(tx, parts, 'key.scheduled', actor, move.next, { active_at: move.activeAt })
      return
    case 'withdraw':
    case 'retire': {
      won(await spend(tx, move.key, move.kind === 'withdraw' ? 'next' : 'retiring', 'retired', parts))
      record(tx, parts, 'key.retired', actor, move.key, move.kind === 'withdraw' ? { withdrawn: true } : {})
      return
    }
    case 'forget':
      won(await tx.keys.delete(move.key.id))
      record(tx, parts, 'key.forgotten', actor, move.key, {})
      return
  }
}

/**
 * Ends a key at once. If it was the active one, the next key takes over in the same transaction, or a new one is made
 * when there is none. False when it is unknown, retired or compromised already.
 */
export async function compromise(
  tx: Tx,
  kid: KeyId,
  settings: PolicySettings,
  parts: MoveParts,
  actor: AuditActor,
): Promise<boolean> {
  for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
    const key = (await tx.keys.all()).find((one) => one.id === kid)
    if (key === undefined || isSpent(key.state)) return false
    if (!(await spend(tx, key, key.state, 'compromised', parts))) continue // It was moved meanwhile: look again.
    record(tx, parts, 'key.compromised', actor, key, { was: key.state })
    if (key.state === 'active') await succeed(tx, key, settings, parts, actor)
    return true
  }
  throw new MoveLost('the key was being moved by others all the time')
}

/**
 * Ends every key of these purposes that could still be used, and puts new ones in their place: of a store that went back in time nobody
 * can tell which of them was stolen since. Returns the token keys.
 */
export async function replaceKeys(
  tx: Tx,
  purposes: readonly KeyPurpose[],
  settings: PolicySettings,
  parts: MoveParts,
  actor: AuditActor,
): Promise<readonly KeyId[]> {
  const ended = (await tx.keys.all()).filter(({ purpose, state }) => purposes.includes(purpose) && !isSpent(state))
  // The active ones last, so that none of the others takes their place.
  for (const { id } of ended.sort((a, b) => Number(a.state === 'active') - Number(b.state === 'active')))
    await compromise(tx, id, settings, parts, actor)
  return ended.filter(({ purpose }) => purpose === 'token').map(({ id }) => id)
}

/** A key has at most four states before its end, so whoever looks again so often has seen the last. */
const ATTEMPTS = 5

/** Sees to it that another key of the purpose is active. */
async function succeed(tx: Tx, key: KeyRecord, settings: PolicySettings, parts: MoveParts, actor: AuditActor): Promise<void> {
  const { purpose } = key
  for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
    const own = (await tx.keys.all()).filter((one) => one.purpose === purpose)
    if (own.some((one) => one.state === 'active')) return
    const nowAt = epochSeconds(tx.nowMs)
    const next = own.find((one) => one.state === 'next')
    if (next === undefined) {
      const version = Math.max(...own.map((one) => one.version)) + 1
      const fresh = { purpose, version, state: 'active', activeAt: nowAt } as const
      if (await create(tx, materialNow(purpose, settings, parts.chance), fresh, parts, actor)) return
    } else if (await tx.keys.move(next.id, 'next', 'active', { activeAt: nowAt })) {
      record(tx, parts, 'key.activated', actor, next, { replaces: key.id })
      return
    }
  }
  throw new MoveLost('the successor was being moved by others all the time')
}

/** Published from now on, by the store's clock: the wait before it signs is counted from here. */
async function create(
  tx: Tx,
  material: Material,
  key: Pick<NewKey, 'purpose' | 'version' | 'state' | 'activeAt'>,
  parts: MoveParts,
  actor: AuditActor,
): Promise<boolean> {
  const { purpose, version, state, activeAt } = key
  const id = newId<KeyId>(tx.nowMs, parts.chance)
  const sealed = sealKey(parts.master, material, { id, purpose, version, state, createdAt: epochSeconds(tx.nowMs), activeAt })
  if (!(await tx.keys.create(sealed))) return false
  record(tx, parts, 'key.created', actor, sealed, { state, active_at: activeAt })
  return true
}

/**
 * Moves a key to a state in which it never signs again and drops its private part; false when it was not in `from`. The
 * port replaces no key, so the row is taken out and put back: the move has already decided who may.
 */
async function spend(tx: Tx, key: KeyRecord, from: KeyState, to: 'retired' | 'compromised', parts: MoveParts): Promise<boolean> {
  const retiredAt = epochSeconds(tx.nowMs)
  if (!(await tx.keys.move(key.id, from, to, { retiredAt }))) return false
  won(await tx.keys.delete(key.id))
  won(await tx.keys.create(dropPrivatePart(parts.master, { ...key, retiredAt, state: to })))
  return true
}

function materialNow(purpose: KeyPurpose, settings: PolicySettings, chance: Chance): Material {
  const alg = algorithmFor(purpose, settings)
  if (!isSigningAlgorithm(alg)) return { kind: 'ring', bytes: chance.bytes(RING_KEY_BYTES) }
  return { kind: 'signing', alg, key: generatePrivateKeySync(alg) }
}

function won(answer: boolean): void {
  if (!answer) throw new MoveLost('another node moved this key')
}

function record(tx: Tx, parts: MoveParts, type: AuditEventType, actor: AuditActor, key: KeyRecord, detail: AuditDetail): void {
  const about = { purpose: key.purpose, alg: key.alg, version: key.version, ...detail }
  tx.audit(audited({ now: () => tx.nowMs }, parts.chance, type, actor, { key: key.id }, about))
}
