/** A store with people, devices, clients and grants in it, and everything of revocation around it, on a clock in the test's hand. */
import { createInProcessBus } from '@signet/bus/in-process.ts'
import { type ClientId, type DeviceId, type FamilyId, newId, type SessionId, type SubjectId } from '@signet/kernel/ids.ts'
import type { KeyKind, TokenKeys } from '@signet/kernel/revocation.ts'
import type { Surroundings } from '@signet/kernel/surroundings.ts'
import { createKeyer, isRevoked } from '@signet/kernel/token-keys.ts'
import { manualSurroundings } from '@signet/testkit/surroundings.ts'
import { openKeyRing } from '../keys/key-ring.ts'
import { MasterKey } from '../keys/master-key.ts'
import { defaultSettings, type PolicySettings } from '../policy/settings.ts'
import type { LogEntry } from '../store/ports/revocations.ts'
import { openSqliteStore } from '../store/sqlite.ts'
import type { Store } from '../store/store.ts'
import { sha256 } from '../surroundings.ts'
import { aClient, aFamily, aStanding } from '../tokens/family.testkit.ts'
import { openRegistry } from './registry.ts'
import { openRetirement } from './retire.ts'
import { createRevoker } from './revoke.ts'

export const ISSUER = 'https://auth.example'
export const WHY = { reason: 'test', actor: 'operator:test' } as const

export type World = Awaited<ReturnType<typeof openWorld>>

export interface WorldOptions {
  readonly settings?: Partial<PolicySettings>
  readonly surroundings?: Surroundings
  /** Another engine than SQLite in memory. */
  readonly store?: Store
  /** Puts something between the revoker and its store. */
  readonly between?: (store: Store) => Store
}

export async function openWorld(options: WorldOptions = {}) {
  const manual = options.surroundings === undefined ? manualSurroundings() : undefined
  const surroundings: Surroundings = options.surroundings ?? (manual as NonNullable<typeof manual>)
  const { clock, chance, timers } = surroundings
  const settings: PolicySettings = { ...defaultSettings, ...options.settings }
  const store = options.store ?? (await openSqliteStore({ path: ':memory:', surroundings }))
  const bus = createInProcessBus({ timers })
  const keys = await openKeyRing({ store, master: new MasterKey(new Uint8Array(32).fill(5), chance), clock, chance, settings })
  const registry = await openRegistry({ store, settings, issuer: ISSUER, bus, clock, timers, sha256 })
  const common = { settings, issuer: ISSUER, clock, chance, timers, sha256, bus }
  const seen = options.between?.(store) ?? store
  const raised: KeyKind[] = []
  const revoker = createRevoker({ ...common, store: seen, keys, registry, observe: { raised: (kind) => raised.push(kind) } })
  const retirement = openRetirement({ ...common, store: seen })
  const keyer = createKeyer(sha256)

  return {
    ...common,
    surroundings,
    store,
    keys,
    registry,
    revoker,
    retirement,
    /** Kinds of the revocations that had to be raised. */
    raised,
    advance: (milliseconds: number) => manual?.clock.advance(milliseconds),
    /** Entries of the log in order. */
    log: (): Promise<readonly LogEntry[]> => store.revocations.after(0, 10_000),
    /** Whether this node refuses a token with these ids; it looks at the log first. */
    async isDead(keys: Omit<TokenKeys, 'issuer'> & { issuer?: string }, issuedAtMs = clock.now()): Promise<KeyKind | undefined> {
      await registry.lookNow()
      return isRevoked(registry.view, keyer, { issuer: ISSUER, ...keys }, issuedAtMs)
    },
    token: <T extends string>() => newId<T>(clock.now(), chance),
    async close() {
      revoker.close()
      retirement.close()
      registry.close()
      await bus.close()
      await store.close()
    },
    ...people(store, surroundings),
  }
}

function people(store: Store, { clock, chance }: Surroundings) {
  const hash = () => chance.bytes(32)
  return {
    async addSubject(): Promise<SubjectId> {
      const id = newId<SubjectId>(clock.now(), chance)
      const about = { username: `user-${id}`, claims: {}, roles: [], createdAt: Math.floor(clock.now() / 1000) }
      await store.transact((tx) => tx.subjects.create({ ...aStanding(), id, ...about }))
      return id
    },
    async addClient(): Promise<ClientId> {
      const id = `client-${newId<string>(clock.now(), chance)}` as ClientId
      await store.transact((tx) => tx.clients.create(aClient({ id })))
      return id
    },
    /** A person signed in on a device, with one app. */
    async addLogin(subject: SubjectId, client = 'web-app' as ClientId) {
      const nowMs = clock.now()
      const nowAt = Math.floor(nowMs / 1000)
      const device = newId<DeviceId>(nowMs, chance)
      const session = newId<SessionId>(nowMs, chance)
      const grant = newId<FamilyId>(nowMs, chance)
      const family = aFamily({ id: grant, createdAtMs: nowMs, subject, session, device })
      await store.transact(async (tx) => {
        const times = { createdAt: nowAt, lastSeenAt: nowAt }
        await tx.devices.create({ ...aStanding(), id: device, subject, secretHash: hash(), name: 'A browser', ...times })
        const proof = { createdAtMs: nowMs, authAt: nowAt, acr: 'pwd', amr: ['pwd'] }
        const ends = { idleExpiresAt: nowAt + 3600, expiresAt: nowAt + 86_400 }
        await tx.sessions.create({ ...aStanding(), id: session, subject, device, secretHash: hash(), ...proof, ...ends })
        await tx.families.create({ ...family, terms: { ...family.terms, client } })
      })
      return { subject, client, device, session, grant }
    },
  }
}

/** The store as another node has it, which hears nothing of what is committed here. */
export function asAnotherNode(store: Store): Store {
  const deaf = { ...store.revocations, followCommits: () => ({ stop() {} }) }
  return new Proxy(store, {
    get(of, name) {
      if (name === 'engine') return 'postgres'
      if (name === 'revocations') return deaf
      const value: unknown = Reflect.get(of, name, of)
      return typeof value === 'function' ? value.bind(of) : value
    },
  })
}

/** All events in the audit record, oldest first. */
export async function auditTypes(
  store: Store,
): Promise<{ type: string; ids: Record<string, string>; detail?: Record<string, unknown> }[]> {
  const events = []
  for (const { chain } of await store.audit.chains()) {
    for (const batch of await store.audit.batches(chain, 1, 500)) events.push(...JSON.parse(batch.events))
  }
  return events
}
