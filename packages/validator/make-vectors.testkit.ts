/**
 * Makes vectors/access-tokens.json: tokens with the verdict they deserve, for the validator, introspection, gateways and validators in other
 * languages. Run it by hand when cases are added: `node packages/validator/make-vectors.testkit.ts`. The private keys are made here
 * and forgotten, so the file is all there is.
 */
import { createHash, createHmac } from 'node:crypto'
import { writeFile } from 'node:fs/promises'
import { newId } from '@signet/kernel/ids.ts'
import { ath, chance, dpopKey, signJws, type TestKey, testKey } from './issuer.testkit.ts'

const NOW = Date.UTC(2027, 0, 15, 12)
const ISSUER = 'https://id.example'
const AUDIENCE = 'https://api.example'
const iat = NOW / 1000 - 60
const keys = { es: testKey('es-1'), ed: testKey('ed-1', 'EdDSA'), rs: testKey('rs-1', 'RS256'), ps: testKey('ps-1', 'PS256') }
const stranger = testKey('es-1')
const encode = (value: unknown): string =>
  Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)).toString('base64url')

const claims = {
  iss: ISSUER,
  sub: '019bc000-0000-7000-8000-0000000000aa',
  aud: AUDIENCE,
  client_id: 'web-shop',
  scope: 'catalogue:read payments:write',
  iat,
  exp: iat + 300,
  jti: newId<string>(iat * 1000 + 250, chance),
  gid: '019bc000-0000-7000-8000-0000000000bb',
  sid: '019bc000-0000-7000-8000-0000000000cc',
  did: '019bc000-0000-7000-8000-0000000000dd',
  acr: 'urn:signet:acr:password',
  auth_time: iat - 100,
}
type Json = Record<string, unknown>
const token = (more: Json = {}, { key = keys.es, header = {} }: { key?: TestKey; header?: Json } = {}): string =>
  signJws(key, { typ: 'at+jwt', ...header }, { ...claims, ...more })
const without = (name: keyof typeof claims): string => {
  const { [name]: _left, ...rest } = claims
  return signJws(keys.es, { typ: 'at+jwt' }, rest)
}
const good = token()
const [h = '', p = '', s = ''] = good.split('.')
const flip = (text: string, at: number): string => text.slice(0, at) + (text[at] === 'A' ? 'B' : 'A') + text.slice(at + 1)
const hmacWithPublicKey = (alg: string): string => {
  const head = `${encode({ alg, kid: keys.es.kid, typ: 'at+jwt' })}.${p}`
  const secret = keys.es.publicKey.export({ type: 'spki', format: 'pem' })
  return `${head}.${createHmac('sha256', secret).update(head).digest('base64url')}`
}

interface Case {
  readonly name: string
  readonly token: string
  readonly request?: Json
  readonly needs?: string
  readonly staleness_ms?: number
  readonly revoked?: readonly { kind: string; id: string; cutoff_ms: number }[]
  readonly verdict: string
  readonly permissions?: readonly string[]
}
const ok = (name: string, text: string, more: Partial<Case> = {}): Case => ({ name, token: text, verdict: 'allowed', ...more })
const no = (name: string, text: string, verdict: string, more: Partial<Case> = {}): Case => ({
  name,
  token: text,
  verdict,
  ...more,
})

const issuedAtMs = iat * 1000 + 250
const revoked = (kind: string, id: string, cutoff_ms = issuedAtMs) => ({ revoked: [{ kind, id, cutoff_ms }] })
const ids = (count: number) => Array.from({ length: count }, () => newId<string>(issuedAtMs - 5000, chance))
const ancestors = ids(2)

const dpop = dpopKey()
const otherDpop = dpopKey()
const bound = token({ cnf: { jkt: dpop.jkt } })
const htu = `${AUDIENCE}/pay`
const proof = (more: Json = {}, header: Json = {}): string =>
  dpop.proof({ iat: NOW / 1000, htm: 'POST', htu, ath: ath(bound), ...more }, header)
