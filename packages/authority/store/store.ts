/**
 * The store port: what the authority remembers, as domain records, lookups and transitions. Two engines stand behind it
 * (sqlite.ts, postgres.ts) and one contract suite (store.contract.ts). Nothing else in the authority knows SQL.
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
import type { AuditBatch, AuditEvent } from '@signet/kernel/audit-entry.ts'
import type { BatchId, ClientId, DeviceId, FamilyId, KeyId, SessionId, SubjectId, TokenId } from '@signet/kernel/ids.ts'
import type { KeyKind, Revocation, Salt } from '@signet/kernel/revocation.ts'

export interface Store {
  readonly engine: 'sqlite' | 'postgres'
  /** The store's own clock, epoch milliseconds. One round trip on PostgreSQL. */
  now(): Promise<number>
  /** Runs `work` in one transaction and resolves once it is durable. */
  transact<T>(work: (tx: Tx) => Promise<T>): Promise<T>

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

  /** Forgets what is over: at most `limit` rows per table, so that no caller waits behind it. Repeat while `more`. */
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

/** Bounds a listing: at most `limit` (≤ 500) rows whose id comes after `after`. */
export interface Page {
  readonly after?: string
  readonly limit: number
}

/**
 * How something that tokens hang on stands. Grants and sessions made at or before `revokedMs` have ended; access tokens
 * issued at or before `cutoffMs` are dead, and new ones must be issued after it. 0 means never.
 */
export interface Standing {
  readonly status: Status
  readonly cutoffMs: number
  readonly revokedMs: number
}
export type Status = 'active' | 'suspended' | 'revoked'

// ── Clients ────────────────────────────────────────────────────────────────────────────────────────────────────────

/** Kind of installation (ISS-08): a refresh token of one class is not honoured from another. */
export type PlatformClass = 'web' | 'browser' | 'native' | 'service'
export type ClientAuthMethod = 'none' | 'client_secret_basic' | 'client_secret_post' | 'private_key_jwt'
export type GrantType = 'authorization_code' | 'refresh_token' | 'client_credentials'

export interface ClientRecord extends Standing {
  readonly id: ClientId
  readonly name: string
  readonly platform: PlatformClass
  readonly authMethod: ClientAuthMethod
  /** SHA-256 of each secret that works now; two while one is being replaced. */
  readonly secrets: readonly { readonly sha256: Uint8Array; readonly createdAt: number; readonly expiresAt?: number }[]
  /** Public keys for `private_key_jwt` (RFC 7523), as JWKs. */
  readonly jwks: readonly Readonly<Record<string, unknown>>[]
  readonly redirectUris: readonly string[]
  readonly postLogoutRedirectUris: readonly string[]
  readonly grantTypes: readonly GrantType[]
  /** What it may ask for at most. */
  readonly scopes: readonly string[]
  /** Audiences it may ask for (RFC 8707); the first is the default when it names none. */
  readonly resources: readonly string[]
  /** Resources on whose behalf it may introspect (RFC 7662 §2.1): it is that resource server. */
  readonly introspects: readonly string[]
  /** Every token of it must be bound to a DPoP key. */
  readonly dpopBound: boolean
  /** Consent is implied: an application of the operator's own. */
  readonly firstParty: boolean
  /** Own lifetimes, within the policy's caps. */
  readonly accessTokenSeconds?: number
  readonly refreshIdleSeconds?: number
  readonly refreshMaxSeconds?: number
  readonly createdAt: number
}

export interface ClientLookups {
  find(id: ClientId): Promise<ClientRecord | undefined>
  list(page: Page): Promise<readonly ClientRecord[]>
}
export interface ClientTransitions {
  find(id: ClientId): Promise<ClientRecord | undefined>
  /** False when the id is taken. */
  create(client: ClientRecord): Promise<boolean>
  /**
   * Replaces everything but id, standing and createdAt. False when there is none or, given `before`, when what it replaces is not
   * as it stood there: somebody else changed it meanwhile.
   */
  update(client: ClientRecord, before?: ClientRecord): Promise<boolean>
  delete(id: ClientId): Promise<boolean>
  changeStanding(id: ClientId, change: StandingChange): Promise<boolean>
  /** Undoes a revocation: `revokedMs` goes back from `made` to `before`. False unless it is `made`: a later one stands. */
  withdraw(id: ClientId, made: number, before: number): Promise<boolean>
}

