/**
 * Checking an access token, at first sight and again. Every contestant gets a fresh string per call, as from a header, and checks signature,
 * issuer, audience and time. Only ours also asks for type, issue time, scopes, staleness and eight kinds of revocation.
 */
import { verify } from 'node:crypto'
import { createRevocationView } from '@signet/kernel/revocation-view.ts'
import { createValidator, type Validator } from '@signet/validator/index.ts'
import { createVerifier } from 'fast-jwt'
import { createLocalJWKSet, jwtVerify } from 'jose'
import { AUDIENCE, createTokenMaker, ISSUER, type TokenMaker } from './access-tokens.ts'
import { type Benchmark, oursAtMost, type Pace, type Row, ratioAtLeast, ratioAtMost } from './benchmark.ts'
import { randomSnapshot } from './revocations.ts'
import { comparison, interleave, median, quantile, ratePerSecond, ratePerSecondAsync } from './rounds.ts'

const HELD = 1_000_000
/** Tokens at first sight: eight times what our memory of verified tokens is set to hold, so that none is found in it. */
const MANY = 8_000
const REMEMBERED = 500
/** Tokens seen again and again. */
const HOT = 1_000
const IN_FLIGHT = 64

export const benchmark: Benchmark = async ({ pace }) => {
  const maker = createTokenMaker()
  return [...(await firstSight(maker, pace)), ...(await again(maker, pace))]
}

async function firstSight(maker: TokenMaker, pace: Pace): Promise<Row[]> {
  const tokens = maker.make(MANY)
  const next = () => inTurn(tokens.map(bytesOf))
  const validator = createOurs(maker, HELD, REMEMBERED)
  const oneAtATime = await interleave(
    {
      ours: (turnMs) => ratePerSecond(allowedBy(validator, next()), turnMs),
      raw: (turnMs) => ratePerSecond(rawVerify(maker, tokens), turnMs),
      fastJwt: (turnMs) => ratePerSecond(fastJwt(maker, next(), false), turnMs),
      jose: (turnMs) => ratePerSecondAsync(jose(maker, next()), turnMs, 1),
    },
    pace,
  )
  const crowded = await interleave(
    {
      ours: (turnMs) => ratePerSecondAsync(allowedLaterBy(validator, next()), turnMs, IN_FLIGHT),
      raw: (turnMs) => ratePerSecond(rawVerify(maker, tokens), turnMs),
      jose: (turnMs) => ratePerSecondAsync(jose(maker, next()), turnMs, IN_FLIGHT),
    },
    pace,
  )
  await validator.close()
  return [
    comparison(
      { name: 'V1 first sight, against the bare signature', unit: '/s', target: ratioAtLeast(0.92) },
      oneAtATime.ours,
      oneAtATime.raw,
    ),
    comparison(
      { name: 'V1 first sight, against fast-jwt', unit: '/s', target: ratioAtLeast(1) },
      oneAtATime.ours,
      oneAtATime.fastJwt,
    ),
    comparison({ name: 'V1 first sight, against jose', unit: '/s' }, oneAtATime.ours, oneAtATime.jose),
    comparison(
      { name: 'V1 first sight, 64 in flight, against the bare signature one at a time', unit: '/s', target: ratioAtLeast(1.5) },
      crowded.ours,
      crowded.raw,
    ),
    comparison({ name: 'V1 first sight, 64 in flight, against jose', unit: '/s' }, crowded.ours, crowded.jose),
  ]
}

async function again(maker: TokenMaker, pace: Pace): Promise<Row[]> {
  const tokens = maker.make(HOT)
  const next = () => inTurn(tokens.map(bytesOf))
  const full = createOurs(maker, HELD, 10 * HOT)
  const empty = createOurs(maker, 0, 10 * HOT)
  const known = fastJwt(maker, next(), true)
  const turns = await interleave(
    {
      ours: (turnMs) => ratePerSecond(allowedBy(full, next()), turnMs),
      empty: (turnMs) => ratePerSecond(allowedBy(empty, next()), turnMs),
      fastJwt: (turnMs) => ratePerSecond(known, turnMs),
    },
    pace,
  )
  const p99 = Array.from({ length: pace.rounds }, () => p99Microseconds(allowedBy(full, next())))
  await full.close()
  await empty.close()
  return [
    comparison(
      {
        name: 'V2 seen before, 1 M revocations held, against fast-jwt’s cache',
        unit: '/s',
        target: ratioAtLeast(5),
        note: 'fast-jwt’s cache knows nothing of revocation',
      },
      turns.ours,
      turns.fastJwt,
    ),
    { name: 'V2 seen before, p99', ours: median(p99), target: oursAtMost(2), unit: 'µs', rounds: pace.rounds },
    comparison(
      { name: 'V3 time with 1 M revocations against none', unit: 'ns', target: ratioAtMost(1.1) },
      turns.ours.map(nanoseconds),
      turns.empty.map(nanoseconds),
    ),
  ]
}

