/**
 * The validator: who may pass, decided where the request is, in microseconds, with what the authority has taken back taken
 * into account (docs/architecture.md, "The validator").
 */
import type { Surroundings, Timer } from '@signet/kernel/surroundings.ts'
import { createKeyer } from '@signet/kernel/token-keys.ts'
import type { Deny, DenyReason, Freshness, Verdict } from '@signet/kernel/verdict.ts'
import { schemeOf } from './binding.ts'
import { type ChallengeOptions, createRefuser, refuseHeader } from './challenge.ts'
import { DPOP_ALGORITHMS, type Proof } from './dpop.ts'
import { DpopNonces, nonceMac } from './dpop-nonces.ts'
import { Events, type TroubleKind, type ValidatorEvents } from './events.ts'
import { Allowed, Judge } from './judge.ts'
import { createHeaderMemory, parseJws } from './jws.ts'
import { createKnowledge, type Knowledge } from './knowledge.ts'
import { type ProtectedResourceMetadata, protectedResourceMetadata } from './metadata.ts'
import { readOptions, type Settings, type ValidatorOptions } from './options.ts'
import { compilePermissions, type Permissions } from './permissions.ts'
import { type ReplayAnswer, ReplayCache } from './replay-cache.ts'
import { authorizesTwice, headerOf, type RequestLike, readAuthorization, type TokenContext } from './request.ts'
import { SeenTokens } from './seen-tokens.ts'
import { holdingProcess, realSurroundings, sha256, sha256Text } from './surroundings.ts'
import { MAX_TOKEN_CHARS } from './token.ts'
import type { Validator, ValidatorStats } from './validator-types.ts'
import { VerifyPool } from './verify-pool.ts'
import { type TokenEnd, Watches } from './watches.ts'

export type { Validator, ValidatorStats } from './validator-types.ts'

/**
 * A validator for the tokens of one authority.
 *
 * ```ts
 * const validator = createValidator({ issuer: 'https://id.example', audience: 'https://api.example' })
 * await validator.ready()
 * const verdict = await validator.validate(token, { needs: 'catalogue:read' })
 * ```
 *
 * Throws a TypeError that names the option which is wrong. It starts at once and goes on until `close`; it does not keep the
 * process alive.
 */
export function createValidator(options: ValidatorOptions): Validator {
  return new TokenValidator(options)
}

const NO_CONTEXT: TokenContext = Object.freeze({})
/** In the first seconds a request waits for the first knowledge rather than be refused for want of it. */
const STARTING_MS = 5000
const OBSERVE_MOST_MS = 1000

class TokenValidator implements Validator {
  readonly events = new Events<ValidatorEvents>()
  private readonly options: ValidatorOptions
  private readonly settings: Settings
  private readonly surroundings: Surroundings
  private readonly permissions: Permissions
  private readonly knowledge: Knowledge
  private readonly judge: Judge
  private readonly cache: SeenTokens
  private readonly watches: Watches
  /** Absent under surroundings of a test's own: there everything happens in its order. */
  private readonly pool: VerifyPool | undefined
  private readonly challenge: ChallengeOptions
  private readonly nonces: DpopNonces | undefined
  private readonly replay: ReplayCache
  private readonly denied: Partial<Record<DenyReason, number>> = {}
  private readonly troubles = new Map<TroubleKind, unknown>()
  private state: Freshness = 'blind'
  private delayMs: number | undefined
  private observer: Timer | undefined
  private isStarting: boolean
  private isClosed = false
  private readonly startedWaiters = new Set<() => void>()