/**
 * Moves a standing. `from` lists the states it may move from; false when it is in none of them or is missing. Cutoffs
 * only rise: the larger of the old and the new is kept.
 */
export interface StandingChange {
  readonly from: readonly Status[]
  readonly to: Status
  readonly cutoffMs?: number
  readonly revokedMs?: number
}

// ── Resources: the APIs that tokens are for ────────────────────────────────────────────────────────────────────────

export interface ResourceRecord {
  /** The audience: an absolute URI without fragment (RFC 8707 §2). */
  readonly uri: string
  readonly name: string
  readonly scopes: readonly { readonly name: string; readonly description: string }[]
  readonly accessTokenSeconds?: number
  readonly dpopRequired: boolean
  /** How its access tokens look to clients and to itself; absent: `jwt`. What is opaque can only be introspected. */
  readonly tokenFormat?: 'jwt' | 'opaque'
  readonly createdAt: number
}
export interface ResourceLookups {
  find(uri: string): Promise<ResourceRecord | undefined>
  list(page: Page): Promise<readonly ResourceRecord[]>
}
export interface ResourceTransitions {
  /** Creates or replaces. */
  put(resource: ResourceRecord): Promise<void>
  delete(uri: string): Promise<boolean>
}

// ── Subjects, passkeys ─────────────────────────────────────────────────────────────────────────────────────────────

export interface SubjectRecord extends Standing {
  readonly id: SubjectId
  /** What the person types to sign in; unique, lower-cased. Personal data: never in logs, audit, tokens. */
  readonly username: string
  /** argon2id in PHC form; absent when the person has passkeys only. */
  readonly passwordHash?: string
  /** OpenID claims (name, email, …) for userinfo and ID tokens. Personal data. */
  readonly claims: Readonly<Record<string, unknown>>
  /** Roles in Signet itself: `admin` may use the admin API. */
  readonly roles: readonly string[]
  readonly createdAt: number
}
export interface PasskeyRecord {
  /** Credential id, base64url. */
  readonly id: string
  readonly subject: SubjectId
  readonly publicKey: Uint8Array
  readonly counter: number
  readonly transports: readonly string[]
  readonly name: string
  readonly createdAt: number
  readonly lastUsedAt?: number
}
export interface SubjectLookups {
  find(id: SubjectId): Promise<SubjectRecord | undefined>
  findByUsername(username: string): Promise<SubjectRecord | undefined>
  list(page: Page): Promise<readonly SubjectRecord[]>
  count(): Promise<number>
  passkeys(id: SubjectId): Promise<readonly PasskeyRecord[]>
  passkey(credentialId: string): Promise<PasskeyRecord | undefined>
}
export interface SubjectTransitions {
  find(id: SubjectId): Promise<SubjectRecord | undefined>
  /** False when the id or the username is taken. */
  create(subject: SubjectRecord): Promise<boolean>
  /**
   * Replaces username, claims and roles. False when there is none, when the username is taken or, given `before`, when what it
   * replaces is not as it stood there.
   */
  update(subject: SubjectRecord, before?: SubjectRecord): Promise<boolean>
  setPassword(id: SubjectId, passwordHash: string | undefined): Promise<boolean>
  changeStanding(id: SubjectId, change: StandingChange): Promise<boolean>
  /** Undoes a revocation: `revokedMs` goes back from `made` to `before`. False unless it is `made`: a later one stands. */
  withdraw(id: SubjectId, made: number, before: number): Promise<boolean>
  delete(id: SubjectId): Promise<boolean>
  /** As this transaction sees them. */
  passkeys(id: SubjectId): Promise<readonly PasskeyRecord[]>
  addPasskey(passkey: PasskeyRecord): Promise<boolean>
  /** Records a use; false when the counter did not rise although it must (WebAuthn §6.1.1). */
  usePasskey(id: string, counter: number, usedAt: number): Promise<boolean>
  deletePasskey(subject: SubjectId, id: string): Promise<boolean>
}

// ── Sessions, devices ──────────────────────────────────────────────────────────────────────────────────────────────

