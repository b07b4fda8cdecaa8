/**
 * What a token is for: which resource (RFC 8707) and which of its scopes. Strict, so that no token works where nobody meant it to:
 * every resource must be known and the client's, every scope must belong to a resource that is asked for, and an access token has one
 * audience. The authority's own API (userinfo, admin, feed) is a resource like any other; its URI is the issuer.
 */
import { type Refusal, type RefusalCode, refusal } from '@signet/kernel/errors.ts'
import { isSubset, parseScope } from '@signet/kernel/scope.ts'
import type { Clock } from '@signet/kernel/surroundings.ts'
import { knowledgeMs } from '../clients/authenticate-client.ts'
import { createRecent, type Known } from '../clients/recent.ts'
import type { PolicySettings } from '../policy/settings.ts'
import type { ClientRecord } from '../store/ports/clients.ts'
import type { ResourceRecord } from '../store/ports/resources.ts'
import type { Store } from '../store/store.ts'

/** What a request names, as it came. */
export interface TargetRequest {
  readonly scope: string | undefined
  readonly resources: readonly string[]
}

/** What a grant is for. The first resource is the audience of a token request that names none. */
export interface Target {
  readonly resources: readonly string[]
  readonly scope: readonly string[]
}

/** What one access token is for. */
export interface TokenTarget {
  readonly resource: ResourceRecord
  readonly scope: readonly string[]
}

export type TargetReason =
  | 'malformed_scope'
  | 'scope_not_allowed'
  | 'scope_not_granted'
  | 'scope_not_of_resource'
  | 'unknown_resource'
  | 'several_resources'
  | 'resource_not_granted'

/**
 * What a client asks for, judged by what it may have. Refuses with `invalid_target` or `invalid_scope`. A client that names no
 * resource gets the first of its own; one that asks only for the authority's own scopes, or has no resource, gets the authority.
 * A client that names no scope gets those of its scopes that belong to the resources.
 */
export async function resolveTarget(request: TargetRequest, client: ClientRecord, catalog: Catalog): Promise<Target> {
  const asked = readScope(request.scope)
  if (asked !== undefined && !isSubset(asked, client.scopes)) throw refuse('invalid_scope', 'scope_not_allowed')
  const named = [...new Set(request.resources)]
  if (named.length > MAX_RESOURCES) throw refuse('invalid_target', 'several_resources')
  const uris = named.length > 0 ? named : [defaultResource(asked, client, catalog)]
  const resources = await Promise.all(uris.map((uri) => usableResource(uri, client, catalog)))
  const belongs = (name: string) => isOpenIdScope(name) || resources.some((resource) => hasScope(resource, name))
  if (asked !== undefined && !asked.every(belongs)) throw refuse('invalid_scope', 'scope_not_of_resource')
  const scope = asked ?? client.scopes.filter((name) => resources.some((resource) => hasScope(resource, name)))
  // Whoever signs someone in may ask who it was, so userinfo comes with `openid` whatever else the grant is for.
  const withUserinfo = scope.includes('openid') && !uris.includes(catalog.issuer)
  return { resources: withUserinfo ? [...uris, catalog.issuer] : uris, scope }
}

/**
 * One token's part of a grant: never more than was granted (RFC 6749 §6), than the client may still have, or than belongs to the
 * audience.
 */
export async function narrowTarget(
  granted: Target,
  request: TargetRequest,
  client: ClientRecord,
  catalog: Catalog,
): Promise<TokenTarget> {
  const [named, another] = request.resources
  if (another !== undefined && another !== named) throw refuse('invalid_target', 'several_resources')
  const uri = named ?? granted.resources[0]
  if (uri === undefined || !granted.resources.includes(uri)) throw refuse('invalid_target', 'resource_not_granted')
  const asked = readScope(request.scope)
  if (asked !== undefined && !isSubset(asked, granted.scope)) throw refuse('invalid_scope', 'scope_not_granted')
  const resource = await usableResource(uri, client, catalog)
  const wanted = asked ?? granted.scope
  const scope = wanted.filter((name) => hasScope(resource, name) && client.scopes.includes(name))
  if (asked !== undefined && asked.length > 0 && scope.length === 0) throw refuse('invalid_scope', 'scope_not_of_resource')
  return { resource, scope }
}