  constructor(options: ValidatorOptions) {
    const settings = readOptions(options)
    const surroundings = options.surroundings ?? realSurroundings()
    this.options = options
    this.settings = settings
    this.surroundings = surroundings
    this.isStarting = options.source === undefined
    this.pool = options.surroundings === undefined ? new VerifyPool(surroundings.timers) : undefined
    this.permissions = compilePermissions(options.permissions, settings.defaultStalenessSeconds)
    this.nonces = noncesOf(options, surroundings)
    this.replay = new ReplayCache({
      clock: surroundings.clock,
      ...(options.dpop?.replayCapacity === undefined ? {} : { capacity: options.dpop.replayCapacity }),
    })
    const trouble = (what: TroubleKind, cause: unknown): void => this.trouble(what, cause)
    const { tightestMs } = this.permissions
    this.knowledge = createKnowledge({ options, settings, surroundings, events: this.events, tightestMs, trouble })
    this.challenge = {
      resourceMetadata: settings.resourceMetadata,
      requireDpop: options.requireDpop === true,
      dpopAlgorithms: DPOP_ALGORITHMS,
    }
    this.cache = new SeenTokens(settings.cacheSize)
    const { view, keys, issuers } = this.knowledge
    const stalenessMs = (): number => this.knowledge.stalenessMs()
    this.judge = new Judge({
      reading: {
        issuers,
        keys,
        memory: createHeaderMemory(),
        skewMs: settings.skewMs,
        holding: (claims) => this.permissions.holding(claims),
      },
      cache: this.cache,
      view,
      keys,
      keyer: createKeyer(sha256, sha256Text),
      permissions: this.permissions,
      binding: {
        requireDpop: options.requireDpop === true,
        publicUrl: settings.publicUrl,
        nonces: this.nonces,
        maxAgeSeconds: options.dpop?.maxAgeSeconds ?? 60,
        skewSeconds: settings.skewMs / 1000,
      },
      clock: surroundings.clock,
      stalenessMs,
      refuse: createRefuser(this.challenge),
    })
    this.watches = new Watches({
      view,
      clock: surroundings.clock,
      timers: surroundings.timers,
      capacity: settings.maxWatches,
      revocationOf: (seen) => this.judge.revocationOf(seen),
      stalenessMs,
      onTrouble: (cause) => this.trouble('listener', cause),
    })
    this.events.on('revoked', ({ delayMs }) => {
      this.delayMs = delayMs ?? this.delayMs
    })
    this.start()
  }

  validateSync(presented: string | RequestLike | undefined, context: TokenContext = NO_CONTEXT): Verdict {
    if (this.options.dpop?.replay !== undefined) throw new TypeError('validateSync cannot ask dpop.replay: use validate.')
    if (typeof presented === 'string' && presented !== '') return this.told(this.judgeSync(presented, context))
    const read = this.read(presented, context)
    return this.told('allowed' in read ? read : this.judgeSync(read.token, read.context))
  }

  async validate(presented: string | RequestLike | undefined, context: TokenContext = NO_CONTEXT): Promise<Verdict> {
    const read = this.read(presented, context)
    if ('allowed' in read) return this.told(read)
    const { token, context: around } = read
    let verdict = this.judge.judgeUnlessNew(token, around, this.pool)
    if (verdict === undefined) verdict = await this.judge.judgeThrough(this.pool as VerifyPool, token, around)
    if (!verdict.allowed && (verdict.reason === 'unknown_key' || verdict.reason === 'stale')) {
      verdict = await holdingProcess(this.learn(verdict, token, around))
    }
    const proof = around.dpop === undefined ? undefined : Allowed.proofOf(verdict)
    if (proof === undefined) return this.told(verdict)
    return this.told(this.judge.settle(verdict, around, await this.remember(proof)))
  }

  async ready(options: { timeoutMs?: number } = {}): Promise<Freshness> {
    const timeoutMs = options.timeoutMs ?? 10_000
    await holdingProcess(this.untilKnown(timeoutMs, () => this.knowledge.hasKeys() && this.freshness() === 'fresh'))
    const state = this.freshness()
    if (this.knowledge.hasKeys() && state !== 'blind') return state
    const missing = [this.knowledge.hasKeys() ? [] : ['no keys'], state === 'blind' ? ['no fresh revocations'] : []]
      .flat()
      .join(', ')
    const why = [...this.troubles].map(([what, cause]) => `${what}: ${cause instanceof Error ? cause.message : cause}`).join('; ')
    throw new Error(`The validator is not ready after ${timeoutMs} ms (${missing}). ${why}`)
  }