const shown = (text: string | string[] | undefined, more: Json = {}) => ({
  request: { scheme: 'DPoP', method: 'POST', url: '/pay?amount=1', ...(text === undefined ? {} : { dpop: text }), ...more },
})
const certificate = createHash('sha256').update('a certificate').digest('base64url')
const certificateBound = token({ cnf: { 'x5t#S256': certificate } })
const privateJwk = dpop.key.privateKey.export({ format: 'jwk' })

const cases: readonly Case[] = [
  ok('a good token', good, { permissions: ['catalogue:read', 'payments:write'] }),
  ok('typ in upper case', token({}, { header: { typ: 'AT+JWT' } })),
  ok('typ as a whole media type', token({}, { header: { typ: 'application/at+jwt' } })),
  ok('several audiences, ours among them', token({ aud: ['https://other.example', AUDIENCE] })),
  ok('signed with EdDSA', token({}, { key: keys.ed })),
  ok('signed with RS256', token({}, { key: keys.rs })),
  ok('signed with PS256', token({}, { key: keys.ps })),
  ok('claims and headers nobody knows', token({ colour: 'red', deep: { a: [1] } }, { header: { colour: 'red' } })),
  no('no token', '', 'missing'),
  no('text', 'not a token', 'malformed'),
  no('two segments', `${h}.${p}`, 'malformed'),
  no('four segments', `${good}.${s}`, 'malformed'),
  no('a header that is no JSON', `${encode('{')}.${p}.${s}`, 'malformed'),
  no('a payload that is a list', `${h}.${encode([])}.${s}`, 'malformed'),
  no('padding in the signature', `${good}==`, 'malformed'),
  no('white space in the payload', `${h}.${p.slice(0, 4)} ${p.slice(4)}.${s}`, 'malformed'),
  no('standard base64', `${h}.${p}.${s.replace(/[-_]/g, '+').slice(0, -1)}/`, 'malformed'),
  no('longer than 8 KiB', token({ padding: 'x'.repeat(8192) }), 'malformed'),
  no('a critical header nobody knows', token({}, { header: { crit: ['exp'], exp: 1 } }), 'malformed'),
  no('alg none, no signature', `${encode({ alg: 'none', typ: 'at+jwt' })}.${p}.`, 'malformed'),
  no('alg none, with a signature', `${encode({ alg: 'none', kid: 'es-1', typ: 'at+jwt' })}.${p}.${s}`, 'unsupported_algorithm'),
  no('alg nOnE', `${encode({ alg: 'nOnE', kid: 'es-1', typ: 'at+jwt' })}.${p}.${s}`, 'unsupported_algorithm'),
  no('HS256 over the public key', hmacWithPublicKey('HS256'), 'unsupported_algorithm'),
  no(
    'an algorithm that is not the key\u2019s',
    `${encode({ alg: 'RS256', kid: 'es-1', typ: 'at+jwt' })}.${p}.${s}`,
    'unknown_key',
  ),
  no('RS256 key used with PS256', token({}, { key: { ...keys.rs, alg: 'PS256' } }), 'unknown_key'),
  no('a key nobody knows', token({}, { key: testKey('nobody') }), 'unknown_key'),
  no(
    'a key in the header',
    token({}, { key: { ...stranger, kid: 'x' }, header: { jwk: stranger.jwk, kid: 'x' } }),
    'unknown_key',
  ),
  no('signed by a stranger', token({}, { key: stranger }), 'bad_signature'),
  no('a payload that was changed', `${h}.${encode({ ...claims, scope: 'admin' })}.${s}`, 'bad_signature'),
  no('a signature that was changed', `${h}.${p}.${flip(s, 10)}`, 'bad_signature'),
  no('a signature of zeros', `${h}.${p}.${'A'.repeat(86)}`, 'bad_signature'),
  no('a signature that is too short', `${h}.${p}.${s.slice(0, 84)}`, 'bad_signature'),
  no('an ID token', token({}, { header: { typ: 'JWT' } }), 'wrong_type'),
  no('no typ', token({}, { header: { typ: undefined } }), 'wrong_type'),
  no('a logout token', token({}, { header: { typ: 'logout+jwt' } }), 'wrong_type'),
  no('another issuer', token({ iss: 'https://other.example' }), 'wrong_issuer'),
  no('the issuer with a slash', token({ iss: `${ISSUER}/` }), 'wrong_issuer'),
  no('another audience', token({ aud: 'https://other.example' }), 'wrong_audience'),
  no('an audience that ours begins with', token({ aud: AUDIENCE.slice(0, -1) }), 'wrong_audience'),
  no('no audience in a list', token({ aud: [] }), 'wrong_audience'),
  ok('expired, but not by more than the skew', token({ exp: NOW / 1000 - 29 })),
  no('expired by the skew', token({ exp: NOW / 1000 - 30 }), 'expired'),
  ok('issued ahead, but not by more than the skew', token({ iat: NOW / 1000 + 30, jti: newId<string>(NOW + 30_000, chance) })),
  no('issued further ahead', token({ iat: NOW / 1000 + 31, jti: newId<string>(NOW + 31_000, chance) }), 'not_yet_valid'),
  no('not before a time to come', token({ nbf: NOW / 1000 + 31 }), 'not_yet_valid'),
  no('jti a second after iat', token({ jti: newId<string>((iat + 1) * 1000, chance) }), 'issue_time_mismatch'),
  no('jti before iat', token({ jti: newId<string>(iat * 1000 - 1, chance) }), 'issue_time_mismatch'),
  no('a jti that is no UUIDv7', token({ jti: '8b0d5e6c-3b1f-4d0e-9e6f-0123456789ab' }), 'malformed'),
  ...(['sub', 'aud', 'client_id', 'iat', 'exp', 'jti'] as const).map((name) => no(`no ${name}`, without(name), 'malformed')),
  no('no iss', without('iss'), 'wrong_issuer'),
  no('exp as a text', token({ exp: String(iat + 300) }), 'malformed'),
  no('exp beyond all time', token({ exp: 1e300 }), 'malformed'),
  no('nine ancestors', token({ anc: ids(9) }), 'malformed'),
  no('cnf as a text', token({ cnf: dpop.jkt }), 'malformed'),

  no('its jti was taken back', good, 'revoked', revoked('token', claims.jti)),
  no('its grant was taken back', good, 'revoked', revoked('grant', claims.gid)),
  no('its session was taken back', good, 'revoked', revoked('session', claims.sid)),
  no('its device was taken back', good, 'revoked', revoked('device', claims.did)),
  no('its subject was taken back', good, 'revoked', revoked('subject', claims.sub)),
  no('its client was taken back', good, 'revoked', revoked('client', claims.client_id)),
  no('its issuer was taken back', good, 'revoked', revoked('issuer', ISSUER)),
  no('its key was taken back, with an old cutoff', good, 'revoked', revoked('key', 'es-1', 1)),
  no('an ancestor was taken back', token({ anc: ancestors }), 'revoked', revoked('token', ancestors[0] as string)),
  ok('issued a millisecond after the cutoff', good, revoked('subject', claims.sub, issuedAtMs - 1)),
  ok('somebody else was taken back', good, revoked('subject', 'somebody else')),
  ok('a subject of the session\u2019s name was taken back', good, revoked('subject', claims.sid)),

  ok('needs a permission it has', good, { needs: 'catalogue:read' }),
  no('needs a permission it has not', good, 'insufficient_scope', { needs: 'orders:read' }),
  no('a scope of that name that no permission names', token({ scope: 'admin' }), 'insufficient_scope', {
    needs: 'catalogue:read',
  }),
  ok('stale, but not for this permission', good, {
    needs: 'catalogue:read',
    staleness_ms: 3000,
    permissions: ['catalogue:read'],
  }),
  no('too stale for this permission', good, 'stale', { needs: 'payments:write', staleness_ms: 2001 }),
  no('too stale for all it has', good, 'stale', { staleness_ms: 3_600_001 }),
  no('a stronger sign-in is needed', token({ scope: 'keys:rotate' }), 'insufficient_user_authentication', {
    needs: 'keys:rotate',
  }),
  ok('the stronger sign-in', token({ scope: 'keys:rotate', acr: 'urn:signet:acr:passkey', auth_time: NOW / 1000 - 599 }), {
    needs: 'keys:rotate',
  }),
  no(
    'the stronger sign-in, too long ago',
    token({ scope: 'keys:rotate', acr: 'urn:signet:acr:passkey', auth_time: NOW / 1000 - 600 }),
    'insufficient_user_authentication',
    { needs: 'keys:rotate' },
  ),

  ok('bound, with its proof', bound, shown(proof())),
  ok('bound, with a proof whose htu has a query', bound, shown(proof({ htu: `${htu}?amount=2#x` }))),
  ok('bound, with a proof whose htu is spelled otherwise', bound, shown(proof({ htu: 'HTTPS://API.example:443/%70ay' }))),
  no('bound, shown as a bearer token', bound, 'binding_missing', { request: { scheme: 'Bearer' } }),
  no('bound, shown as a bearer token with its proof', bound, 'binding_missing', shown(proof(), { scheme: 'Bearer' })),
  no('bound, without a proof', bound, 'binding_missing', shown(undefined)),
  no('not bound, shown as a DPoP token', good, 'binding_missing', shown(proof({ ath: ath(good) }))),
  no(
    'bound, with another key\u2019s proof',
    bound,
    'binding_invalid',
    shown(otherDpop.proof({ iat: NOW / 1000, htm: 'POST', htu, ath: ath(bound) })),
  ),
  no('bound, with two proofs', bound, 'binding_invalid', shown([proof(), proof()])),
  no('a proof for another token', bound, 'binding_invalid', shown(proof({ ath: ath(good) }))),
  no('a proof for no token', bound, 'binding_invalid', shown(proof({ ath: undefined }))),
  no('a proof for another method', bound, 'binding_invalid', shown(proof({ htm: 'GET' }))),
  no('a proof for another path', bound, 'binding_invalid', shown(proof({ htu: `${AUDIENCE}/paying` }))),
  no('a proof for another host', bound, 'binding_invalid', shown(proof({ htu: 'https://evil.example/pay' }))),
  no('a proof that is too old', bound, 'binding_invalid', shown(proof({ iat: NOW / 1000 - 91 }))),
  no('a proof from the time to come', bound, 'binding_invalid', shown(proof({ iat: NOW / 1000 + 31 }))),
  no('a proof of another type', bound, 'binding_invalid', shown(proof({}, { typ: 'JWT' }))),
  no('a proof with a private key', bound, 'binding_invalid', shown(proof({}, { jwk: privateJwk }))),
  no('a proof without a key', bound, 'binding_invalid', shown(proof({}, { jwk: undefined }))),
  no('a proof without jti', bound, 'binding_invalid', shown(proof({ jti: undefined }))),
  no('a proof whose signature was changed', bound, 'binding_invalid', shown(flip(proof(), proof().length - 20))),
  no('an access token as its own proof', bound, 'binding_invalid', shown(bound)),
  ok('certificate-bound, over that connection', certificateBound, { request: { certificate_thumbprint: certificate } }),
  no('certificate-bound, over another', certificateBound, 'binding_invalid', {
    request: { certificate_thumbprint: ath('other') },
  }),
  no('certificate-bound, without a certificate', certificateBound, 'binding_missing'),
  no('bound to something nobody knows', token({ cnf: { kid: 'x' } }), 'binding_invalid'),
]

const file = {
  about:
    'Access tokens and the verdict they deserve. Times are those of now_ms; proofs need no nonce here. verdict: allowed, or the reason.',
  now_ms: NOW,
  issuer: ISSUER,
  audience: AUDIENCE,
  public_url: AUDIENCE,
  skew_seconds: 30,
  proof_max_age_seconds: 60,
  jwks: { keys: Object.values(keys).map((key) => key.jwk) },
  permissions: {
    'catalogue:read': { scopes: ['catalogue:read'], max_staleness_seconds: 3600 },
    'payments:write': { scopes: ['payments:write'], max_staleness_seconds: 2 },
    'orders:read': { scopes: ['orders:read'], max_staleness_seconds: 30 },
    'keys:rotate': {
      scopes: ['keys:rotate'],
      max_staleness_seconds: 30,
      acr_values: ['urn:signet:acr:passkey'],
      max_age_seconds: 600,
    },
  },
  cases,
}
await writeFile(new URL('../../vectors/access-tokens.json', import.meta.url), `${JSON.stringify(file, null, 2)}\n`)