/** A client's own token (client_credentials): one resource, and nothing that is about a person. */
export async function ownTarget(request: TargetRequest, client: ClientRecord, catalog: Catalog): Promise<TokenTarget> {
  const target = await resolveTarget(request, client, catalog)
  if (request.scope !== undefined && target.scope.some(isOpenIdScope)) throw refuse('invalid_scope', 'scope_not_allowed')
  const scope = target.scope.filter((name) => !isOpenIdScope(name))
  return narrowTarget({ ...target, scope }, { scope: undefined, resources: request.resources }, client, catalog)
}

const MAX_RESOURCES = 8
const refuse = (code: RefusalCode, reason: TargetReason): Refusal => refusal(code, reason)

function readScope(text: string | undefined): readonly string[] | undefined {
  const names = text === undefined ? undefined : parseScope(text)
  if (text !== undefined && names === undefined) throw refuse('invalid_scope', 'malformed_scope')
  return names
}

function defaultResource(asked: readonly string[] | undefined, client: ClientRecord, catalog: Catalog): string {
  const forAuthority =
    asked !== undefined && asked.length > 0 && asked.every((name) => OWN_SCOPES.some((own) => own.name === name))
  return forAuthority ? catalog.issuer : (client.resources[0] ?? catalog.issuer)
}

// A resource that there is not and one that the client may not have look the same.
async function usableResource(uri: string, client: ClientRecord, catalog: Catalog): Promise<ResourceRecord> {
  const resource = uri === catalog.issuer || client.resources.includes(uri) ? (await catalog.find(uri)).value : undefined
  if (resource === undefined) throw refuse('invalid_target', 'unknown_resource')
  return resource
}

const hasScope = (resource: ResourceRecord, name: string): boolean => resource.scopes.some((scope) => scope.name === name)

// ── The catalog ────────────────────────────────────────────────────────────────────────────────────────────────────

/** The resources there are, as the store knew them a moment ago. */
export interface Catalog {
  readonly issuer: string
  find(uri: string): Known<ResourceRecord | undefined> | Promise<Known<ResourceRecord | undefined>>
}

/** OpenID Connect Core §5.4, §11: about the person who signs in. Granted with any resource, usable at the authority. */
export const OPENID_SCOPES = [
  { name: 'openid', description: 'Know who you are here' },
  { name: 'profile', description: 'Your name and profile' },
  { name: 'email', description: 'Your e-mail address' },
  { name: 'offline_access', description: 'Stay signed in when you are away' },
] as const

/** Every scope of the authority's own API. */
export const OWN_SCOPES: ResourceRecord['scopes'] = [
  ...OPENID_SCOPES,
  { name: 'signet:admin', description: 'Administer the authority' },
  { name: 'signet:read', description: 'See clients, people and the audit record' },
  { name: 'signet:revoke', description: 'Revoke and suspend' },
  { name: 'signet:keys', description: 'Rotate signing keys' },
  { name: 'signet:feed', description: 'Read the revocation feed' },
  { name: 'signet:region', description: 'Follow this region as another of the same issuer' },
]

export const isOpenIdScope = (name: string): boolean => OPENID_SCOPES.some((scope) => scope.name === name)

/** At most 10 000 resources at once, each for as long as minting may rest on it. */
export function createCatalog(parts: {
  store: Pick<Store, 'resources'>
  issuer: string
  settings: PolicySettings
  clock: Clock
}): Catalog {
  const { store, issuer, settings, clock } = parts
  const own: ResourceRecord = { uri: issuer, name: 'Signet', scopes: OWN_SCOPES, dpopRequired: false, createdAt: 0 }
  const recent = createRecent((uri) => store.resources.find(uri), { maxAgeMs: knowledgeMs(settings), capacity: 10_000, clock })
  return {
    issuer,
    find: (uri) =>
      uri === issuer ? { value: own, at: { wallMs: clock.now(), monotonicMs: clock.monotonic() } } : recent.find(uri),
  }
}
