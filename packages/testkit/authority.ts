/**
 * A whole authority on an embedded store, listening on a loopback port of its own, with what tests need to fill it: clients, resources,
 * people, signed-in sessions and codes. Everything is real but the state directory and, if wanted, time and chance.
 */
import { createHash } from 'node:crypto'
import { assemble } from '@signet/authority/compose.ts'
import { type CodeRequest, issueCode } from '@signet/authority/grants/code.ts'
import type { KeyRing } from '@signet/authority/keys/key-ring.ts'
import { MasterKey } from '@signet/authority/keys/master-key.ts'
import { defaultSettings, type PolicySettings } from '@signet/authority/policy/settings.ts'
import type { RegionConfig, Regions } from '@signet/authority/regions/regions.ts'
import type { FeedHub } from '@signet/authority/revocation/feed.ts'
import type { CarrierStream } from '@signet/authority/revocation/feed-carrier.ts'
import type { Registry } from '@signet/authority/revocation/registry.ts'
import type { Revoker } from '@signet/authority/revocation/revoke.ts'
import { issuerStanding } from '@signet/authority/revocation/standing.ts'
import type { Triggers } from '@signet/authority/revocation/triggers.ts'
import type { ClientRecord } from '@signet/authority/store/ports/clients.ts'
import type { ResourceRecord } from '@signet/authority/store/ports/resources.ts'
import type { SubjectRecord } from '@signet/authority/store/ports/subjects.ts'
import { openSqliteStore } from '@signet/authority/store/sqlite.ts'
import type { Store } from '@signet/authority/store/store.ts'
import { realSurroundings, sha256 } from '@signet/authority/surroundings.ts'
import { createLog } from '@signet/authority/telemetry/log.ts'
import { mintApiKey } from '@signet/authority/tokens/api-key.ts'
import type { Mint } from '@signet/authority/tokens/mint.ts'
import type { Bus } from '@signet/bus/bus.ts'
import { createInProcessBus } from '@signet/bus/in-process.ts'
import { type ClientId, type DeviceId, newId, type SessionId, type SubjectId } from '@signet/kernel/ids.ts'
import { epochSeconds, type Surroundings } from '@signet/kernel/surroundings.ts'
import type { FastifyInstance } from 'fastify'
import { freePort } from './free-port.ts'

export const TEST_API = 'https://api.example'
export const TEST_REDIRECT = 'https://app.example/callback'

export interface TestAuthorityOptions {
  /** Default: an embedded store in memory. Closed with the authority unless it was given. */
  readonly store?: Store
  /** Default: one of its own. Closed with the authority unless it was given. */
  readonly bus?: Bus
  /** Where it carries its feed to. */
  readonly feedStream?: CarrierStream
  readonly settings?: Partial<PolicySettings>
  /** Default: the real ones. With manual ones nothing happens until the clock is advanced, commits excepted. */
  readonly surroundings?: Surroundings
  /** Default: `http://localhost:<port>`. */
  readonly issuer?: string
  /** Level of the log that goes to standard error; default `silent`. */
  readonly logLevel?: string
  /** The master key's 32 bytes, to open a store again; default: fresh. */
  readonly masterKey?: Uint8Array
  /** Default: one that was free a moment ago. */
  readonly port?: number
  readonly region?: RegionConfig
}

export interface TestAuthority {
  readonly issuer: string
  readonly url: string
  readonly app: FastifyInstance
  readonly store: Store
  readonly keys: KeyRing
  readonly regions: Regions | undefined
  readonly hub: FeedHub
  readonly mint: Mint
  readonly registry: Registry
  readonly revoker: Revoker
  readonly triggers: Triggers
  readonly settings: PolicySettings
  readonly surroundings: Surroundings
  /** A confidential web client with the secret `TEST_SECRET` unless the record says otherwise. */
  addClient(record?: Partial<ClientRecord>): Promise<ClientRecord>
  addResource(record?: Partial<ResourceRecord>): Promise<ResourceRecord>
  addSubject(record?: Partial<SubjectRecord>): Promise<SubjectRecord>
  /** Somebody signed in on a device of theirs. */
  signIn(subject: SubjectId): Promise<SignedIn>
  /** A code as the consent page would have given it. */
  issueCode(
    request: Partial<CodeRequest> & Pick<CodeRequest, 'client'>,
    signedIn: SignedIn,
  ): Promise<{ code: string; verifier: string }>
  addApiKey(record: {
    client: ClientId
    scopes: readonly string[]
    resource?: string
    subject?: SubjectId
    expiresAt?: number
  }): Promise<string>
  /**
   * Posts a form, and again when the node could not answer at the moment; the answer's body is parsed when it is JSON. Headers that are good
   * for one request are made for each.
   */
  post(path: string, form: Form, headers?: FormHeaders | (() => FormHeaders)): Promise<FormAnswer>
  close(): Promise<void>
}

