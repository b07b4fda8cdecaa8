/** Records to try a store with. Every id is new; what a test cares about it names itself. */
import type { AuditEvent } from '@signet/kernel/audit-entry.ts'
import { toBase64Url } from '@signet/kernel/bytes.ts'
import {
  type BatchId,
  type ClientId,
  type DeviceId,
  type FamilyId,
  type KeyId,
  newId,
  type SessionId,
  type SubjectId,
  type TokenId,
} from '@signet/kernel/ids.ts'
import { epochSeconds } from '@signet/kernel/surroundings.ts'
import { seededChance } from '@signet/testkit/surroundings.ts'
import type { ApiKeyRecord } from '../ports/api-keys.ts'
import type { BatchRecord } from '../ports/batches.ts'
import type { ClientRecord } from '../ports/clients.ts'
import type { FamilyRecord, Rotation, Terms } from '../ports/families.ts'
import type { KeyRecord } from '../ports/keys.ts'
import type { LogEntry } from '../ports/revocations.ts'
import type { DeviceRecord, SessionRecord } from '../ports/sessions.ts'
import type { PasskeyRecord, SubjectRecord } from '../ports/subjects.ts'
import type { Store } from '../store.ts'

/** What a suite needs of one engine. `second` opens the same database once more, where an engine can share it. */
export interface World {
  readonly store: Store
  reopen(): Promise<Store>
  second?(): Promise<Store>
  close(): Promise<void>
}

export const NOW_MS = Date.UTC(2026, 10, 20)
export const NOW_AT = epochSeconds(NOW_MS)
const chance = seededChance('store contract')

export const bytes = (count: number): Uint8Array => chance.bytes(count)
export const id = <T extends string>(atMs = NOW_MS): T => newId<T>(atMs, chance)

const active = { status: 'active', cutoffMs: 0, revokedMs: 0 } as const

export const aClient = (rest: Partial<ClientRecord> = {}): ClientRecord => ({
  id: `app-${toBase64Url(bytes(6))}` as ClientId,
  ...active,
  name: 'An app',
  platform: 'web',
  authMethod: 'client_secret_basic',
  secrets: [{ sha256: bytes(32), createdAt: NOW_AT, expiresAt: NOW_AT + 60 }],
  jwks: [{ kty: 'EC', x: 'x' }],
  redirectUris: ['https://app.example/back'],
  postLogoutRedirectUris: [],
  grantTypes: ['authorization_code', 'refresh_token'],
  scopes: ['openid', 'notes:read'],
  resources: ['https://api.example'],
  introspects: [],
  dpopBound: true,
  firstParty: false,
  accessTokenSeconds: 120,
  createdAt: NOW_AT,
  ...rest,
})

export const aBatch = (rest: Partial<BatchRecord> = {}): BatchRecord => ({
  id: id<BatchId>(),
  action: 'suspend',
  state: 'planned',
  plan: JSON.stringify({ client: 'app' }),
  summary: JSON.stringify({ grants: 3 }),
  reason: 'test',
  actor: 'operator:test',
  perSecond: 100,
  plannedAtMs: NOW_MS,
  cursor: '',
  moved: 0,
  unmoved: 0,
  unsettled: '[]',
  holder: '',
  leaseUntilMs: 0,
  ...rest,
})

export const aPasskey = (subject: SubjectId, credential: string): PasskeyRecord => ({
  id: credential,
  subject,
  publicKey: bytes(77),
  counter: 5,
  transports: ['internal'],
  name: 'Laptop',
  createdAt: NOW_AT,
})

export const aSubject = (rest: Partial<SubjectRecord> = {}): SubjectRecord => ({
  id: id<SubjectId>(),
  ...active,
  username: `ana-${toBase64Url(bytes(6)).toLowerCase()}`,
  passwordHash: '$argon2id$…',
  claims: { name: 'Ana', email: 'ana@example.org' },
  roles: ['admin'],
  createdAt: NOW_AT,
  ...rest,
})

