/** `POST /token` (RFC 6749 §3.2): who asks, what was proved, which grant; the grants themselves are in `grants/`. */
import { fault, type Refusal, refusal } from '@signet/kernel/errors.ts'
import type { ClientId } from '@signet/kernel/ids.ts'
import { addressKey, networkOf } from '@signet/kernel/rate-limit.ts'
import { TwoGenerations } from '@signet/kernel/two-generations.ts'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { authorizationCode, type CodeExchangeParts } from '../../grants/authorization-code.ts'
import { clientCredentials } from '../../grants/client-credentials.ts'
import { abreast, type Caller, type TokenSet } from '../../grants/grant.ts'
import { type RefreshParts, refreshToken } from '../../grants/refresh-token.ts'
import { createRefusalRecorder } from '../../grants/refusals.ts'
import type { GrantReason } from '../../grants/refuse.ts'
import type { KeyRing } from '../../keys/key-ring.ts'
import type { Registry } from '../../revocation/registry.ts'
import type { Telemetry } from '../../telemetry/metrics.ts'
import { preflight } from '../cors.ts'
import type { Form } from '../form.ts'
import { agentOf, sightOf } from '../sight.ts'
import { type CallerParts, callerOf } from './caller.ts'
import { createProofCheck, singleUseOf } from './dpop.ts'
import { type ElsewhereParts, relay } from './elsewhere.ts'

export interface TokenParts extends CallerParts, ElsewhereParts, CodeExchangeParts, Omit<RefreshParts, 'pace' | 'refreshed'> {
  readonly registry: CodeExchangeParts['registry'] & Pick<Registry, 'lookNow' | 'reachMs'>
  readonly telemetry: Pick<Telemetry, 'issued' | 'refreshed'>
}

export function tokenRoute(app: FastifyInstance, parts: TokenParts): void {
  const { telemetry, limits } = parts
  const proofs = createProofCheck(parts)
  const sight = createSight(parts.keys)
  const refusals = createRefusalRecorder({ ...parts, take: limits.record.take })
  const grantParts = { ...parts, pace: limits.family.take, refreshed: telemetry.refreshed }

  app.post('/token', async (request, reply) => {
    reply.header('cache-control', 'no-store').header('pragma', 'no-cache') // RFC 6749 §5.1.
    const { reachMs } = parts.registry // Before anything is looked up.
    const asked: { client?: ClientId; grant?: string } = {}
    try {
      const { form, client } = await callerOf(request, reply, parts)
      asked.client = client.record.id
      const grant = knownGrant(form.need('grant_type'))
      asked.grant = grant
      // Before the proof is looked at: its nonce is the home's.
      const held = heldToken(grant, form)
      const answer = held === undefined ? undefined : await parts.elsewhere?.('/token', held, form, request, client)
      if (answer !== undefined) return relay(reply, answer)
      const proof = proofs.check(request, reply)
      const caller: Caller = {
        client,
        jkt: proof?.jkt,
        reachMs,
        seen: sight(request),
        uses: proof === undefined ? client.uses : [...client.uses, singleUseOf(proof)],
      }
      const tokens = await abreast(caller, (asking) => grants[grant](form, asking), parts)
      telemetry.issued(grant, reply.elapsedTime / 1000)
      return send(reply, tokens)
    } catch (error) {
      // Refusals are on record before they are answered; what else went wrong is not ours to handle.
      await refusals.record(error, { client: asked.client, grant: asked.grant, address: addressKey(request.ip) })
      throw error
    }
  })
  preflight(app, 'POST', '/token')

  const grants = {
    client_credentials: (form: Form, caller: Caller) => clientCredentials(targetOf(form), caller, grantParts),
    authorization_code: (form: Form, caller: Caller) => {
      const code = form.need('code')
      const redirectUri = form.get('redirect_uri')
      const codeVerifier = form.get('code_verifier')
      return authorizationCode({ ...targetOf(form), code, redirectUri, codeVerifier }, caller, grantParts)
    },
    refresh_token: (form: Form, caller: Caller) =>
      refreshToken({ ...targetOf(form), refreshToken: form.need('refresh_token') }, caller, grantParts),
  }

  function knownGrant(name: string): keyof typeof grants {
    if (!Object.hasOwn(grants, name)) throw unknownGrant()
    return name as keyof typeof grants
  }
}

/** What a grant is asked with that has state behind it. */
export const heldToken = (grant: string, form: Form): string | undefined =>
  grant === 'refresh_token' ? form.get('refresh_token') : grant === 'authorization_code' ? form.get('code') : undefined
const unknownGrant = (): Refusal => refusal('unsupported_grant_type', 'unknown_grant_type' satisfies GrantReason)
const targetOf = (form: Form) => ({ scope: form.get('scope'), resources: form.resources })

/** What network and agent a request came from, as a keyed digest: enough to see a change, too little to know where someone was. */
type Sight = (request: FastifyRequest) => Uint8Array

function createSight(keys: Pick<KeyRing, 'ring'>): Sight {
  // Most requests come from where others came from a moment ago.
  const seen = new TwoGenerations<string, Uint8Array>(SEEN_REMEMBERED)
  return (request) => {
    const ring = keys.ring()
    if (ring === undefined) throw fault('keys_unavailable')
    const agent = agentOf(request.headers['user-agent'])
    const place = `${ring.version}\u0000${request.ip}\u0000${agent}`
    const known = seen.get(place)
    if (known !== undefined) return known
    const digest = sightOf(ring, networkOf(request.ip), agent)
    seen.set(place, digest)
    return digest
  }
}

const SEEN_REMEMBERED = 4096

/** RFC 6749 §5.1, with how long the refresh token and the authorization behind it last. */
function send(reply: FastifyReply, tokens: TokenSet): FastifyReply {
  const { refresh } = tokens
  const body = {
    access_token: tokens.accessToken,
    token_type: tokens.tokenType,
    expires_in: tokens.expiresInSeconds,
    scope: tokens.scope.join(' '),
    refresh_token: refresh?.token,
    refresh_token_expires_in: refresh?.expiresInSeconds,
    authorization_expires_in: refresh?.authorizationExpiresInSeconds,
    id_token: tokens.idToken,
  }
  return reply.type('application/json; charset=utf-8').send(JSON.stringify(body))
}
