/** What may be a client: judged as a whole, since platform, authentication, grants and URIs have to fit together (RFC 9700). */
import type { RefusalDetail } from '@signet/kernel/errors.ts'
import { isOpenIdScope, OWN_SCOPES } from '../grants/target.ts'
import type { PolicySettings } from '../policy/settings.ts'
import type { ClientRecord, PlatformClass } from '../store/ports/clients.ts'
import type { ResourceRecord } from '../store/ports/resources.ts'

/** Everything that is wrong with it. `resources`: those it names that there are. */
export function judgeClient(
  client: ClientRecord,
  resources: readonly ResourceRecord[],
  issuer: string,
  settings: PolicySettings,
): RefusalDetail[] {
  return [
    ...judgeGrants(client),
    ...judgeUris(client),
    ...judgeTargets(client, resources, issuer),
    ...judgeLives(client, settings),
  ]
}

function judgeGrants(client: ClientRecord): RefusalDetail[] {
  const { authMethod, grantTypes, platform } = client
  const wrong: RefusalDetail[] = []
  const has = (grant: ClientRecord['grantTypes'][number]) => grantTypes.includes(grant)
  if (authMethod === 'none' && platform === 'service') wrong.push({ path: 'auth_method', message: 'a service must prove itself' })
  if (authMethod === 'none' && has('client_credentials'))
    wrong.push({ path: 'grant_types', message: 'client_credentials is for clients that prove themselves' })
  // What a browser or an installed application carries, whoever has it can read (RFC 8252 §8.5).
  if ((platform === 'browser' || platform === 'native') && authMethod.startsWith('client_secret')) {
    wrong.push({ path: 'auth_method', message: `a ${platform} application cannot keep a secret; use none, PKCE protects it` })
  }
  if (authMethod === 'private_key_jwt' && client.jwks.length === 0)
    wrong.push({ path: 'jwks', message: 'private_key_jwt needs the public key' })
  if (has('refresh_token') && !has('authorization_code'))
    wrong.push({ path: 'grant_types', message: 'refresh_token comes with authorization_code; services ask again instead' })
  return wrong
}

function judgeUris(client: ClientRecord): RefusalDetail[] {
  const wrong: RefusalDetail[] = []
  const signsIn = client.grantTypes.includes('authorization_code')
  if (signsIn && client.redirectUris.length === 0)
    wrong.push({ path: 'redirect_uris', message: 'authorization_code needs one at least' })
  if (!signsIn && client.redirectUris.length > 0)
    wrong.push({ path: 'redirect_uris', message: 'only authorization_code uses them' })
  for (const [name, uris] of [
    ['redirect_uris', client.redirectUris],
    ['post_logout_redirect_uris', client.postLogoutRedirectUris],
  ] as const) {
    for (const [i, uri] of uris.entries()) {
      const message = judgeUri(uri, client.platform)
      if (message !== undefined) wrong.push({ path: `${name}.${i}`, message })
    }
  }
  return wrong
}

/** A scheme of an application's own is a domain name turned round (RFC 8252 §7.1), so that `javascript:` and its like never pass. */
const OWN_SCHEME = /^[a-z][a-z0-9-]*(\.[a-z0-9][a-z0-9-]*)+:\/?[^/]/

function judgeUri(text: string, platform: PlatformClass): string | undefined {
  const url = URL.parse(text)
  if (url === null || /[\s\p{C}\\*]/u.test(text)) return 'must be an absolute URI without spaces or wildcards'
  // RFC 3986 §2: and headers carry no other characters.
  if (!/^[\x21-\x7e]+$/.test(text)) return 'must be ASCII: write host names in punycode and percent-encode the rest'
  if (text.includes('#')) return 'must not have a fragment (RFC 6749 §3.1.2)'
  if (url.username !== '' || url.password !== '') return 'must not hold credentials'
  if (url.protocol === 'https:') return undefined
  if (url.protocol === 'http:') return isLoopback(url.hostname) ? undefined : 'plain http is for loopback only; use https'
  if (platform === 'native' && OWN_SCHEME.test(text)) return undefined
  return platform === 'native'
    ? "an application's own scheme must look like com.example.app:/path"
    : 'must be https, or http on loopback'
}

const isLoopback = (host: string): boolean => host === 'localhost' || host === '[::1]' || /^127\.\d+\.\d+\.\d+$/.test(host)

function judgeTargets(client: ClientRecord, known: readonly ResourceRecord[], issuer: string): RefusalDetail[] {
  const exists = (uri: string) => uri === issuer || known.some((resource) => resource.uri === uri)
  const wrong: RefusalDetail[] = []
  for (const [i, uri] of client.resources.entries())
    if (!exists(uri)) wrong.push({ path: `resources.${i}`, message: 'there is no such resource; make it first' })
  for (const [i, uri] of client.introspects.entries())
    if (!exists(uri)) wrong.push({ path: `introspects.${i}`, message: 'there is no such resource; make it first' })
  if (client.introspects.length > 0 && client.authMethod === 'none')
    wrong.push({ path: 'introspects', message: 'only for clients that prove themselves (RFC 7662 §2.1)' })
  const ofResources = new Set(
    known
      .filter((resource) => client.resources.includes(resource.uri))
      .flatMap((resource) => resource.scopes.map((scope) => scope.name)),
  )
  for (const [i, name] of client.scopes.entries()) {
    const isOwn = OWN_SCOPES.some((scope) => scope.name === name)
    if (!isOwn && !ofResources.has(name)) wrong.push({ path: `scopes.${i}`, message: 'belongs to none of its resources' })
    // Scopes of a person say nothing of a client that asks for itself alone.
    if (isOpenIdScope(name) && !client.grantTypes.includes('authorization_code'))
      wrong.push({ path: `scopes.${i}`, message: 'is about a person who signs in; this client signs nobody in' })
  }
  return wrong
}

function judgeLives(client: ClientRecord, settings: PolicySettings): RefusalDetail[] {
  const wrong: RefusalDetail[] = []
  const above = (path: string, own: number | undefined, cap: number) => {
    if (own !== undefined && own > cap) wrong.push({ path, message: `must be at most ${cap}, which policy allows` })
  }
  above('access_token_seconds', client.accessTokenSeconds, settings.accessTokenSeconds)
  above('refresh_idle_seconds', client.refreshIdleSeconds, settings.refreshIdleSeconds)
  above('refresh_max_seconds', client.refreshMaxSeconds, settings.refreshMaxSeconds)
  return wrong
}