  watch(verdict: Verdict, onEnd: (end: TokenEnd) => void, options: { needs?: string | readonly string[] } = {}): () => void {
    const seen = Allowed.seenOf(verdict)
    if (seen === undefined) throw new TypeError('watch takes an allowing verdict as validate gave it.')
    const needs = typeof options.needs === 'string' ? [options.needs] : options.needs
    const bounds = seen.holding.permissions.filter((each) => needs?.includes(each.name)).map((each) => each.boundMs)
    return this.watches.add(seen, bounds.length === 0 ? seen.holding.widestBoundMs : Math.min(...bounds), onEnd)
  }

  stats(): ValidatorStats {
    const { view } = this.knowledge
    return {
      freshness: this.freshness(),
      stalenessMs: this.knowledge.stalenessMs(),
      position: view.position,
      revocations: view.size,
      revocationBytes: view.bytes,
      delayMs: this.delayMs,
      cachedTokens: this.cache.size,
      hits: this.judge.hits,
      misses: this.judge.misses,
      denied: { ...this.denied },
      watched: this.watches.size,
      ...this.knowledge.feedStats(),
    }
  }

  dpopNonce(): string | undefined {
    return this.nonces?.current()
  }

  metadata(about: { name?: string; documentation?: string } = {}): ProtectedResourceMetadata {
    return protectedResourceMetadata({
      resource: this.settings.audiences[0] as string,
      issuers: [...this.knowledge.issuers.keys()],
      scopes: this.permissions.scopes,
      requireDpop: this.options.requireDpop === true,
      ...about,
    })
  }

  checkNeeds(needs: string | readonly string[] | undefined): void {
    this.permissions.check(needs)
  }

  async close(): Promise<void> {
    this.isClosed = true
    this.observer?.cancel()
    this.watches.close()
    this.endStarting()
    await this.knowledge.close()
  }

  private start(): void {
    this.knowledge.onProgress = () => this.observe()
    void this.knowledge.start()
    this.observe()
    this.surroundings.timers.after(STARTING_MS, () => this.endStarting())
  }

  /** Token and context of what was presented, or the verdict when there is no token in it. */
  private read(
    presented: string | RequestLike | undefined,
    context: TokenContext,
  ): { token: string; context: TokenContext } | Deny {
    if (typeof presented === 'string' && presented !== '') return { token: presented, context }
    if (typeof presented !== 'object') return this.judge.deny('missing', context)
    const { headers, rawHeaders, method, url } = presented
    const credentials = readAuthorization(headerOf(headers, 'authorization'))
    const isTwice = authorizesTwice(rawHeaders)
    if (credentials.kind === 'missing' && !isTwice) return this.judge.deny('missing', context)
    if (credentials.kind !== 'token' || isTwice) {
      const stalenessMs = this.knowledge.stalenessMs()
      return refuseHeader(this.challenge, { scheme: schemeOf(context), stalenessMs, freshness: this.freshness() })
    }
    const { scheme, token } = credentials
    if (scheme === 'DPoP' && this.settings.publicUrl === undefined && context.url === undefined) {
      this.trouble('configuration', new TypeError('To check DPoP proofs, set publicUrl: where clients reach this service.'))
    }
    return {
      token,
      // Its own word on where it was sent is not taken: without publicUrl there is no URL.
      context: {
        scheme,
        dpop: headerOf(headers, 'dpop'),
        method,
        url: this.settings.publicUrl === undefined ? undefined : url,
        ...context,
      },
    }
  }

