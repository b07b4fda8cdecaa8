/**
 * Access tokens of ours that somebody shows without using them. Read by the code that every validator runs (ADR 3), for whichever
 * audience and without a proof of their key: those matter to the resource they are meant for, and whoever introspects or
 * revokes a token only holds it. An opaque one is opened first, and is then like any other.
 */
import type { AccessTokenClaims } from '@signet/kernel/claims.ts'
import { opaqueKind } from '@signet/kernel/opaque-token.ts'
import type { RevocationView } from '@signet/kernel/revocation-view.ts'
import type { Clock, Sha256 } from '@signet/kernel/surroundings.ts'
import { createKeyer, isRevoked } from '@signet/kernel/token-keys.ts'
import { TwoGenerations } from '@signet/kernel/two-generations.ts'
import type { DenyReason } from '@signet/kernel/verdict.ts'
import { algorithm, SIGNET_ALGORITHMS, type VerifyingKey, verifyingKey } from '@signet/validator/jwk.ts'
import { createHeaderMemory, parseJws } from '@signet/validator/jws.ts'
import { compilePermissions } from '@signet/validator/permissions.ts'
import { keysOf, MAX_TOKEN_CHARS, readToken, type SeenToken, SIGNET_TYPES, type TrustedIssuer } from '@signet/validator/token.ts'
import type { KeyRing, PublicKey } from '../keys/key-ring.ts'
import type { PolicySettings } from '../policy/settings.ts'
import { openAccessToken } from '../tokens/opaque-access-token.ts'

export type Life =
  | { readonly alive: true; readonly claims: AccessTokenClaims }
  | { readonly alive: false; readonly reason: DenyReason }

export interface LivingTokens {
  /** Whether it lives, and if not, which step said so. */
  judge(token: string): Life
  /** The claims of a token that we signed, whether it still lives or not. */
  genuine(token: string): AccessTokenClaims | undefined
}

/** Tokens whose signature need not be verified again; some 1 KiB each. */
const REMEMBERED = 4096
/** Longest life that any policy may give (load-settings.ts). */
const MAX_LIFE_SECONDS = 3600

export function createLivingTokens(parts: {
  issuer: string
  keys: Pick<KeyRing, 'publicKey' | 'ring'>
  registry: { readonly view: RevocationView }
  settings: PolicySettings
  clock: Clock
  sha256: Sha256
}): LivingTokens {
  const { registry, clock, settings } = parts
  const memory = createHeaderMemory()
  const keyer = createKeyer(parts.sha256)
  const { holding } = compilePermissions(undefined, settings.leewaySeconds + 1)
  const seen = new TwoGenerations<string, SeenToken>(REMEMBERED)

  /** Read as at `atMs`, for the audiences it names itself. */
  function read(token: string, atMs: (iat: unknown) => number): SeenToken | DenyReason {
    const jws = parseJws(token, MAX_TOKEN_CHARS, memory)
    if (typeof jws === 'string') return jws
    const audiences = [jws.payload.aud].flat().filter((each) => typeof each === 'string')
    const issuers = new Map([[parts.issuer, ourselves(parts, audiences)]])
    const skewMs = settings.leewaySeconds * 1000
    return readToken(token, atMs(jws.payload.iat), { issuers, memory, skewMs, holding, keys: { version: 0 } })
  }

  /** The JWT: the text itself, or what is sealed in it. */
  const signed = (text: string): string | undefined =>
    opaqueKind(text) === 'access_token' ? openAccessToken(text, parts.keys) : text

  return {
    judge(text) {
      const token = signed(text)
      if (token === undefined) return { alive: false, reason: 'malformed' }
      const known = seen.get(token) ?? read(token, () => clock.now())
      if (typeof known === 'string') return { alive: false, reason: known }
      if (clock.now() >= known.claims.exp * 1000) return { alive: false, reason: 'expired' }
      seen.set(token, known)
      // Compromised since, or retired.
      if (trusted(parts.keys, known.kid)?.key !== known.key.key) return { alive: false, reason: 'unknown_key' }
      const { view } = registry
      if (known.viewVersion !== view.version) {
        known.revokedBy = isRevoked(view, keyer, keysOf(known), known.issuedAtMs)
        known.viewVersion = view.version
      }
      return known.revokedBy === undefined ? { alive: true, claims: known.claims } : { alive: false, reason: 'revoked' }
    },
    genuine(text) {
      const token = signed(text)
      if (token === undefined) return undefined
      // At its own issue time no token of ours is expired.
      const known = read(token, (iat) => (typeof iat === 'number' ? iat * 1000 : 0))
      return typeof known === 'string' ? undefined : known.claims
    },
  }
}

function ourselves(parts: { issuer: string; keys: Pick<KeyRing, 'publicKey'> }, audiences: readonly string[]): TrustedIssuer {
  return {
    issuer: parts.issuer,
    audiences,
    algorithms: new Set(SIGNET_ALGORITHMS),
    types: SIGNET_TYPES,
    keys: { find: (kid, alg) => findKey(parts.keys, kid, alg) },
    isSignet: true,
    maxLifeSeconds: MAX_LIFE_SECONDS,
  }
}

function findKey(keys: Pick<KeyRing, 'publicKey'>, kid: string | undefined, alg: string): VerifyingKey | undefined {
  const known = trusted(keys, kid)
  const named = algorithm(alg)
  return known === undefined || named === undefined || known.alg !== alg ? undefined : verifyingKey(known.key, named)
}

/** A token key of ours whose signatures count. */
function trusted(keys: Pick<KeyRing, 'publicKey'>, kid: string | undefined): PublicKey | undefined {
  const known = kid === undefined ? undefined : keys.publicKey(kid)
  if (known?.purpose !== 'token' || known.state === 'compromised' || known.state === 'retired') return undefined
  return known
}
