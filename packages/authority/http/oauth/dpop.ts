/**
 * DPoP at the token endpoint (RFC 9449 §5, §8): the same judgement that every validator makes, with a nonce of ours always required, so
 * that nobody can make proofs in advance. Nodes share the nonces because they share the ring key that these are made with; that a
 * proof works once is remembered in the store, in the commit of what it bought.
 */
import { type Refusal, refusal } from '@signet/kernel/errors.ts'
import type { Clock } from '@signet/kernel/surroundings.ts'
import { DpopNonces, type Proof, verifyDpopProof } from '@signet/validator/dpop.ts'
import type { FastifyReply, FastifyRequest } from 'fastify'
import type { SingleUse } from '../../clients/single-use.ts'
import type { KeyRing } from '../../keys/key-ring.ts'
import type { DoorReason } from '../respond.ts'

interface ProofCheck {
  /** The proof that came with the request, or undefined when none did. Refuses one that is not good; sets the next nonce. */
  check(request: FastifyRequest, reply: FastifyReply): Proof | undefined
}

export function createProofCheck(parts: { issuer: string; keys: Pick<KeyRing, 'ring'>; clock: Clock }): ProofCheck {
  const { issuer, keys, clock } = parts
  const url = `${issuer}/token`
  const nonces = new DpopNonces({ clock, macs: () => ringMacs(keys) })
  return {
    check(request, reply) {
      const { dpop } = request.headers
      if (dpop === undefined) return undefined
      reply.header('dpop-nonce', nonces.current())
      const ruling = verifyDpopProof(dpop, { method: 'POST', url, nowMs: clock.now(), nonces })
      if (ruling.ok) return ruling.proof
      if (ruling.fault === 'use_nonce') throw refuse('use_dpop_nonce', 'dpop_nonce_required')
      throw refuse('invalid_dpop_proof', `dpop_${ruling.fault === 'missing' ? 'malformed' : ruling.fault}`)
    },
  }
}

/** What keeps a proof from being used again. */
export function singleUseOf(proof: Proof): SingleUse {
  return { key: proof.replayKey, expiresAt: Math.ceil(proof.usableUntilMs / 1000), again: 'proof_replayed' }
}

/** Newest first: a nonce from just before the ring key changed is still good. */
export function ringMacs(keys: Pick<KeyRing, 'ring'>) {
  const newest = keys.ring()
  const before = newest === undefined ? undefined : keys.ring(newest.version - 1)
  return [newest, before].flatMap((ring) => (ring === undefined ? [] : [ring.hmac]))
}

const refuse = (code: 'use_dpop_nonce' | 'invalid_dpop_proof', reason: DoorReason): Refusal => refusal(code, reason)
