/**
 * Who is asking. A client proves itself by the one method it is registered for (RFC 9700 §2.5) and no other. An unknown client, a
 * wrong secret and a wrong method get the same answer after the same work.
 */
import { timingSafeEqual } from 'node:crypto'
import { type Refusal, refusal } from '@signet/kernel/errors.ts'
import type { ClientId } from '@signet/kernel/ids.ts'
import type { Secret } from '@signet/kernel/secret.ts'
import { type Clock, epochSeconds, type Sha256 } from '@signet/kernel/surroundings.ts'
import type { PolicySettings } from '../policy/settings.ts'
import type { ClientRecord } from '../store/ports/clients.ts'
import type { LogEntry } from '../store/ports/revocations.ts'
import type { Store } from '../store/store.ts'
import { assertedClient, verifyAssertion } from './client-assertion.ts'
import { createRecent, type Moment, type Recent } from './recent.ts'
import type { SingleUse } from './single-use.ts'

/** What a request brought to prove who it is from; the door has found exactly one. */
export type ClientCredentials =
  | { readonly method: 'client_secret_basic' | 'client_secret_post'; readonly clientId: string; readonly secret: Secret }
  | { readonly method: 'private_key_jwt'; readonly clientId: string | undefined; readonly assertion: Secret }
  | { readonly method: 'none'; readonly clientId: string }

export interface AuthenticatedClient {
  readonly record: ClientRecord
  /** When the store was asked about it: nothing may be minted on knowledge older than `mintStalenessMilliseconds`. */
  readonly knownAt: Moment
  /** The assertion, to be used up by what it is presented for. */
  readonly uses: readonly SingleUse[]
}

export interface ClientParts {
  readonly clients: KnownClients
  readonly issuer: string
  readonly settings: PolicySettings
  readonly clock: Clock
  readonly sha256: Sha256
}

export type ClientReason =
  | 'client_authentication_failed'
  | 'assertion_expired'
  | 'assertion_invalid'
  | 'assertion_replayed'
  | 'client_suspended'

/**
 * The client, or a refusal: `invalid_client`, or `access_denied` when it is suspended (so that it keeps its tokens, which
 * work again when it is resumed).
 */
export async function authenticateClient(credentials: ClientCredentials, parts: ClientParts): Promise<AuthenticatedClient> {
  const clientId = credentials.method === 'private_key_jwt' ? assertedClient(credentials) : credentials.clientId
  if (!clientId || !CLIENT_ID.test(clientId)) throw failed()
  const answer = parts.clients.find(clientId)
  const { value: record, at: knownAt } = await answer
  const registered = record?.authMethod === credentials.method && record.status !== 'revoked' ? record : undefined
  const uses = await prove(credentials, registered, parts)
  if (registered === undefined || uses === undefined) {
    if (!(answer instanceof Promise)) await lookForNobody(parts.clients)
    throw failed()
  }
  const client = { record: registered, knownAt, uses }
  // Being resumed is no entry of the log, and whoever was told that it is done need not wait until the store is asked again.
  return registered.status === 'suspended' ? clientAgain(client, parts.clients) : client
}

/** A client that another region has authenticated; how it stands here counts all the same. One with a secret here has to have proven itself there. */
export async function vouchedClient(
  { client, proven }: { readonly client: string; readonly proven: boolean },
  parts: ClientParts,
): Promise<AuthenticatedClient> {
  const { value: record, at: knownAt } = await parts.clients.find(client)
  if (record !== undefined && record.authMethod !== 'none' && !proven) throw failed()
  return { record: active(record), knownAt, uses: [] }
}

/** The client of a request once more, as the store knows it now. It has proven itself; whether it still may ask is judged anew. */
export async function clientAgain(client: AuthenticatedClient, clients: KnownClients): Promise<AuthenticatedClient> {
  clients.forget(client.record.id)
  const { value: record, at: knownAt } = await clients.find(client.record.id)
  return { ...client, record: active(record), knownAt }
}

/** One that has proven itself, elsewhere or before, and may ask. */
function active(record: ClientRecord | undefined): ClientRecord {
  if (record === undefined || record.status === 'revoked') throw failed()
  if (record.status === 'suspended') throw refusal('access_denied', 'client_suspended' satisfies ClientReason)
  return record
}

/**
 * Every refusal costs one look at the store that finds nothing: to guess at a busy client's name, which is remembered, takes as long as
 * at one that nobody ever heard of.
 */
async function lookForNobody(clients: KnownClients): Promise<void> {
  clients.forget(NOBODY)
  await clients.find(NOBODY)
}

/** No client has this name. */
const NOBODY = ''

/** What the proof uses up, or undefined when it is none. Does its work for an unregistered client too. */
async function prove(
  credentials: ClientCredentials,
  client: ClientRecord | undefined,
  parts: ClientParts,
): Promise<readonly SingleUse[] | undefined> {
  switch (credentials.method) {
    case 'none':
      return client === undefined ? undefined : []
    case 'client_secret_basic':
    case 'client_secret_post':
      return isSecretOf(client, credentials.secret, parts) ? [] : undefined
    case 'private_key_jwt': {
      const use = await verifyAssertion(credentials.assertion, client, parts)
      return use === undefined ? undefined : [use]
    }
  }
}

function isSecretOf(client: ClientRecord | undefined, secret: Secret, { sha256, clock }: ClientParts): boolean {
  const digest = sha256(secret.reveal())
  const nowAt = epochSeconds(clock.now())
  let matches = false
  for (const known of client?.secrets ?? NO_SECRETS) {
    const equal = timingSafeEqual(digest, known.sha256)
    const alive = known.expiresAt === undefined || known.expiresAt > nowAt
    matches = (equal && alive) || matches
  }
  return matches
}

// Nothing hashes to it, so comparing with it takes its time and never matches.
const NO_SECRETS: ClientRecord['secrets'] = [{ sha256: new Uint8Array(32), createdAt: 0 }]

/** RFC 6749 appendix A.1. Any other is nobody's, and PostgreSQL takes no NUL in a question. */
const CLIENT_ID = /^[\x20-\x7e]{1,128}$/
const failed = (): Refusal => refusal('invalid_client', 'client_authentication_failed' satisfies ClientReason)

// ── Knowing clients ────────────────────────────────────────────────────────────────────────────────────────────────

export type KnownClients = Recent<ClientRecord | undefined>

/** Half of what minting may rest on: the other half is left for the request itself. */
export const knowledgeMs = (settings: PolicySettings): number => settings.mintStalenessMilliseconds / 2

/** While the store is away a client is still known for so long: introspection goes on, as long as revocations are known too. */
const STALE_MS = 30_000

/** Clients as the store knew them a moment ago; at most 10 000 at once. */
export function createKnownClients(parts: {
  store: Pick<Store, 'clients'>
  settings: PolicySettings
  clock: Clock
}): KnownClients {
  return createRecent((id) => parts.store.clients.find(id as ClientId), {
    maxAgeMs: knowledgeMs(parts.settings),
    staleMs: STALE_MS,
    capacity: 10_000,
    clock: parts.clock,
  })
}

/** What tells of the log's entries, in order; the registry. */
interface Log {
  follow(follower: { applied(epoch: string, entries: readonly LogEntry[]): void; reset(): void }): unknown
}

/** Forgets what the log says has changed. */
export function followLog(clients: KnownClients, log: Log, ownIssuer: string): void {
  log.follow({
    applied(_epoch, entries) {
      for (const { kind, issuer, target } of entries) if (kind === 'client' && issuer === ownIssuer) clients.forget(target)
    },
    reset: () => clients.forgetAll(),
  })
}