export interface SessionRecord extends Standing {
  readonly id: SessionId
  readonly subject: SubjectId
  readonly device: DeviceId
  /** SHA-256 of the cookie's secret. */
  readonly secretHash: Uint8Array
  /** Just past every cutoff that stood when it began. */
  readonly createdAtMs: number
  readonly authAt: number
  readonly acr: string
  readonly amr: readonly string[]
  readonly idleExpiresAt: number
  readonly expiresAt: number
}
export interface SessionLookups {
  find(id: SessionId): Promise<SessionRecord | undefined>
  ofSubject(subject: SubjectId, page: Page): Promise<readonly SessionRecord[]>
}
export interface SessionTransitions {
  create(session: SessionRecord): Promise<void>
  /**
   * A stronger or newer sign-in in the same session. The cookie's secret changes with it (`secretHash`), so that whoever
   * held the old cookie does not gain by it. False unless active.
   */
  reauthenticate(
    id: SessionId,
    proof: { authAt: number; acr: string; amr: readonly string[]; secretHash: Uint8Array },
  ): Promise<boolean>
  touch(id: SessionId, idleExpiresAt: number): Promise<boolean>
  changeStanding(id: SessionId, change: StandingChange): Promise<boolean>
}
export interface DeviceRecord extends Standing {
  readonly id: DeviceId
  readonly subject: SubjectId
  /** SHA-256 of the device cookie's secret. */
  readonly secretHash: Uint8Array
  /** Browser and system in a few words, for the person's own list. */
  readonly name: string
  readonly createdAt: number
  readonly lastSeenAt: number
}
export interface DeviceLookups {
  find(id: DeviceId): Promise<DeviceRecord | undefined>
  ofSubject(subject: SubjectId, page: Page): Promise<readonly DeviceRecord[]>
}
export interface DeviceTransitions {
  create(device: DeviceRecord): Promise<void>
  touch(id: DeviceId, lastSeenAt: number): Promise<boolean>
  changeStanding(id: DeviceId, change: StandingChange): Promise<boolean>
}

// ── Refresh families ───────────────────────────────────────────────────────────────────────────────────────────────

/** What was granted: alike for very many families, so each distinct one is stored once and never changes. */
export interface Terms {
  readonly client: ClientId
  readonly platform: PlatformClass
  readonly scope: readonly string[]
  readonly resources: readonly string[]
  readonly acr: string
  readonly amr: readonly string[]
  readonly policy: string
  readonly idleSeconds: number
}

export interface FamilyRecord {
  readonly id: FamilyId
  readonly terms: Terms
  readonly subject: SubjectId
  readonly session?: SessionId
  readonly device?: DeviceId
  /** Token this grant was derived from, if any (REG-01 parent). */
  readonly parent?: TokenId
  readonly status: Status
  readonly cutoffMs: number
  /** Issue time of the grant: just past every cutoff that stood then. */
  readonly createdAtMs: number
  readonly authAt: number
  /** How often it was rotated; the current refresh token carries it. */
  readonly generation: number
  /** 16 bytes; the tag of its refresh tokens is made over it. */
  readonly nonce: Uint8Array
  /** Version of the ring key that the current generation's tag is made with. */
  readonly ring: number
  /** Version of the ring key that the previous generation's tag was made with. */
  readonly previousRing: number
  readonly rotatedAtMs: number
  /** Grace answers given for the current generation so far. `rotate` sets it to 0. */
  readonly graceCount: number
  /** Whether one of them went to an asker that looked different from the one that rotated. `rotate` sets it to false. */
  readonly graceForeign: boolean
  /**
   * Generations in a row, right before the current one, that needed a grace answer; `foreignRun` counts those where one
   * went to an asker that looked different. Only `rotate` changes them, to the values it is given.
   */
  readonly graceRun: number
  readonly foreignRun: number
  /** 8 bytes: keyed digest of network and agent of the last refresh, to compare, not to read. */
  readonly seen: Uint8Array
  /** RFC 9449 thumbprint that every refresh must prove. */
  readonly jkt?: string
  readonly idleExpiresAt: number
  readonly expiresAt: number
}

/** A family with how the things it hangs on stand, read at one moment. */
export interface FamilyStanding {
  readonly family: FamilyRecord
  readonly subject: Standing | undefined
  readonly session: Standing | undefined
  readonly device: Standing | undefined
}