const nanoseconds = (perSecond: number): number => 1e9 / perSecond

// ── The contestants ────────────────────────────────────────────────────────────────────────────────────────────────

function createOurs({ kid, publicKey }: TokenMaker, revocations: number, cacheSize: number): Validator {
  const view = createRevocationView()
  view.replace(randomSnapshot(revocations), { nowMs: Date.now(), guardMs: 2000 })
  const key = { key: publicKey, alg: 'ES256' }
  return createValidator({
    issuer: ISSUER,
    audience: AUDIENCE,
    cacheSize,
    source: { view, keys: { find: (asked) => (asked === kid ? key : undefined), version: 0 }, stalenessMs: () => 0 },
  })
}

function allowedBy(validator: Validator, next: () => string): () => void {
  return () => {
    const verdict = validator.validateSync(next())
    if (!verdict.allowed) throw new Error(`a good token was refused: ${verdict.reason}`)
  }
}

function allowedLaterBy(validator: Validator, next: () => string): () => Promise<void> {
  return async () => {
    const verdict = await validator.validate(next())
    if (!verdict.allowed) throw new Error(`a good token was refused: ${verdict.reason}`)
  }
}

/** The signature alone, on input that was taken apart beforehand: what no validator can be faster than. */
function rawVerify({ publicKey }: TokenMaker, tokens: readonly string[]): () => void {
  const key = { key: publicKey, dsaEncoding: 'ieee-p1363' } as const
  const parts = tokens.map((token) => {
    const dot = token.lastIndexOf('.')
    return { signed: Buffer.from(token.slice(0, dot)), signature: Buffer.from(token.slice(dot + 1), 'base64url') }
  })
  let at = 0
  return () => {
    const { signed, signature } = parts[at++ % parts.length] as { signed: Buffer; signature: Buffer }
    if (!verify('sha256', signed, key, signature)) throw new Error('a good signature was refused')
  }
}

function fastJwt({ publicKey }: TokenMaker, next: () => string, cached: boolean): () => void {
  const check = createVerifier({
    key: publicKey.export({ type: 'spki', format: 'pem' }) as string,
    algorithms: ['ES256'],
    allowedIss: ISSUER,
    allowedAud: AUDIENCE,
    cache: cached ? 10 * HOT : false,
  })
  return () => void check(next())
}

function jose({ publicKey, kid }: TokenMaker, next: () => string): () => Promise<unknown> {
  const keys = createLocalJWKSet({ keys: [{ ...publicKey.export({ format: 'jwk' }), kid, alg: 'ES256' }] })
  return () => jwtVerify(next(), keys, { issuer: ISSUER, audience: AUDIENCE, algorithms: ['ES256'], typ: 'at+jwt' })
}

// ── Feeding them ───────────────────────────────────────────────────────────────────────────────────────────────────

const bytesOf = (token: string): Buffer => Buffer.from(token, 'latin1')

/** A new string of the same characters each time, as a server makes one from the bytes of each request. */
function inTurn(tokens: readonly Buffer[]): () => string {
  let at = 0
  return () => (tokens[at++ % tokens.length] as Buffer).toString('latin1')
}

/** Each call timed by itself; the clock's own cost is in it. */
function p99Microseconds(operation: () => void): number {
  const times = new Float64Array(50_000)
  for (let i = 0; i < times.length; i++) {
    const began = performance.now()
    operation()
    times[i] = (performance.now() - began) * 1000
  }
  return quantile(times, 0.99)
}
