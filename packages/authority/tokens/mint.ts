/**
 * The mint: turns what was decided into signed tokens. It decides nothing itself but the issue time, which lies after
 * every cutoff the caller names, so that a new token is never dead already.
 */
import { hash } from 'node:crypto'
import { ACCESS_TOKEN_TYPE, type AccessTokenClaims, type Confirmation } from '@signet/kernel/claims.ts'
import { fault } from '@signet/kernel/errors.ts'
import {
  type ClientId,
  type DeviceId,
  type FamilyId,
  type KeyId,
  newId,
  type SessionId,
  type SubjectId,
  type TokenId,
} from '@signet/kernel/ids.ts'
import { formatScope } from '@signet/kernel/scope.ts'
import { type Chance, type Clock, epochSeconds } from '@signet/kernel/surroundings.ts'
import type { KeyRing } from '../keys/key-ring.ts'
import { signJwt } from './jwt.ts'

export interface AccessTokenRequest {
  readonly subject: SubjectId
  readonly client: ClientId
  readonly scope: readonly string[]
  readonly audience: string | readonly string[]
  readonly grant?: FamilyId | undefined
  readonly session?: SessionId | undefined
  readonly device?: DeviceId | undefined
  readonly cnf?: Confirmation | undefined
  readonly acr?: string | undefined
  readonly amr?: readonly string[] | undefined
  readonly authAt?: number | undefined
  /** Life in whole seconds. */
  readonly seconds: number
  /** The largest cutoff that stands on anything this token hangs on, epoch milliseconds; 0 for none. It is issued strictly after. */
  readonly floorMs: number
  /** Version of the policy: the first 12 characters go into the token. */
  readonly policy: string
}

export interface IdTokenRequest {
  readonly subject: SubjectId
  /** The client: its audience. */
  readonly client: ClientId
  readonly nonce?: string | undefined
  /** The access token that goes with it, for `at_hash`. */
  readonly accessToken?: string | undefined
  readonly session?: SessionId | undefined
  readonly acr?: string | undefined
  readonly amr?: readonly string[] | undefined
  readonly authAt?: number | undefined
  /** What the scopes release about the person. Protocol claims win over claims of the same name. */
  readonly claims?: Readonly<Record<string, unknown>> | undefined
  readonly seconds: number
  readonly floorMs: number
}

export interface Minted {
  readonly token: string
  readonly id: TokenId
  /** What signed it, for the record: a compromised key's tokens can be found. */
  readonly key: KeyId
  readonly issuedAtMs: number
  /** Epoch seconds. */
  readonly expiresAt: number
}

export interface Mint {
  /** RFC 9068. */
  accessToken(request: AccessTokenRequest): Minted
  /** OpenID Connect Core §2. */
  idToken(request: IdTokenRequest): string
  /** Any other JWT of the issuer, signed with the token key. */
  sign(typ: string, payload: object): string
}

/**
 * All of it throws `fault('keys_unavailable')` without a key, and `fault('clock_unsure')` when a floor lies further
 * ahead than the guard and a second explain: this node's clock is behind the store's by more than it may be.
 */
export function createMint(parts: {
  readonly keys: Pick<KeyRing, 'signer'>
  readonly issuer: string
  readonly clock: Clock
  readonly chance: Chance
  readonly guardMs: number
}): Mint {
  const { keys, issuer, clock, chance, guardMs } = parts

  return {
    accessToken(request) {
      const { issuedAtMs, iat, exp } = lifeFrom(request)
      const id = newId<TokenId>(issuedAtMs, chance)
      // In the order of RFC 9068 §2.2; JSON leaves out what is undefined.
      const claims: Loose<AccessTokenClaims> = {
        iss: issuer,
        exp,
        aud: request.audience,
        sub: request.subject,
        client_id: request.client,
        iat,
        jti: id,
        auth_time: request.authAt,
        acr: request.acr,
        amr: request.amr,
        scope: request.scope.length === 0 ? undefined : formatScope(request.scope),
        gid: request.grant,
        sid: request.session,
        did: request.device,
        cnf: request.cnf,
        pv: request.policy.slice(0, POLICY_CHARACTERS),
      }
      const key = keys.signer('token')
      return { token: signJwt(key, ACCESS_TOKEN_HEADER, claims), id, key: key.id, issuedAtMs, expiresAt: exp }
    },

    idToken(request) {
      const { issuedAtMs, iat, exp } = lifeFrom(request)
      const key = keys.signer('token')
      return signJwt(key, ID_TOKEN_HEADER, {
        ...request.claims,
        iss: issuer,
        sub: request.subject,
        aud: request.client,
        exp,
        iat,
        auth_time: request.authAt,
        nonce: request.nonce,
        acr: request.acr,
        amr: request.amr,
        azp: undefined, // With one audience it says nothing, and it is not for a claim about the person to say.
        jti: newId<TokenId>(issuedAtMs, chance),
        sid: request.session,
        at_hash: request.accessToken === undefined ? undefined : halfHash(key.alg, request.accessToken),
      })
    },

    sign: (typ, payload) => signJwt(keys.signer('token'), { typ }, payload),
  }

  function lifeFrom(request: { readonly seconds: number; readonly floorMs: number }) {
    if (!Number.isSafeInteger(request.seconds) || request.seconds <= 0)
      throw new Error('a token lives whole seconds, at least one')
    const nowMs = clock.now()
    // The guard (docs/architecture.md): a cutoff lies at most that far past its commit, and it was committed before we read it.
    if (request.floorMs - nowMs > guardMs + CLOCK_SLACK_MS) throw fault('clock_unsure')
    const issuedAtMs = Math.max(nowMs, request.floorMs + 1)
    const iat = epochSeconds(issuedAtMs)
    return { issuedAtMs, iat, exp: iat + request.seconds }
  }
}

const ACCESS_TOKEN_HEADER = { typ: ACCESS_TOKEN_TYPE }
const ID_TOKEN_HEADER = { typ: 'JWT' }
const POLICY_CHARACTERS = 12
const CLOCK_SLACK_MS = 1000

type Loose<T> = { readonly [K in keyof T]: T[K] | undefined }

/**
 * OpenID Connect Core §3.1.3.6: the left half of the hash that the signature algorithm uses. For Ed25519 that is
 * SHA-512, as the OpenID working group and the client libraries read it.
 */
function halfHash(alg: string, token: string): string {
  const digest = hash(alg === 'EdDSA' ? 'sha512' : 'sha256', token, 'buffer')
  return digest.subarray(0, digest.length / 2).toString('base64url')
}