/** What a family that is about to begin will hang on. */
export interface FamilyTies {
  readonly subject: SubjectId
  readonly session: SessionId
  readonly device: DeviceId
  readonly client: ClientId
}

export interface Rotation {
  readonly id: FamilyId
  /** The generation that is spent; the transition wins only while it is the current one and the family is active. */
  readonly spent: number
  readonly ring: number
  readonly rotatedAtMs: number
  readonly idleExpiresAt: number
  readonly graceRun: number
  readonly foreignRun: number
  readonly seen: Uint8Array
  /** A cutoff on the grant after a drain (REV-12): access tokens issued at or before it are dead. */
  readonly cutoffMs?: number
}

export interface FamilyLookups {
  find(id: FamilyId): Promise<FamilyStanding | undefined>
  /** How all that a new family will hang on stands, read at one moment; undefined for what there is not. */
  standings(ties: FamilyTies): Promise<{ readonly [Tie in keyof FamilyTies]: Standing | undefined }>
  ofSubject(subject: SubjectId, page: Page): Promise<readonly FamilyRecord[]>
  /** All of them, by id and so about by time: for walks over the whole store, a bounded page at a time. */
  all(page: Page): Promise<readonly FamilyRecord[]>
}
export interface FamilyTransitions {
  create(family: FamilyRecord): Promise<void>
  /** Compare-and-set from `spent` to `spent + 1`. One of any number of concurrent callers wins. */
  rotate(rotation: Rotation): Promise<boolean>
  /**
   * Adds 1 to `graceCount`, and sets `graceForeign` when `foreign`. False, and nothing changed, when `generation` is not the
   * current one any more, the family is not active, or `graceCount` has reached `limit`.
   */
  countGrace(grace: { id: FamilyId; generation: number; limit: number; foreign: boolean }): Promise<boolean>
  changeStanding(id: FamilyId, change: StandingChange): Promise<boolean>
  /** Its status as this transaction sees it; undefined when there is no such family. */
  status(id: FamilyId): Promise<Status | undefined>
}

// ── Authorization codes and other single-use handles ───────────────────────────────────────────────────────────────

export type CodePurpose = 'authorization_code' | 'setup' | 'logout'
export interface CodeRecord {
  /** SHA-256 of the handle. */
  readonly hash: Uint8Array
  readonly purpose: CodePurpose
  /** JSON, at most 16 KiB. */
  readonly payload: string
  /** What must end if it is used twice. */
  readonly family?: FamilyId
  readonly expiresAt: number
}
export interface CodeLookups {
  /** The handle as it stands, unspent or spent; nothing changes. Undefined when unknown or expired. */
  find(
    hash: Uint8Array,
    purpose: CodePurpose,
    nowAt: number,
  ): Promise<{ readonly spent: boolean; readonly code: CodeRecord } | undefined>
}
export interface CodeTransitions {
  create(code: CodeRecord): Promise<void>
  /** Spends the handle. `won` for exactly one caller; `spent` for every later one; undefined when unknown or expired. */
  consume(
    hash: Uint8Array,
    purpose: CodePurpose,
    nowAt: number,
  ): Promise<{ outcome: 'won' | 'spent'; code: CodeRecord } | undefined>
}

// ── Consent, interactions ──────────────────────────────────────────────────────────────────────────────────────────

export interface ConsentRecord {
  readonly subject: SubjectId
  readonly client: ClientId
  readonly scopes: readonly string[]
  readonly resources: readonly string[]
  readonly grantedAt: number
}
export interface ConsentLookups {
  find(subject: SubjectId, client: ClientId): Promise<ConsentRecord | undefined>
  ofSubject(subject: SubjectId): Promise<readonly ConsentRecord[]>
}
export interface ConsentTransitions {
  put(consent: ConsentRecord): Promise<void>
  /** Whether there is one. It cannot be deleted until this transaction has ended. */
  hold(subject: SubjectId, client: ClientId): Promise<boolean>
  delete(subject: SubjectId, client: ClientId): Promise<boolean>
}

