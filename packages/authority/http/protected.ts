/**
 * The authority as a resource server: its own API takes access tokens whose audience is the issuer, and judges them with the validator
 * that every service uses (ADR 3), fed from this process's own knowledge.
 */
import type { AccessTokenClaims } from '@signet/kernel/claims.ts'
import type { RevocationView } from '@signet/kernel/revocation-view.ts'
import type { Surroundings } from '@signet/kernel/surroundings.ts'
import type { Allow, Deny } from '@signet/kernel/verdict.ts'
import type { Proof } from '@signet/validator/dpop.ts'
import { createValidator, type Validator } from '@signet/validator/validator.ts'
import type { FastifyReply, FastifyRequest } from 'fastify'
import type { GrantParts } from '../grants/grant.ts'
import type { KeyRing } from '../keys/key-ring.ts'
import type { PolicySettings } from '../policy/settings.ts'
import type { AdminAccess } from './admin/authorise.ts'
import { ringMacs } from './oauth/dpop.ts'
import { OWN_PERMISSIONS } from './own-permissions.ts'

/** The authority's validator. Nonces are shared by all nodes, and a proof works once on all of them. */
export function createOwnValidator(parts: {
  issuer: string
  store: Pick<GrantParts['store'], 'transact'>
  keys: Pick<KeyRing, 'ring' | 'publicKey'>
  registry: { readonly view: RevocationView; ageMs(): number }
  settings: PolicySettings
  surroundings: Surroundings
}): Validator {
  const { issuer, store, keys, registry, settings, surroundings } = parts
  const replay = async ({ replayKey, usableUntilMs }: Proof) => {
    const fresh = await store.transact((tx) => tx.replay.remember(replayKey, Math.ceil(usableUntilMs / 1000)))
    return fresh ? 'fresh' : 'replayed'
  }
  return createValidator({
    issuer,
    audience: issuer,
    publicUrl: issuer,
    permissions: OWN_PERMISSIONS,
    clockSkewSeconds: settings.leewaySeconds,
    dpop: { nonceKey: () => ringMacs(keys), replay },
    source: { view: registry.view, keys: { find: (kid) => usableKey(keys, kid) }, stalenessMs: () => registry.ageMs() },
    surroundings,
    allowInsecureHttp: true, // It speaks to nobody; what the issuer's URL may be is for config.ts to say.
  })
}

function usableKey(keys: Pick<KeyRing, 'publicKey'>, kid: string) {
  const known = keys.publicKey(kid)
  if (known?.purpose !== 'token' || known.state === 'retired' || known.state === 'compromised') return undefined
  return known
}

/** Thrown when a token does not open a route; the one catch answers with the verdict's own status and challenge. */
export class Denied extends Error {
  readonly deny: Deny
  constructor(deny: Deny) {
    super(`denied: ${deny.reason}`)
    this.name = 'Denied'
    this.deny = deny
  }
}

export type OwnValidator = Pick<Validator, 'validate' | 'dpopNonce'>

/** The verdict on the token that came with a request, or `Denied`. Sets the next nonce for whoever sends proofs (RFC 9449 §8.2). */
export async function requireToken(
  request: FastifyRequest,
  reply: FastifyReply,
  validator: OwnValidator,
  needs: string | readonly string[],
): Promise<Allow> {
  reply.header('cache-control', 'no-store')
  const { method, url, headers } = request
  const verdict = await validator.validate({ method, url, headers }, { needs })
  if (!verdict.allowed) throw new Denied(verdict)
  const nonce = request.headers.dpop === undefined ? undefined : validator.dpopNonce()
  if (nonce !== undefined) reply.header('dpop-nonce', nonce)
  return verdict
}

/** The admin API's way in. */
export function createAdminAccess(validator: OwnValidator): AdminAccess {
  return {
    check: async (request, reply, needs): Promise<AccessTokenClaims> =>
      (await requireToken(request, reply, validator, needs)).claims,
  }
}
