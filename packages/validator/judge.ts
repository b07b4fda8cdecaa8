/**
 * The judgement over one token: synchronous, and short for a token seen before. Then it is a look-up by the token's text, the
 * time, one flag that says nothing was revoked and no key changed since, and the staleness of what is known.
 */
import type { AccessTokenClaims } from '@signet/kernel/claims.ts'
import type { KeyKind } from '@signet/kernel/revocation.ts'
import type { RevocationView } from '@signet/kernel/revocation-view.ts'
import type { Clock } from '@signet/kernel/surroundings.ts'
import { type Keyer, revokedBy } from '@signet/kernel/token-keys.ts'
import type { Allow, Deny, DenyReason, Freshness, Verdict } from '@signet/kernel/verdict.ts'
import { type BindingParts, judgeBinding, schemeOf } from './binding.ts'
import type { Situation } from './challenge.ts'
import type { Proof } from './dpop.ts'
import type { Lack, Permissions } from './permissions.ts'
import type { ReplayAnswer } from './replay-cache.ts'
import type { TokenContext } from './request.ts'
import type { SeenTokens } from './seen-tokens.ts'
import { admitToken, keysOf, type ReadingParts, readToken, type SeenToken, takeToken } from './token.ts'
import type { VerifyPool } from './verify-pool.ts'

/** An allowing verdict. It remembers which token it was about, so that `watch` can follow it. */
export class Allowed implements Allow {
  readonly allowed = true
  readonly claims: AccessTokenClaims
  readonly permissions: readonly string[]
  readonly stalenessMs: number
  readonly freshness: Freshness
  readonly #seen: SeenToken
  /** Shown with it and not yet remembered as used. */
  readonly #proof: Proof | undefined

  constructor(
    seen: SeenToken,
    permissions: readonly string[],
    stalenessMs: number,
    freshness: Freshness,
    proof: Proof | undefined,
  ) {
    this.claims = seen.claims
    this.permissions = permissions
    this.stalenessMs = stalenessMs
    this.freshness = freshness
    this.#seen = seen
    this.#proof = proof
  }

  static seenOf(verdict: Verdict): SeenToken | undefined {
    return verdict instanceof Allowed ? verdict.#seen : undefined
  }
  static proofOf(verdict: Verdict): Proof | undefined {
    return verdict instanceof Allowed ? verdict.#proof : undefined
  }
}

export interface JudgeParts {
  readonly reading: ReadingParts
  readonly cache: SeenTokens
  readonly view: RevocationView
  readonly keyer: Keyer
  /** Moves whenever an answer of a key finder may have changed. */
  readonly keys: { readonly version: number }
  readonly permissions: Permissions
  readonly binding: BindingParts
  readonly clock: Clock
  /** Milliseconds; Infinity when never fresh. */
  stalenessMs(): number
  refuse(reason: DenyReason, situation: Situation): Deny
}

export class Judge {
  private readonly parts: JudgeParts
  hits = 0
  misses = 0

  constructor(parts: JudgeParts) {
    this.parts = parts
  }

  /** The verdict on a token, all but whether its proof was used before: see `settle`. */
  judge(token: string, context: TokenContext): Verdict {
    return this.judgeUnlessNew(token, context, undefined) as Verdict
  }

  /** The same, or undefined for a token that was not seen before and that the pool wants: then `judgeThrough` goes on. */
  judgeUnlessNew(token: string, context: TokenContext, pool: VerifyPool | undefined): Verdict | undefined {
    const { cache, clock, view, keys } = this.parts
    const nowMs = clock.now()
    let seen = cache.get(token)
    if (seen !== undefined && nowMs >= seen.deadAtMs) {
      cache.delete(seen)
      return this.deny('expired', context)
    }
    if (seen === undefined || (seen.keysVersion !== keys.version && !this.isKeyStillGood(seen))) {
      if (pool?.wants(token)) return undefined
      this.misses++
      const read = readToken(token, nowMs, this.parts.reading)
      if (typeof read === 'string') {
        if (seen !== undefined) cache.delete(seen)
        return this.deny(read, context)
      }
      cache.set(read)
      seen = read
    } else this.hits++
    if (seen.viewVersion !== view.version) this.recheck(seen)
    if (seen.revokedBy !== undefined) return this.deny('revoked', context)

    let proof: Proof | undefined
    if (seen.isBound || context.dpop !== undefined || context.scheme === 'DPoP' || this.parts.binding.requireDpop) {
      const ruling = judgeBinding(token, seen.claims.cnf, context, nowMs, this.parts.binding)
      if (ruling.kind === 'refused') return this.deny(ruling.reason, context)
      if (ruling.kind === 'proven') proof = ruling.proof
    }
    return this.weigh(seen, context, nowMs, proof)
  }