/** A sign-in or consent under way in one browser. */
export interface InteractionRecord {
  /** SHA-256 of the handle in the URL. */
  readonly hash: Uint8Array
  /** SHA-256 of the browser's interaction cookie: nobody else may go on with it. */
  readonly browserHash: Uint8Array
  /** JSON, at most 32 KiB. */
  readonly payload: string
  readonly version: number
  readonly expiresAt: number
}
export interface InteractionLookups {
  find(hash: Uint8Array): Promise<InteractionRecord | undefined>
}
export interface InteractionTransitions {
  create(interaction: InteractionRecord): Promise<void>
  /** Replaces the payload; false when `version` is not the current one. The new version is `version + 1`. */
  update(hash: Uint8Array, version: number, payload: string): Promise<boolean>
  /** Ends it; true for exactly one caller. */
  finish(hash: Uint8Array, version: number): Promise<boolean>
}

// ── API keys ───────────────────────────────────────────────────────────────────────────────────────────────────────

export interface ApiKeyRecord {
  readonly id: TokenId
  /** SHA-256 of the secret part. */
  readonly secretHash: Uint8Array
  readonly name: string
  readonly client: ClientId
  readonly subject?: SubjectId
  readonly scopes: readonly string[]
  readonly resource: string
  readonly status: Status
  readonly createdAt: number
  readonly expiresAt?: number
  readonly lastUsedAt?: number
  /** The key that replaces it; this one goes on working until `expiresAt`. */
  readonly replacedBy?: TokenId
}
export interface ApiKeyLookups {
  find(id: TokenId): Promise<ApiKeyRecord | undefined>
  ofClient(client: ClientId, page: Page): Promise<readonly ApiKeyRecord[]>
}
export interface ApiKeyTransitions {
  create(key: ApiKeyRecord): Promise<void>
  /** Gives it an end and an heir; false unless active. */
  replace(id: TokenId, heir: TokenId, expiresAt: number): Promise<boolean>
  changeStatus(id: TokenId, from: readonly Status[], to: Status): Promise<boolean>
  /** Coarse: callers write it at most once a minute per key. */
  touch(id: TokenId, lastUsedAt: number): Promise<void>
}

// ── Signing and ring keys ──────────────────────────────────────────────────────────────────────────────────────────

/** `token` signs tokens, `feed` signs the revocation feed, `ring` tags refresh tokens and nonces, `audit` signs checkpoints. */
export type KeyPurpose = 'token' | 'feed' | 'ring' | 'audit'
export type KeyState = 'next' | 'active' | 'retiring' | 'retired' | 'compromised'
export interface KeyRecord {
  readonly id: KeyId
  readonly purpose: KeyPurpose
  /** JWA name (RFC 7518, RFC 8037); `HS256` for ring keys, which are never in a JWKS. */
  readonly alg: string
  readonly state: KeyState
  /** 1, 2, 3, … within its purpose. */
  readonly version: number
  /** JSON; absent for ring keys. */
  readonly publicJwk?: string
  /** The private part, encrypted under the master key. */
  readonly wrapped: Uint8Array
  readonly createdAt: number
  /** When it becomes or became active; retires; may be forgotten. */
  readonly activeAt: number
  readonly retiringAt?: number
  readonly retiredAt?: number
}
export interface KeyLookups {
  all(): Promise<readonly KeyRecord[]>
}
export interface KeyTransitions {
  all(): Promise<readonly KeyRecord[]>
  /** False when the id, or the (purpose, version) pair, is taken: another node was first. */
  create(key: KeyRecord): Promise<boolean>
  /** False unless it is in `from`. */
  move(
    id: KeyId,
    from: KeyState,
    to: KeyState,
    times: { activeAt?: number; retiringAt?: number; retiredAt?: number },
  ): Promise<boolean>
  delete(id: KeyId): Promise<boolean>
}

// ── Other regions ──────────────────────────────────────────────────────────────────────────────────────────────────

/** A place in a region's log. */
export interface LogPlace {
  readonly epoch: string
  readonly seq: number
}
export interface PeerRecord extends LogPlace {
  readonly name: string
  /** The store's clock when its log was last known to be here up to its head; 0: never. */
  readonly freshAtMs: number
  /** Its public keys, JSON. */
  readonly keys: string
  /** How far it has taken over our log, by its own account. */
  readonly toldEpoch: string
  readonly toldSeq: number
}
/** The number in this epoch up to which every peer has taken over our log; what comes after it is held for them. */
export const heldAfter = (peers: readonly PeerRecord[], epoch: string): number =>
  Math.min(Number.MAX_SAFE_INTEGER, ...peers.map((peer) => (peer.toldEpoch === epoch ? peer.toldSeq : 0)))