  /** Waits for what may still come: a key that is not known yet, or the first knowledge of all. Then judges again. */
  private async learn(verdict: Deny, token: string, context: TokenContext): Promise<Verdict> {
    let last: Verdict = verdict
    if (this.isStarting) {
      await this.untilKnown(STARTING_MS, () => !this.isStarting || (this.knowledge.hasKeys() && this.freshness() === 'fresh'))
      last = this.judge.judge(token, context)
    }
    if (last.allowed || last.reason !== 'unknown_key') return last
    const jws = parseJws(token, MAX_TOKEN_CHARS)
    if (typeof jws === 'string' || typeof jws.payload.iss !== 'string') return last
    const found = await this.knowledge.seek(jws.payload.iss, jws.header.kid, jws.header.alg)
    if (found === 'found') return this.judge.judge(token, context)
    return found === 'absent' ? last : this.judge.deny('unknown_key', context, { isOurFault: true })
  }

  /** Resolves when `isEnough`, when the time is over, or when the validator closes. */
  private untilKnown(timeoutMs: number, isEnough: () => boolean): Promise<void> {
    if (isEnough() || this.isClosed) return Promise.resolve()
    return new Promise((resolve) => {
      const finish = (): void => {
        timer.cancel()
        this.startedWaiters.delete(check)
        resolve()
      }
      const check = (): void => {
        if (isEnough() || this.isClosed) finish()
      }
      const timer = this.surroundings.timers.after(timeoutMs, finish)
      this.startedWaiters.add(check)
    })
  }

  private endStarting(): void {
    this.isStarting = false
    for (const check of [...this.startedWaiters]) check()
  }

  private freshness(): Freshness {
    return this.judge.freshness(this.knowledge.stalenessMs())
  }

  /** Tells when the state of knowledge changes; looks again soon, since it ages by itself. */
  private observe(): void {
    const to = this.freshness()
    if (to !== this.state) {
      const from = this.state
      this.state = to
      this.events.emit('freshness', { from, to, stalenessMs: this.knowledge.stalenessMs() })
    }
    if (this.isStarting && this.knowledge.hasKeys() && to === 'fresh') this.endStarting()
    else for (const check of [...this.startedWaiters]) check()
    this.observer?.cancel()
    if (this.isClosed) return
    this.observer = this.surroundings.timers.after(Math.min(OBSERVE_MOST_MS, this.permissions.tightestMs / 2), () =>
      this.observe(),
    )
  }

  private judgeSync(token: string, context: TokenContext): Verdict {
    const verdict = this.judge.judge(token, context)
    // Last of all, so that only what would pass takes a place in the memory of proofs.
    const proof = context.dpop === undefined ? undefined : Allowed.proofOf(verdict)
    return proof === undefined ? verdict : this.judge.settle(verdict, context, this.replay.remember(proof))
  }

  private async remember(proof: Proof): Promise<ReplayAnswer> {
    const shared = this.options.dpop?.replay
    if (shared === undefined) return this.replay.remember(proof)
    try {
      return await shared(proof)
    } catch (cause) {
      this.trouble('replay', cause)
      return 'full' // Who cannot remember must not let pass.
    }
  }

  /** Refusals are counted, and told to those who listen. */
  private told(verdict: Verdict): Verdict {
    if (verdict.allowed) return verdict
    this.denied[verdict.reason] = (this.denied[verdict.reason] ?? 0) + 1
    this.events.emit('denied', verdict)
    return verdict
  }

  private trouble(what: TroubleKind, cause: unknown): void {
    this.troubles.set(what, cause)
    this.events.emit('trouble', { what, cause })
  }
}

function noncesOf(options: ValidatorOptions, surroundings: Surroundings): DpopNonces | undefined {
  if (options.dpop?.nonces === false) return undefined
  const { nonceKey } = options.dpop ?? {}
  if (typeof nonceKey === 'function') return new DpopNonces({ clock: surroundings.clock, macs: nonceKey })
  const macs = [nonceMac(nonceKey ?? surroundings.chance.bytes(32))]
  return new DpopNonces({ clock: surroundings.clock, macs: () => macs })
}