  /** The verdict on a token that was not seen before, its signature verified in the pool. */
  async judgeThrough(pool: VerifyPool, token: string, context: TokenContext): Promise<Verdict> {
    const { cache, clock, reading } = this.parts
    const taken = takeToken(token, reading)
    if (typeof taken === 'string') return this.deny(taken, context)
    if (!(await pool.verify(taken))) return this.deny('bad_signature', context)
    const read = admitToken(taken, clock.now(), reading)
    if (typeof read === 'string') return this.deny(read, context)
    cache.set(read)
    this.hits-- // What follows finds it, but it was no hit.
    this.misses++
    return this.judge(token, context)
  }

  /** Marks the proof of an allowing verdict as used; the verdict then stands, or falls. */
  settle(verdict: Verdict, context: TokenContext, answer: ReplayAnswer): Verdict {
    if (answer === 'fresh') return verdict
    return this.deny(answer === 'full' ? 'overloaded' : 'proof_replayed', context)
  }

  deny(reason: DenyReason, context: TokenContext, more: { lack?: Lack; isOurFault?: boolean } = {}): Deny {
    const { parts } = this
    const stalenessMs = parts.stalenessMs()
    return parts.refuse(reason, {
      scheme: schemeOf(context),
      stalenessMs,
      freshness: this.freshness(stalenessMs),
      ...more,
      dpopNonce: reason === 'use_dpop_nonce' ? parts.binding.nonces?.current() : undefined,
    })
  }

  /** The state of what is known, by the bounds of all permissions. */
  freshness(stalenessMs: number): Freshness {
    const { tightestMs, widestMs } = this.parts.permissions
    if (stalenessMs <= tightestMs) return 'fresh'
    return stalenessMs <= widestMs ? 'degraded' : 'blind'
  }

  /** Asks the registry again, since something has come in. */
  private recheck(seen: SeenToken): void {
    const { view } = this.parts
    seen.revokedBy = this.revocationOf(seen)
    seen.viewVersion = view.version
  }

  /** The kind of key that was taken back with the token, if any. */
  revocationOf(seen: SeenToken): KeyKind | undefined {
    const { view, keyer } = this.parts
    const { salt } = view
    if (salt === undefined || view.size === 0) return undefined
    // Most tokens are asked about once; for one that is asked about again its digests are kept.
    if (seen.viewVersion < 0) return revokedBy(view, keyer.passing(salt, keysOf(seen)), seen.issuedAtMs)
    if (seen.digests?.salt !== salt) seen.digests = keyer.digests(salt, keysOf(seen))
    return revokedBy(view, seen.digests, seen.issuedAtMs)
  }

  /** A key that was withdrawn takes the tokens it signed with it, those verified before too. */
  private isKeyStillGood(seen: SeenToken): boolean {
    if (seen.issuer.keys.find(seen.kid, seen.key.alg)?.key !== seen.key.key) return false
    seen.keysVersion = this.parts.keys.version
    return true
  }

  /** Staleness against what is needed; then the verdict. */
  private weigh(seen: SeenToken, context: TokenContext, nowMs: number, proof: Proof | undefined): Verdict {
    const { permissions } = this.parts
    const { holding } = seen
    const stalenessMs = this.parts.stalenessMs()
    const held = permissions.bearable(holding, nowMs, stalenessMs)
    const { needs } = context
    if (needs === undefined) {
      // Nothing in particular is needed; but when no permission of the token can bear our ignorance, neither can the request.
      if (held.length === 0 && stalenessMs > holding.widestBoundMs) return this.deny('stale', context)
    } else if (typeof needs === 'string') {
      if (!held.includes(needs)) return this.lacking(seen, context, needs, nowMs, stalenessMs)
    } else {
      for (const need of needs) if (!held.includes(need)) return this.lacking(seen, context, need, nowMs, stalenessMs)
      if (needs.length === 0 && stalenessMs > holding.widestBoundMs) return this.deny('stale', context)
    }
    return new Allowed(seen, held, stalenessMs, this.freshness(stalenessMs), proof)
  }

  private lacking(seen: SeenToken, context: TokenContext, need: string, nowMs: number, stalenessMs: number): Deny {
    const lack = this.parts.permissions.lack(seen.holding, seen.claims, need, nowMs, stalenessMs)
    if (lack.kind === 'stale') return this.deny('stale', context)
    return this.deny(lack.kind === 'scope' ? 'insufficient_scope' : 'insufficient_user_authentication', context, { lack })
  }
}