export interface PeerLookups {
  all(): Promise<readonly PeerRecord[]>
}
export interface PeerTransitions {
  all(): Promise<readonly PeerRecord[]>
  /** At the beginning of its log, with no keys. False when it is there. */
  create(name: string): Promise<boolean>
  /** Compare-and-set of how far its log was taken over: of any number of concurrent callers one wins. */
  advance(name: string, from: LogPlace, to: LogPlace): Promise<boolean>
  /** Keeps the larger time; false while `place` has not been reached. */
  prove(name: string, place: LogPlace, freshAtMs: number): Promise<boolean>
  putKeys(name: string, keys: string): Promise<boolean>
  /** How far it has taken over ours. Within an epoch it never goes back; false when nothing changed. */
  tell(name: string, place: LogPlace): Promise<boolean>
  delete(name: string): Promise<boolean>
}

// ── Guards ─────────────────────────────────────────────────────────────────────────────────────────────────────────

export interface ReplayTransitions {
  /** Remembers a proof or an assertion until `expiresAt`; false when it was there already. `key` is a digest of ≤ 32 bytes. */
  remember(key: Uint8Array, expiresAt: number): Promise<boolean>
}
export interface ThrottleTransitions {
  /**
   * GCRA: one of `burst` tokens that come back one per `intervalMs`, or `count` of them, all or none. Says when to try again if
   * there are not so many.
   */
  take(
    key: Uint8Array,
    limit: { intervalMs: number; burst: number; count?: number },
  ): Promise<{ allowed: boolean; retryAfterMs: number }>
  clear(key: Uint8Array): Promise<void>
}
export interface IdempotencyTransitions {
  /** The answer stored under this key, if any. */
  find(key: Uint8Array): Promise<string | undefined>
  put(key: Uint8Array, answer: string, expiresAt: number): Promise<void>
}

// ── The revocation log ─────────────────────────────────────────────────────────────────────────────────────────────

export interface LogEntry extends Revocation {
  readonly seq: number
  readonly epoch: string
  readonly atMs: number
  readonly kind: KeyKind
  readonly issuer: string
  readonly target: string
  readonly reason: string
  readonly actor: string
  /** Absent in entries of before there were regions. */
  readonly act?: LogAct
  /** The region whose log it was copied from; absent for our own. */
  readonly origin?: string
}
/**
 * What was done: everything made before ends; only access tokens do (a claims epoch, a retirement); it is held. `cover` stands for a
 * revocation of another region that came so late that tokens may have been issued here meanwhile.
 */
