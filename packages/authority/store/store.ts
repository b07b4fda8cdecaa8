/**
 * The store port: what the authority remembers. ports/ has it by noun, each with its records, lookups (reads by themselves) and
 * transitions (what a transaction may do); here they become the `Store` and its `Tx`. Two engines stand behind them (sqlite.ts,
 * postgres.ts) with the SQL in tables/ by the same nouns, and one contract suite (store.contract.ts). Nothing outside this folder knows SQL.
 *
 * Rules that every engine keeps:
 * - A transaction that was acknowledged is durable: it survives kill -9 of the process and of the machine.
 * - Concurrent small transactions may share one commit. `work` may therefore run more than once and beside others:
 *   it must touch nothing but `tx`, must not wait for anything but `tx`, and must decide by the answers of transitions
 *   ("did I win?"), never by an earlier read alone.
 * - What `work` throws undoes its writes and reaches the caller unchanged. Trouble of the engine's own is a `Fault`.
 * - Revocations appended in one commit get dense sequence numbers in commit order; audit events of one commit become one
 *   link of this node's chain.
 * Times end in `At` (epoch seconds) or `AtMs`/`Ms` (epoch milliseconds).
 */
import type { AuditEvent } from '@signet/kernel/audit-entry.ts'
import type { Haste } from './pace.ts'
import type { ApiKeyLookups, ApiKeyTransitions } from './ports/api-keys.ts'
import type { AuditLookups } from './ports/audit.ts'
import type { BatchLookups, BatchTransitions } from './ports/batches.ts'
import type { ClientLookups, ClientTransitions } from './ports/clients.ts'
import type { ConsentLookups, ConsentTransitions } from './ports/consents.ts'
import type { FamilyLookups, FamilyTransitions } from './ports/families.ts'
import type { Fleet } from './ports/fleet.ts'
import type { IdempotencyTransitions, ReplayTransitions, ThrottleTransitions } from './ports/guards.ts'
import type { CodeLookups, CodeTransitions, InteractionLookups, InteractionTransitions } from './ports/handles.ts'
import type { KeyLookups, KeyTransitions } from './ports/keys.ts'
import type { MetaLookups, MetaTransitions } from './ports/meta.ts'
import type { PeerLookups, PeerTransitions } from './ports/peers.ts'
import type { ResourceLookups, ResourceTransitions } from './ports/resources.ts'
import type { RevocationLookups, RevocationTransitions } from './ports/revocations.ts'
import type { DeviceLookups, DeviceTransitions, SessionLookups, SessionTransitions } from './ports/sessions.ts'
import type { SubjectLookups, SubjectTransitions } from './ports/subjects.ts'

export { BATCH_TARGETS_AT_ONCE, type Haste, PIECE } from './pace.ts'

export interface Store {
  readonly engine: 'sqlite' | 'postgres'
  /** The store's own clock, epoch milliseconds. One round trip on PostgreSQL. */
  now(): Promise<number>
  /** Runs `work` in one transaction and resolves once it is durable. */
  transact<T>(work: (tx: Tx) => Promise<T>): Promise<T>
  /**
   * Runs one piece of long background work when its turn has come, so that requests do not feel it (pace.ts). What the piece does through its own
   * `transact` is not taken for a request. A piece takes a millisecond or two and waits for no other piece.
   */
  gently<T>(haste: Haste, piece: (transact: Store['transact']) => Promise<T>): Promise<T>

  readonly clients: ClientLookups
  readonly resources: ResourceLookups
  readonly subjects: SubjectLookups
  readonly sessions: SessionLookups
  readonly devices: DeviceLookups
  readonly families: FamilyLookups
  readonly codes: CodeLookups
  readonly consents: ConsentLookups
  readonly apiKeys: ApiKeyLookups
  readonly interactions: InteractionLookups
  readonly keys: KeyLookups
  readonly peers: PeerLookups
  readonly revocations: RevocationLookups
  readonly batches: BatchLookups
  readonly audit: AuditLookups
  readonly meta: MetaLookups
  readonly fleet: Fleet

  /** Forgets what is over, gently: at most `limit` rows per table. Repeat while `more`. */
  purge(nowMs: number, limit: number): Promise<PurgeReport>
  /** Copies the whole store, as of one moment, to a file while it is in use. SQLite only; PostgreSQL has its own tools. */
  backup?(path: string, onProgress?: (done: number, total: number) => void): Promise<void>
  /** Figures for health and metrics. */
  health(): Promise<StoreHealth>
  close(): Promise<void>
}

export interface Tx {
  /** The store's clock at the start of this commit, epoch milliseconds. */
  readonly nowMs: number
  /** The latest time that any commit with an audit event was made at: ahead of `nowMs` when the clock was set back since. 0 at first. */
  latestMs(): Promise<number>
  readonly clients: ClientTransitions
  readonly resources: ResourceTransitions
  readonly subjects: SubjectTransitions
  readonly sessions: SessionTransitions
  readonly devices: DeviceTransitions
  readonly families: FamilyTransitions
  readonly codes: CodeTransitions
  readonly consents: ConsentTransitions
  readonly apiKeys: ApiKeyTransitions
  readonly interactions: InteractionTransitions
  readonly keys: KeyTransitions
  readonly peers: PeerTransitions
  readonly replay: ReplayTransitions
  readonly throttle: ThrottleTransitions
  readonly idempotency: IdempotencyTransitions
  readonly revocations: RevocationTransitions
  readonly batches: BatchTransitions
  readonly meta: MetaTransitions
  /** Adds an event to this commit's link of the audit chain. */
  audit(event: AuditEvent): void
}

export interface PurgeReport {
  readonly purged: Readonly<Record<string, number>>
  readonly more: boolean
}

export interface StoreHealth {
  readonly writable: boolean
  /** Transactions waiting for a commit. */
  readonly queued: number
  readonly schemaVersion: number
  /** Bytes on disk, where the engine can tell cheaply. */
  readonly bytes?: number
}