export const TEST_SECRET = 'a secret of a client in a test'
/** Faults of a node, or of a request, that stood still for so long that what it knows is too old to mint on. */
const STOOD_STILL: readonly unknown[] = ['store_unavailable', 'overloaded']
const TRIES = 5
export const basicAuth = (client: string, secret = TEST_SECRET): Record<string, string> => ({
  authorization: `Basic ${Buffer.from(`${encodeURIComponent(client)}:${encodeURIComponent(secret)}`).toString('base64')}`,
})

export interface SignedIn {
  readonly subject: SubjectId
  readonly session: SessionId
  readonly device: DeviceId
  readonly authAt: number
  readonly createdAtMs: number
}
export type Form = Readonly<Record<string, string | undefined>>
export type FormHeaders = Record<string, string>
export interface FormAnswer {
  readonly status: number
  readonly headers: Headers
  readonly text: string
  // biome-ignore lint/suspicious/noExplicitAny: tests look at what is there.
  readonly body: any
}

export async function startTestAuthority(options: TestAuthorityOptions = {}): Promise<TestAuthority> {
  const surroundings = options.surroundings ?? realSurroundings()
  const { clock, chance, timers } = surroundings
  const settings: PolicySettings = { ...defaultSettings, ...options.settings }
  const port = options.port ?? (await freePort('localhost'))
  const url = `http://localhost:${port}`
  const issuer = options.issuer ?? url
  const store = options.store ?? (await openSqliteStore({ path: ':memory:', surroundings }))
  const bus = options.bus ?? createInProcessBus({ timers })
  const node = await assemble({
    issuer,
    settings,
    store,
    master: new MasterKey(options.masterKey ?? chance.bytes(32), chance),
    bus,
    ...(options.feedStream === undefined ? {} : { feedStream: options.feedStream }),
    surroundings,
    log: createLog(options.logLevel ?? 'silent'),
    stateDirectory: '.',
    trustedProxies: 0,
    fleetMemorySeconds: 3600,
    region: options.region,
  })
  await node.app.listen({ host: 'localhost', port })

  const nowAt = () => epochSeconds(clock.now())
  const { app, keys, regions, mint, registry, revoker, triggers, hub } = node
  return {
    issuer,
    url,
    app,
    store,
    keys,
    regions,
    hub,
    mint,
    registry,
    revoker,
    triggers,
    settings,
    surroundings,
    async addClient(record = {}) {
      const client = testClient(record, nowAt())
      if (!(await store.transact((tx) => tx.clients.create(client)))) throw new Error(`there is a client ${client.id} already`)
      return client
    },
    async addResource(record = {}) {
      const resource = testResource(record, nowAt())
      await store.transact((tx) => tx.resources.put(resource))
      return resource
    },
    async addSubject(record = {}) {
      const id = newId<SubjectId>(clock.now(), chance)
      const standing = { status: 'active', cutoffMs: 0, revokedMs: 0 } as const
      const subject: SubjectRecord = {
        id,
        username: `user-${id}`,
        claims: {},
        roles: [],
        createdAt: nowAt(),
        ...standing,
        ...record,
      }
      if (!(await store.transact((tx) => tx.subjects.create(subject))))
        throw new Error(`there is a subject ${subject.username} already`)
      return subject
    },
    signIn: (subject) => signIn(subject, store, surroundings, settings),
    async issueCode(request, signedIn) {
      const verifier = Buffer.from(chance.bytes(32)).toString('base64url')
      const whole: CodeRequest = {
        ...signedIn,
        sessionCreatedAtMs: signedIn.createdAtMs,
        scope: ['openid', 'api:read'],
        resources: [TEST_API, issuer],
        redirectUri: TEST_REDIRECT,
        codeChallenge: createHash('sha256').update(verifier).digest('base64url'),
        acr: 'urn:signet:acr:passkey',
        amr: ['hwk', 'user', 'mfa'],
        ...request,
      }
      return { code: await store.transact((tx) => issueCode(tx, { settings, clock, chance, sha256 }, whole)), verifier }
    },
    async addApiKey({ resource = TEST_API, ...record }) {
      const { id, key, secretHash } = mintApiKey(clock.now(), chance)
      await store.transact((tx) =>
        tx.apiKeys.create({ id, secretHash, name: 'test', resource, status: 'active', createdAt: nowAt(), ...record }),
      )
      return key.reveal()
    },
    async post(path, form, headers = {}) {
      const ask = () => postForm(url + path, form, typeof headers === 'function' ? headers() : headers)
      let answer = await ask()
      // Whose time is the test's own stands still when the test says so.
      if (options.surroundings !== undefined) return answer
      for (let tries = 1; tries < TRIES && STOOD_STILL.includes(answer.body?.reason); tries++) {
        await registry.lookNow()
        await new Promise((resolve) => setTimeout(resolve, 20)) // Another region may have to look, too.
        answer = await ask()
      }
      return answer
    },
    async close() {
      await node.close()
      if (options.bus === undefined) await bus.close()
      if (options.store === undefined) await store.close()
    },
  }
}

