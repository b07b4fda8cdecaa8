/** What the claims of a token mean, in words. */
import type { Cli } from '../cli.ts'
import type { Jws } from '../jws.ts'
import { printable } from '../output/printable.ts'
import { details } from '../output/table.ts'
import { moment } from '../output/time.ts'

type Explain = (value: unknown, nowMs: number) => string

const text = (value: unknown): string => printable(typeof value === 'string' ? value : JSON.stringify(value))
const time = (value: unknown, nowMs: number): string => (typeof value === 'number' ? moment(value * 1000, nowMs) : text(value))

/** RFC 9068 §2.2, RFC 7519 §4.1, RFC 7800, RFC 8693 §4.1, OpenID Connect Core §2, and Signet's own. */
const CLAIMS: Readonly<Record<string, { readonly label: string; readonly explain: Explain }>> = {
  iss: { label: 'issued by', explain: text },
  sub: { label: 'about', explain: text },
  aud: { label: 'for', explain: (value) => (Array.isArray(value) ? value.map(text).join(', ') : text(value)) },
  client_id: { label: 'held by client', explain: text },
  azp: { label: 'held by client', explain: text },
  scope: { label: 'may', explain: text },
  iat: { label: 'issued', explain: time },
  nbf: { label: 'not before', explain: time },
  exp: {
    label: 'expires',
    explain: (value, nowMs) =>
      typeof value === 'number' && value * 1000 <= nowMs ? `${time(value, nowMs)}, so it is over` : time(value, nowMs),
  },
  jti: { label: 'token id', explain: text },
  gid: { label: 'from grant', explain: text },
  sid: { label: 'in session', explain: text },
  did: { label: 'on device', explain: text },
  auth_time: { label: 'signed in', explain: time },
  acr: { label: 'assurance', explain: text },
  amr: {
    label: 'proven by',
    explain: (value) =>
      Array.isArray(value) ? value.map((method) => METHODS[String(method)] ?? text(method)).join(', ') : text(value),
  },
  cnf: { label: 'bound to', explain: binding },
  act: { label: 'acted for by', explain: actors },
  anc: { label: 'derived from', explain: (value) => (Array.isArray(value) ? value.map(text).join(' → ') : text(value)) },
  pv: { label: 'under policy', explain: text },
  nonce: { label: 'answers nonce', explain: text },
  at_hash: { label: 'goes with', explain: (value) => `the access token whose hash is ${text(value)}` },
}

/** RFC 8176. */
const METHODS: Readonly<Record<string, string>> = {
  pwd: 'password',
  hwk: 'a key in hardware',
  swk: 'a key in software',
  user: 'presence',
  pin: 'PIN',
  fpt: 'fingerprint',
  face: 'face',
  otp: 'one-time code',
  mfa: 'several factors',
  pop: 'possession of a key',
}

const TYPES: Readonly<Record<string, string>> = {
  'at+jwt': 'access token (RFC 9068)',
  'application/at+jwt': 'access token (RFC 9068)',
  jwt: 'JWT of no particular type',
  'logout+jwt': 'logout token',
  'dpop+jwt': 'DPoP proof: not a token, but the proof that goes with one',
}

export function explainClaims(cli: Cli, jws: Jws): string {
  const nowMs = cli.now()
  const type = String(jws.header.typ ?? 'none')
  const known = Object.entries(CLAIMS).flatMap(([name, { label, explain }]) =>
    name in jws.payload ? [[label, `${explain(jws.payload[name], nowMs)} ${cli.out.dim(name)}`] as const] : [],
  )
  const others = Object.entries(jws.payload).flatMap(([name, value]) =>
    name in CLAIMS ? [] : [[printable(name), text(value)] as const],
  )
  return details(
    [
      ['type', `${TYPES[type.toLowerCase()] ?? printable(type)} ${cli.out.dim('typ')}`],
      [
        'signed with',
        `${text(jws.header.alg ?? 'nothing')}, key ${text(jws.header.kid ?? 'unnamed')} ${cli.out.dim('alg, kid')}`,
      ],
      ...known,
      ...others,
    ],
    cli.out,
  )
}

function binding(value: unknown): string {
  const { jkt, 'x5t#S256': certificate } = (value ?? {}) as Record<string, unknown>
  if (jkt !== undefined) return `the DPoP key with thumbprint ${text(jkt)}: useless without it`
  if (certificate !== undefined) return `the TLS certificate with thumbprint ${text(certificate)}: useless without it`
  return text(value)
}

function actors(value: unknown): string {
  const chain: string[] = []
  for (
    let actor = value as { sub?: unknown; act?: unknown } | undefined;
    actor?.sub !== undefined && chain.length < 16;
    actor = actor.act as never
  )
    chain.push(text(actor.sub))
  return chain.length === 0 ? text(value) : chain.join(', itself acted for by ')
}