export const aDevice = (rest: Partial<DeviceRecord> = {}): DeviceRecord => ({
  id: id<DeviceId>(),
  ...active,
  subject: id<SubjectId>(),
  secretHash: bytes(32),
  name: 'Firefox on Linux',
  createdAt: NOW_AT,
  lastSeenAt: NOW_AT,
  ...rest,
})

export const aSession = (rest: Partial<SessionRecord> = {}): SessionRecord => ({
  id: id<SessionId>(),
  ...active,
  subject: id<SubjectId>(),
  device: id<DeviceId>(),
  secretHash: bytes(32),
  createdAtMs: NOW_MS,
  authAt: NOW_AT,
  acr: 'urn:signet:passkey',
  amr: ['hwk', 'user'],
  idleExpiresAt: NOW_AT + 3600,
  expiresAt: NOW_AT + 86_400,
  ...rest,
})

export const someTerms = (rest: Partial<Terms> = {}): Terms => ({
  client: 'app' as ClientId,
  platform: 'web',
  scope: ['openid', 'notes:read'],
  resources: ['https://api.example'],
  acr: '',
  amr: ['pwd'],
  policy: 'abcdef012345',
  idleSeconds: 3600,
  ...rest,
})

export const aFamily = (rest: Partial<FamilyRecord> = {}): FamilyRecord => ({
  id: id<FamilyId>(),
  terms: someTerms(),
  subject: id<SubjectId>(),
  status: 'active',
  cutoffMs: 0,
  createdAtMs: NOW_MS + 1234,
  authAt: NOW_AT - 60,
  generation: 0,
  nonce: bytes(16),
  ring: 1,
  previousRing: 1,
  rotatedAtMs: NOW_MS + 1234,
  graceCount: 0,
  graceForeign: false,
  graceRun: 0,
  foreignRun: 0,
  seen: bytes(8),
  idleExpiresAt: NOW_AT + 3600,
  expiresAt: NOW_AT + 86_400,
  ...rest,
})

export const aRotation = (family: Pick<FamilyRecord, 'id' | 'generation'>, rest: Partial<Rotation> = {}): Rotation => ({
  id: family.id,
  spent: family.generation,
  ring: 2,
  rotatedAtMs: NOW_MS + 5000,
  idleExpiresAt: NOW_AT + 7200,
  graceRun: 0,
  foreignRun: 0,
  seen: bytes(8),
  ...rest,
})

export const anApiKey = (rest: Partial<ApiKeyRecord> = {}): ApiKeyRecord => ({
  id: id<TokenId>(),
  secretHash: bytes(32),
  name: 'nightly export',
  client: 'app' as ClientId,
  scopes: ['notes:read'],
  resource: 'https://api.example',
  status: 'active',
  createdAt: NOW_AT,
  ...rest,
})

export const aKey = (rest: Partial<KeyRecord> = {}): KeyRecord => ({
  id: id<KeyId>(),
  purpose: 'token',
  alg: 'ES256',
  state: 'next',
  version: 1,
  publicJwk: '{"kty":"EC"}',
  wrapped: bytes(64),
  createdAt: NOW_AT,
  activeAt: NOW_AT + 3600,
  ...rest,
})

export const anEntry = (rest: Partial<LogEntry> = {}): Omit<LogEntry, 'seq' | 'epoch' | 'atMs'> => ({
  key: bytes(16),
  cutoffMs: NOW_MS + 2000,
  dropAfter: NOW_AT + 600,
  kind: 'grant',
  issuer: 'https://id.example',
  target: id<FamilyId>(),
  reason: 'signed_out',
  actor: 'subject:x',
  ...rest,
})

export const anEvent = (rest: Partial<AuditEvent> = {}): AuditEvent => ({
  id: id(),
  atMs: NOW_MS,
  type: 'token.issued',
  actor: 'client:app',
  ids: { client: 'app' },
  ...rest,
})