/** Who signed in, where and how; written as the sign-in page would have. */
async function signIn(
  subject: SubjectId,
  store: Store,
  { clock, chance }: Surroundings,
  settings: PolicySettings,
): Promise<SignedIn> {
  const nowMs = clock.now()
  const nowAt = epochSeconds(nowMs)
  const standing = { status: 'active', cutoffMs: 0, revokedMs: 0 } as const
  const device = newId<DeviceId>(nowMs, chance)
  const session = newId<SessionId>(nowMs, chance)
  const person = await store.subjects.find(subject)
  const everything = await issuerStanding(store)
  const createdAtMs = Math.max(nowMs, ...[person, everything].map((one) => Math.max(one?.cutoffMs ?? 0, one?.revokedMs ?? 0) + 1))
  const acr = 'urn:signet:acr:passkey'
  const times = { idleExpiresAt: nowAt + settings.sessionIdleSeconds, expiresAt: nowAt + settings.sessionMaxSeconds }
  await store.transact(async (tx) => {
    const name = 'A browser in a test'
    await tx.devices.create({
      id: device,
      subject,
      secretHash: chance.bytes(32),
      name,
      createdAt: nowAt,
      lastSeenAt: nowAt,
      ...standing,
    })
    const proof = { authAt: nowAt, acr, amr: ['hwk', 'user', 'mfa'] }
    await tx.sessions.create({
      id: session,
      subject,
      device,
      secretHash: chance.bytes(32),
      createdAtMs,
      ...proof,
      ...times,
      ...standing,
    })
  })
  return { subject, session, device, authAt: nowAt, createdAtMs }
}

export function testClient(record: Partial<ClientRecord>, createdAt = 0): ClientRecord {
  return {
    id: 'client' as ClientId,
    name: 'A client in a test',
    platform: 'web',
    authMethod: 'client_secret_basic',
    secrets: [{ sha256: sha256(TEST_SECRET), createdAt }],
    jwks: [],
    redirectUris: [TEST_REDIRECT],
    postLogoutRedirectUris: [],
    grantTypes: ['authorization_code', 'refresh_token', 'client_credentials'],
    scopes: ['openid', 'profile', 'email', 'api:read', 'api:write'],
    resources: [TEST_API],
    introspects: [],
    dpopBound: false,
    firstParty: true,
    createdAt,
    status: 'active',
    cutoffMs: 0,
    revokedMs: 0,
    ...record,
  }
}

function testResource(record: Partial<ResourceRecord>, createdAt: number): ResourceRecord {
  return {
    uri: TEST_API,
    name: 'An API in a test',
    scopes: [
      { name: 'api:read', description: 'Read' },
      { name: 'api:write', description: 'Write' },
    ],
    dpopRequired: false,
    createdAt,
    ...record,
  }
}

async function postForm(url: string, form: Form, headers: Record<string, string>): Promise<FormAnswer> {
  const body = new URLSearchParams()
  for (const [name, value] of Object.entries(form)) if (value !== undefined) body.append(name, value)
  const response = await fetch(url, { method: 'POST', body, headers, redirect: 'manual' })
  const text = await response.text()
  const isJson = response.headers.get('content-type')?.startsWith('application/json') === true
  return { status: response.status, headers: response.headers, text, body: isJson ? JSON.parse(text) : undefined }
}
