/** A process with any number of validators in it, each with a feed of its own, as in as many services. */
import { createValidator, type Validator } from '@signet/validator/index.ts'
import { serveParent } from './child.ts'
import { RESOURCE } from './http/server.ts'
import { sharedMs } from './shared-clock.ts'

export type ValidatorsAnswers = {
  /** Starts the validators and waits until each is fresh. `at`: the origin that the issuer's name leads to from here. */
  start(question: {
    readonly issuer: string
    readonly count: number
    readonly nats?: string
    readonly at?: string
  }): Promise<void>
  /** By what way the feed comes to the first validator. */
  source(): 'sse' | 'nats' | 'process' | undefined
  /** Has every validator accept each token and watch it, as an application does that holds a connection for it. */
  watch(tokens: readonly string[]): Promise<void>
  /**
   * When each validator began to refuse each token, by token: filled in as they die, and complete once every list has as many
   * moments as there are validators.
   */
  refusals(): readonly (readonly number[])[]
  /** The numbers of the log the first validator has applied since it was asked last, and when. */
  applied(): readonly (readonly [seq: number, atMs: number])[]
  /** Looks at the staleness of every validator for so long; milliseconds, every look of each. */
  staleness(question: { readonly milliseconds: number }): Promise<readonly number[]>
}

let validators: readonly Validator[] = []
let refusals: number[][] = []
let applied: [seq: number, atMs: number][] = []

serveParent({
  async start({ issuer, count, nats, at }) {
    const feed = nats === undefined ? {} : { feed: { nats: { servers: nats } } }
    const way = at === undefined ? {} : { fetch: leadingTo(issuer, at) }
    validators = Array.from({ length: count }, () => createValidator({ issuer, audience: RESOURCE, ...feed, ...way }))
    await Promise.all(validators.map((validator) => validator.ready({ timeoutMs: 60_000 })))
    validators[0]?.events.on('revoked', ({ seq }) => applied.push([seq, sharedMs()]))
  },
  async watch(tokens) {
    refusals = tokens.map(() => [])
    for (const validator of validators) {
      for (const [index, token] of tokens.entries()) {
        const verdict = await validator.validate(token)
        if (!verdict.allowed) throw new Error(`a living token was refused: ${verdict.reason}`)
        validator.watch(verdict, () => {
          // What counts is that the next request is refused, so that is what is asked.
          const after = validator.validateSync(token)
          if (after.allowed) throw new Error('the token ended, and is still accepted')
          refusals[index]?.push(sharedMs())
        })
      }
      await new Promise((resolve) => setImmediate(resolve)) // Feeds and probes go on meanwhile.
    }
  },
  source: () => validators[0]?.stats().source,
  refusals: () => refusals,
  applied() {
    const seen = applied
    applied = []
    return seen
  },
  async staleness({ milliseconds }) {
    const looks: number[] = []
    const until = sharedMs() + milliseconds
    while (sharedMs() < until) {
      for (const validator of validators) looks.push(validator.stats().stalenessMs)
      await new Promise((resolve) => setTimeout(resolve, LOOK_MS))
    }
    return looks
  },
} satisfies ValidatorsAnswers)

const LOOK_MS = 20

const leadingTo =
  (issuer: string, at: string): typeof fetch =>
  (input, init) =>
    fetch(String(input).replace(issuer, at), init)