export type LogAct = 'revoke' | 'renew' | 'suspend' | 'cover'
export interface LogHead {
  readonly epoch: string
  /** The last sequence number; 0 when nothing was ever revoked in this epoch. */
  readonly seq: number
  /** Entries at or before it may have been purged: a reader behind it needs the snapshot. */
  readonly floor: number
  readonly salt: Salt
  /** The largest cutoff of any entry so far. */
  readonly cutoffMs: number
}
export interface RevocationLookups {
  /** From the truth, not from memory: one read of the store. Creates the first epoch when there is none. */
  head(): Promise<LogHead>
  /** Entries after `seq` in order, at most `limit`. */
  after(seq: number, limit: number): Promise<readonly LogEntry[]>
  /** Every entry still needed at `nowAt`, with the head they are complete up to, read at one moment. */
  snapshot(nowAt: number): Promise<{ head: LogHead; entries: readonly Revocation[] }>
  /** Entries for one key, newest first, at most 100. */
  ofKey(key: Uint8Array): Promise<readonly LogEntry[]>
  /** When the earliest deferred cutoff is due, epoch milliseconds; undefined when there is none. */
  nextDue(): Promise<number | undefined>
}
export interface RevocationTransitions {
  head(): Promise<LogHead>
  /** Appends. The returned object is filled when the commit is acknowledged; `beforeMs` is the largest cutoff of all commits before it. */
  append(entry: Omit<LogEntry, 'seq' | 'epoch' | 'atMs'>): { seq: number; epoch: string; beforeMs: number }
  ofKey(key: Uint8Array): Promise<readonly LogEntry[]>
  /**
   * Lays entries (≤ 1000) beside the log, where nobody sees them, for a new epoch to begin with: behind those that `staged` counts, or as
   * the first. What no epoch has taken within an hour is forgotten.
   */
  stage(entries: readonly Omit<LogEntry, 'seq' | 'epoch' | 'atMs'>[], staged?: Staged): Promise<Staged>
  /**
   * Starts a new numbering with a new salt; the log so far is dropped, and what was staged and then the given entries begin the new one,
   * whose floor is where its numbers begin. Held to the head that `head` gave to this work: when it has moved since, the work
   * runs again, so that whoever carries a log over can look whether something came meanwhile. False when what was staged has gone.
   */
  newEpoch(
    epoch: string,
    salt: Salt,
    entries: readonly Omit<LogEntry, 'seq' | 'epoch' | 'atMs'>[],
    staged?: Staged,
  ): Promise<boolean>
  /** Remembers a cutoff to be made later (REV-12). Once per `dueMs` and family; the larger cutoff is kept. */
  defer(cutoff: DeferredCutoff): Promise<void>
  /** Takes out at most `limit` (≤ 500) that are due at `nowMs`, earliest first. No two transactions get the same one. */
  takeDue(nowMs: number, limit: number): Promise<readonly DeferredCutoff[]>
}
/** Entries that wait for their epoch: their numbers go from `base + 1` to `base + count`. */
export interface Staged {
  readonly base: number
  readonly count: number
}
/** A cutoff on a family that is to be made when its drain is over. */
export interface DeferredCutoff {
  readonly dueMs: number
  readonly family: FamilyId
  readonly cutoffMs: number
}

// ── Batches ────────────────────────────────────────────────────────────────────────────────────────────────────────

/** `planned` → `running` ⇄ `paused` → `done`, `cancelled` or `failed`. */
export const BATCH_STATES = ['planned', 'running', 'paused', 'done', 'cancelled', 'failed'] as const
export type BatchState = (typeof BATCH_STATES)[number]
export const BATCH_ACTIONS = ['revoke', 'suspend', 'resume'] as const
export type BatchAction = (typeof BATCH_ACTIONS)[number]

/** A job that takes back, holds or lets go on whatever a selector names, piece by piece. */
export interface BatchRecord {
  readonly id: BatchId
  readonly action: BatchAction
  readonly state: BatchState
  /** What is selected and how it is gone through: JSON, at most 1 MiB, never changed. Absent in listings. */
  readonly plan?: string
  /** What the dry run found, in short: JSON, at most 4 KiB, never changed. */
  readonly summary: string
  readonly reason: string
  /** Who planned it, and in whose name it acts once it is started. */
  readonly actor: string
  readonly perSecond: number
  /** Epoch milliseconds, by the store's clock. */
  readonly plannedAtMs: number
  readonly startedAtMs?: number
  readonly endedAtMs?: number
  /** How far it has come: everything up to here is done. */
  readonly cursor: string
  /** Targets that it moved; that it came to and that needed nothing any more. */
  readonly moved: number
  readonly unmoved: number
  /** JSON: targets of the last piece, whose entries nobody has yet seen to be in time. */
  readonly unsettled: string
  /** The node that works on it, and until when nobody else may. */
  readonly holder: string
  readonly leaseUntilMs: number
  /** Why it failed: a word. */
  readonly trouble?: string
  /** The batch that this one undoes, and the one that undoes this. */
  readonly undoes?: BatchId
  readonly undoneBy?: BatchId
}
/** What a batch holds suspended. */
export interface BatchHold {
  readonly kind: KeyKind
  readonly target: string
}
export interface BatchLookups {
  find(id: BatchId): Promise<BatchRecord | undefined>
  /** Newest first: those before `after`. */
  list(page: Page): Promise<readonly BatchRecord[]>
  /** How many there are in each state. */
  count(): Promise<Readonly<Record<BatchState, number>>>
  /** Those that run, oldest first, with their plans left out. */
  running(limit: number): Promise<readonly BatchRecord[]>
  /** What it holds, by target. */
  holds(id: BatchId, page: Page): Promise<readonly BatchHold[]>
}
export interface BatchTransitions {
  find(id: BatchId): Promise<BatchRecord | undefined>
  create(batch: BatchRecord): Promise<void>
  /** False unless it is in one of `from`. A batch that is not running any more has no holder. */
  move(
    id: BatchId,
    from: readonly BatchState[],
    to: BatchState,
    more?: { trouble?: string; undoneBy?: BatchId },
  ): Promise<boolean>
  /** Takes or keeps the lease: false while it does not run, or another holds it. */
  hold(id: BatchId, holder: string, leaseUntilMs: number): Promise<boolean>
  /**
   * The one step of a piece that decides: the cursor moves on, and the caller may act on what lies between. False, and nothing
   * changed, unless the batch runs, is held by `holder` and stands at `from`.
   */
  advance(step: {
    id: BatchId
    holder: string
    leaseUntilMs: number
    from: string
    to: string
    unsettled: string
  }): Promise<boolean>
  /** Adds to the counts. */
  tally(id: BatchId, moved: number, unmoved: number): Promise<void>
  /** Notes that it was this batch that suspended the target. */
  addHold(id: BatchId, hold: BatchHold): Promise<void>
  /** Whoever held the target holds it no more: it goes on. */
  release(hold: BatchHold): Promise<void>
}

// ── Audit, meta ────────────────────────────────────────────────────────────────────────────────────────────────────

export interface AuditLookups {
  /** Chains with their heads. */
  chains(): Promise<readonly { chain: string; index: number; hash: Uint8Array; startedAtMs: number }[]>
  /** Batches of one chain from `fromIndex` on, in order. */
  batches(chain: string, fromIndex: number, limit: number): Promise<readonly AuditBatch[]>
  /** Batches at or after `fromMs` that contain the text, in time order. Pages by (atMs, chain, index). */
  search(search: {
    text?: string
    fromMs: number
    toMs: number
    limit: number
    after?: { atMs: number; chain: string; index: number }
  }): Promise<readonly AuditBatch[]>
  checkpoints(): Promise<readonly { atMs: number; note: string }[]>
}
export interface MetaLookups {
  get(name: string): Promise<string | undefined>
}
export interface MetaTransitions {
  get(name: string): Promise<string | undefined>
  put(name: string, value: string): Promise<void>
  /** Keeps the larger number; returns what now stands. */
  raise(name: string, value: number): Promise<number>
  addCheckpoint(atMs: number, note: string): Promise<void>
}

// ── The fleet: validators and how far they have come ───────────────────────────────────────────────────────────────

export interface ValidatorRecord {
  /** Whom it authenticates as; '' where the feed is open. */
  readonly client: string
  /** Its own name. */
  readonly validator: string
  readonly epoch: string
  /** The last sequence number it says it has applied. */
  readonly applied: number
  /** When it was first heard to have come so far: the last ones, oldest first. */
  readonly steps: readonly { readonly seq: number; readonly atMs: number }[]
  /** As it said when it was seen last; absent when it never was fresh, or did not say. */
  readonly stalenessMs?: number
  readonly version: string
  readonly firstSeenMs: number
  readonly seenMs: number
}
/** What one node heard of one validator since it last wrote: `steps` are the new ones. */
export type FleetNote = Omit<ValidatorRecord, 'firstSeenMs'>

/** Who has applied `seq` of `epoch`? Whoever is in `headEpoch` has taken over all there was before it. */
export interface FleetPlace {
  readonly epoch: string
  readonly seq: number
  readonly headEpoch: string
}
export interface FleetCounts {
  readonly applied: number
  readonly lagging: number
  /** Has not applied it, and was not seen since `aliveSinceMs`. */
  readonly gone: number
}
export interface FleetPage {
  readonly after?: { readonly client: string; readonly validator: string }
  readonly limit: number
}
/** Each call is one work of its own, out of the way of those that people wait for. */
export interface Fleet {
  list(page: FleetPage): Promise<readonly ValidatorRecord[]>
  count(place: FleetPlace, aliveSinceMs: number): Promise<FleetCounts>
  /** Each validator once, at most 500. What was seen later than it stays as it is. */
  note(notes: readonly FleetNote[]): Promise<void>
  /** Those not seen since `beforeMs`, and those seen least lately when there are more than `most`; at most 1000 at a time. */
  forget(beforeMs: number, most: number): Promise<number>
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
