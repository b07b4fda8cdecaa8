import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { afterEach, beforeEach, describe, test } from 'node:test'
import { revocationKey } from '@signet/kernel/revocation.ts'
import type { Verdict } from '@signet/kernel/verdict.ts'
import { manualSurroundings } from '@signet/testkit/surroundings.ts'
import { until } from '@signet/testkit/until.ts'
import { createValidator, type Validator, type ValidatorEvents, type ValidatorOptions } from './index.ts'
import { startIssuer, type TestIssuer, testKey } from './issuer.testkit.ts'
import { sha256 } from './surroundings.ts'

const PERMISSIONS = {
  write: { maxStalenessSeconds: 2 },
  read: { maxStalenessSeconds: 3600 },
}
let issuer: TestIssuer
let validator: Validator
let surroundings: ReturnType<typeof manualSurroundings>
let begunMs: number
let troubles: ValidatorEvents['trouble'][]
let changes: ValidatorEvents['freshness'][]

/** A validator whose time is in our hand, with a real feed at the other end of a real connection. */
async function begin(more: Partial<ValidatorOptions> = {}): Promise<void> {
  begunMs = Date.now()
  surroundings = manualSurroundings(7, begunMs)
  validator = createValidator({
    issuer: issuer.issuer,
    audience: 'https://api.example',
    permissions: PERMISSIONS,
    surroundings,
    ...more,
  })
  troubles = []
  changes = []
  validator.events.on('trouble', (trouble) => troubles.push(trouble))
  validator.events.on('freshness', (change) => changes.push(change))
  await validator.ready()
}

beforeEach(async () => {
  issuer = await startIssuer()
})
afterEach(async () => {
  await validator.close()
  await issuer.close()
})

const reason = (verdict: Verdict): string => (verdict.allowed ? 'allowed' : verdict.reason)
const ask = (needs?: string, claims: object = {}): string => {
  const token = issuer.mint({ scope: 'read write', ...claims }, { atMs: surroundings.clock.now() })
  return reason(validator.validateSync(token, needs === undefined ? {} : { needs }))
}
/**
 * What becomes of a token that is as old as the validator. One that is minted now may be younger than a cutoff: how much of the validator's time
 * passes until somebody has answered is the machine's business.
 */
const askOld = (sub = 'user-1'): string => reason(validator.validateSync(issuer.mint({ scope: 'read', sub }, { atMs: begunMs })))
const seq = (): number => validator.stats().position?.seq ?? -1
/** Lets time pass in small steps with real turns between them, until something holds. */
async function passUntil(holds: () => boolean, what: string, stepMs = 50): Promise<void> {
  for (let i = 0; i < 2000; i++) {
    if (holds()) return
    surroundings.clock.advance(stepMs)
    await new Promise((resolve) => setTimeout(resolve, 1))
  }
  throw new Error(`time passed in vain: ${what}`)
}

describe('with the feed cut', () => {
  test('each permission goes when its own bound is over, to the millisecond, and comes back on heal with nothing missed', async () => {
    await begin()
    issuer.faults.status = 503
    issuer.dropStreams()
    surroundings.clock.advance(2000)
    assert.equal(ask('write'), 'allowed')
    surroundings.clock.advance(1)
    const verdict = validator.validateSync(issuer.mint({ scope: 'read write' }, { atMs: surroundings.clock.now() }), {
      needs: 'write',
    })
    assert.ok(!verdict.allowed)
    assert.deepEqual(
      [verdict.reason, verdict.status, verdict.action, verdict.freshness, verdict.challenge],
      ['stale', 503, 'retry', 'degraded', undefined],
    )
    assert.ok((verdict.retryAfterSeconds ?? 0) >= 1)
    assert.equal(ask('read'), 'allowed')
    const both = validator.validateSync(issuer.mint({ scope: 'read write' }, { atMs: surroundings.clock.now() }))
    assert.ok(both.allowed)
    assert.deepEqual(both.permissions, ['read'])

    // What is revoked meanwhile …
    issuer.revoke({ kind: 'subject', id: 'user-1', cutoffMs: surroundings.clock.now() + 1000 })
    assert.equal(ask('read'), 'allowed')
    // … is known as soon as the feed is back.
    delete issuer.faults.status
    await passUntil(() => seq() === 1 && validator.stats().freshness === 'fresh', 'heal')
    assert.equal(ask('read', { jti: undefined }), 'malformed')
    assert.equal(askOld(), 'revoked')
    assert.equal(ask('write', { sub: 'user-2' }), 'allowed')
    assert.deepEqual(
      changes.map(({ from, to }) => `${from} to ${to}`),
      ['blind to fresh', 'fresh to degraded', 'degraded to fresh'],
    )
  })

  test('nothing is left when the widest bound is over', async () => {
    await begin()
    issuer.faults.status = 503
    issuer.dropStreams()
    surroundings.clock.step(3_600_001)
    assert.equal(ask('read'), 'stale')
    assert.equal(ask(), 'stale')
    assert.equal(validator.stats().freshness, 'blind')
  })
})

describe('a probe', () => {
  test('proves what was known when it was sent, not when it was answered', async () => {
    await begin()
    issuer.faults.delayMs = 100
    const { '/feed/head': before = 0 } = issuer.asked
    surroundings.clock.advance(600) // Sends the next probe …
    await until(() => (issuer.asked['/feed/head'] ?? 0) > before, 'the probe')
    surroundings.clock.advance(300) // … and time passes until it is answered.
    await until(() => validator.stats().stalenessMs < 900, 'the answer')
    assert.ok(validator.stats().stalenessMs >= 300)
  })

  test('adds the age of the party that answered', async () => {
    issuer.faults.ageMs = 1500
    await begin()
    assert.equal(validator.stats().stalenessMs, 1500)
    surroundings.clock.advance(501)
    assert.equal(ask('write'), 'stale')
  })

  test('is answered, too, once a party that had never known everything does', async () => {
    issuer.faults.ageMs = Number.MAX_SAFE_INTEGER
    const begun = begin()
    await until(() => Number.isFinite(validator.stats().stalenessMs), 'the first answer')
    issuer.faults.ageMs = 0
    await passUntil(() => validator.stats().stalenessMs < 1000, 'a fresh answer')
    await begun
  })

  for (const fault of ['old answer', 'wrong signature', 'wrong probe', 'no answer'] as const) {
    test(`proves nothing by: ${fault}`, async () => {
      await begin()
      issuer.faults.head = fault
      await passUntil(() => troubles.some(({ what }) => what === 'feed_head'), 'the trouble', 100)
      await passUntil(() => ask('write') === 'stale', 'staleness', 100)
      assert.equal(ask('read'), 'allowed')
      delete issuer.faults.head
      await passUntil(() => ask('write') === 'allowed', 'recovery', 100)
    })
  }

  test('says what has been applied', async () => {
    await begin()
    issuer.revoke({ kind: 'subject', id: 'x' })
    await until(() => seq() === 1, 'the batch')
    await passUntil(() => issuer.lastApplied === '1', 'the report')
  })
})

describe('a stream', () => {
  test('that brings nothing while the head moves on does not look fresh, and is begun again', async () => {
    await begin()
    issuer.faults.frozenStream = true
    issuer.revoke({ kind: 'subject', id: 'user-1', cutoffMs: surroundings.clock.now() + 1000 })
    await passUntil(() => ask('write', { sub: 'user-2' }) === 'stale', 'staleness')
    assert.equal(seq(), 0)
    delete issuer.faults.frozenStream
    await passUntil(() => seq() === 1 && ask('write', { sub: 'user-2' }) === 'allowed', 'another stream')
    assert.ok(validator.stats().streams >= 2)
  })

  test('that is silent for three heartbeats is begun again', async () => {
    await begin()
    await until(() => issuer.openStreams() === 1 && validator.stats().streams > 0, 'the stream')
    const { streams } = validator.stats()
    surroundings.clock.advance(15_000)
    await passUntil(() => validator.stats().streams > streams, 'another stream')
    assert.ok(!troubles.some(({ what }) => what === 'feed_stream'), 'silence is not trouble')
  })

  test('with a batch missing is healed from the last place, with nothing lost', async () => {
    await begin()
    await until(() => issuer.openStreams() === 1 && validator.stats().streams > 0, 'the stream')
    issuer.faults.skipNextBatch = true
    issuer.revoke({ kind: 'subject', id: 'lost' }, { kind: 'subject', id: 'lost too' })
    issuer.revoke({ kind: 'subject', id: 'came' })
    await passUntil(() => seq() === 3, 'the heal')
    for (const sub of ['lost', 'lost too', 'came']) assert.equal(askOld(sub), 'revoked')
  })

  test('is resumed after a drop from where it was', async () => {
    await begin()
    await until(() => issuer.openStreams() === 1 && validator.stats().streams > 0, 'the stream')
    issuer.revoke({ kind: 'subject', id: 'a' })
    await until(() => seq() === 1, 'the first')
    issuer.dropStreams()
    issuer.revoke({ kind: 'subject', id: 'b' })
    await passUntil(() => seq() === 2, 'the second')
    assert.equal(issuer.asked['/feed/snapshot'], 1)
  })

  test('whose place is gone is replaced by the snapshot', async () => {
    await begin()
    await until(() => issuer.openStreams() === 1 && validator.stats().streams > 0, 'the stream')
    issuer.faults.frozenStream = true
    issuer.revoke({ kind: 'subject', id: 'a' }, { kind: 'subject', id: 'b' })
    issuer.floor = 2
    delete issuer.faults.frozenStream
    issuer.dropStreams()
    await passUntil(() => seq() === 2, 'the snapshot')
    assert.equal(askOld('a'), 'revoked')
    assert.equal(issuer.asked['/feed/snapshot'], 2)
  })

  test('with signed nonsense, unsigned sense and unknown events does no harm', async () => {
    await begin()
    await until(() => issuer.openStreams() === 1 && validator.stats().streams > 0, 'the stream')
    issuer.sendRaw('event: batch\ndata: {}\n\n')
    await passUntil(() => troubles.length > 0, 'the trouble')
    await passUntil(() => issuer.openStreams() === 1, 'another stream')
    issuer.sendRaw('event: hello\ndata: x\n\n: comment\n\n')
    issuer.sendRaw('data: no name\n\n')
    issuer.revoke({ kind: 'subject', id: 'a' })
    await passUntil(() => seq() === 1, 'the batch')
  })

  test('with a cutoff beyond the poison limit is not taken in, and what came with it neither', async () => {
    await begin()
    await until(() => issuer.openStreams() === 1 && validator.stats().streams > 0, 'the stream')
    issuer.revoke({ kind: 'subject', id: 'user-1' }, { kind: 'issuer', id: issuer.issuer, cutoffMs: Date.now() + 40_000 })
    await passUntil(() => troubles.some(({ what }) => what === 'feed_stream'), 'the refusal')
    assert.equal(seq(), 0)
    assert.equal(ask('read'), 'allowed')
    await passUntil(() => ask('write') === 'stale', 'and it says so by going stale')
    // Once the time has come it is no poison any more.
    surroundings.clock.advance(15_000)
    await passUntil(() => seq() === 2, 'taken in')
    assert.equal(askOld(), 'revoked')
  })
})

describe('a snapshot', () => {
  for (const fault of ['wrong digest', 'short'] as const) {
    test(`is not used: ${fault}`, async () => {
      issuer.revoke({ kind: 'subject', id: 'a' })
      issuer.faults.snapshot = fault
      await assert.rejects(
        Promise.race([
          begin(),
          until(() => troubles.some(({ what }) => what === 'feed_snapshot'), 'x').then(() =>
            Promise.reject(new Error('refused')),
          ),
        ]),
        /refused/,
      )
      await until(() => ask('read') === 'stale', 'the keys are there, and yet')
      assert.equal(validator.stats().position, undefined)
      delete issuer.faults.snapshot
      await passUntil(() => ask('read', { sub: 'b' }) === 'allowed', 'a good one')
      assert.equal(askOld('a'), 'revoked')
    })
  }
})

describe('a new epoch', () => {
  test('replaces the map, and until its snapshot is there the old one holds', async () => {
    await begin()
    issuer.revoke({ kind: 'subject', id: 'user-1', cutoffMs: surroundings.clock.now() + 2000 })
    await until(() => seq() === 1, 'the wrong revocation')
    assert.equal(askOld(), 'revoked')
    const old = issuer.snapshot()
    issuer.newEpoch([])
    issuer.faults.snapshot = old // The node that serves snapshots lags behind.
    issuer.dropStreams()
    await passUntil(
      () => troubles.some(({ what }) => what === 'feed_snapshot') || validator.stats().resyncs > 0,
      'the new epoch is seen',
    )
    assert.equal(askOld(), 'revoked')
    delete issuer.faults.snapshot
    await passUntil(() => askOld() === 'allowed' && ask('write') === 'allowed', 'the undoing')
    assert.equal(validator.stats().position?.epoch, 'epoch-2')
  })

  test('takes the keys with it: what its key set does not list is believed no more, and one of another epoch does not count', async () => {
    await begin()
    assert.equal(ask('read'), 'allowed')
    const before = issuer.asked['/jwks'] ?? 0
    issuer.newEpoch([])
    issuer.faults.keysEpoch = 'epoch-1' // The node that answers has not read its store again.
    issuer.dropStreams()
    await passUntil(() => (issuer.asked['/jwks'] ?? 0) >= before + 2, 'the keys were asked for')
    assert.equal(validator.stats().position?.epoch, 'epoch-1')
    issuer.jwks = [testKey('token-2')]
    delete issuer.faults.keysEpoch
    await passUntil(() => validator.stats().position?.epoch === 'epoch-2', 'epoch 2')
    assert.equal(ask('read'), 'unknown_key')
  })

  test('is not believed from an old snapshot: only a probe of our own says which epoch is now', async () => {
    await begin()
    const old = issuer.snapshot() // Of epoch 1, from before the revocation.
    const salt = { version: 2, bytes: issuer.salt.bytes }
    issuer.newEpoch([])
    issuer.salt = salt
    issuer.entries.push({
      key: revocationKey(sha256, salt, 'subject', issuer.issuer, 'user-1'),
      cutoffMs: surroundings.clock.now() + 1000,
      dropAfter: 2 ** 32 - 1,
    })
    issuer.dropStreams()
    await passUntil(() => validator.stats().position?.epoch === 'epoch-2', 'epoch 2')
    assert.equal(askOld(), 'revoked')
    await passUntil(() => issuer.openStreams() === 1, 'the stream')
    // Somebody on the way brings back the old snapshot, and makes the stream say that the place is gone.
    issuer.faults.snapshot = old
    issuer.sendRaw('event: reset\ndata: {}\n\n')
    await passUntil(() => (issuer.asked['/feed/snapshot'] ?? 0) >= 3, 'the old snapshot was offered')
    await passUntil(() => troubles.some(({ what }) => what === 'feed_snapshot'), 'and refused')
    assert.equal(validator.stats().position?.epoch, 'epoch-2')
    assert.equal(askOld(), 'revoked')
  })
})

describe('a wait for somebody who never answers', () => {
  /** Whether something comes to hold while no more than so much of the validator's time passes; real time passes generously. */
  async function holdsWithin(milliseconds: number, holds: () => boolean): Promise<boolean> {
    for (let passed = 0; passed < milliseconds; passed += 100) {
      surroundings.clock.advance(100)
      for (let turns = 0; turns < 20 && !holds(); turns++) await new Promise((resolve) => setTimeout(resolve, 2))
      if (holds()) return true
    }
    return false
  }
  /** Less than the bound on connecting: whoever gets there within it did not wait for that. */
  const SOON_MS = 6000

  test('for a stream ends when a head names another epoch', async () => {
    issuer.faults.stream = 'no answer'
    await begin()
    await until(() => issuer.unanswered() === 1, 'the stream is being opened')
    issuer.newEpoch([])
    delete issuer.faults.stream
    assert.ok(await holdsWithin(SOON_MS, () => validator.stats().position?.epoch === 'epoch-2'))
  })

  test('for a stream ends when heads go on saying that there is more', async () => {
    issuer.faults.stream = 'no answer'
    await begin()
    await until(() => issuer.unanswered() === 1, 'the stream is being opened')
    issuer.revoke({ kind: 'subject', id: 'user-1' })
    delete issuer.faults.stream
    assert.ok(await holdsWithin(SOON_MS, () => seq() === 1))
  })

  test('for a snapshot ends when heads go on being answered', async () => {
    issuer.faults.snapshot = 'no answer'
    const begun = begin()
    await until(() => issuer.unanswered() === 1, 'the snapshot is asked for')
    delete issuer.faults.snapshot
    assert.ok(await holdsWithin(SOON_MS, () => seq() === 0))
    await begun
  })

  test('for a snapshot that trickles has an end', async () => {
    await begin()
    issuer.faults.snapshot = 'trickle'
    issuer.newEpoch([])
    issuer.dropStreams()
    await passUntil(() => issuer.unanswered() === 1, 'the snapshot trickles')
    await passUntil(() => troubles.some(({ what }) => what === 'feed_snapshot'), 'it is given up', 200)
  })

  test('is worth longer each time, so that a slow answer counts too', async () => {
    issuer.faults.stream = 'no answer'
    await begin()
    issuer.revoke({ kind: 'subject', id: 'user-1' })
    const asked = (): number => issuer.asked['/feed/stream'] ?? 0
    assert.ok(await holdsWithin(SOON_MS, () => asked() === 3))
    assert.ok(!(await holdsWithin(3000, () => asked() > 3)), 'four seconds for the third')
  })

  test('before the next attempt ends when a head names another epoch', async () => {
    issuer.faults.stream = 'unavailable'
    await begin()
    await passUntil(() => (issuer.asked['/feed/stream'] ?? 0) >= 9, 'attempts have become rare')
    issuer.newEpoch([])
    delete issuer.faults.stream
    assert.ok(await holdsWithin(3000, () => validator.stats().position?.epoch === 'epoch-2'))
  })

  for (const what of ['stream', 'snapshot'] as const) {
    test(`for a ${what} ends with the validator`, async () => {
      issuer.faults[what] = 'no answer'
      void begin().catch(() => {})
      await until(() => issuer.unanswered() === 1, 'it is asked for')
      await validator.close()
      await until(() => issuer.unanswered() === 0, 'the connection is gone')
    })
  }
})

test('a validator does not keep its process alive, but whoever waits for it gets an answer', async () => {
  await begin()
  const script = `
    import { createValidator } from ${JSON.stringify(new URL('./index.ts', import.meta.url).href)}
    const validator = createValidator({ issuer: ${JSON.stringify(issuer.issuer)}, audience: 'https://api.example' })
    console.log(await validator.ready())
  `
  const child = spawn(process.execPath, ['--input-type=module', '-e', script], { stdio: ['ignore', 'pipe', 'inherit'] })
  let output = ''
  child.stdout.on('data', (chunk) => {
    output += chunk
  })
  const code = await new Promise((resolve) => child.on('close', resolve)) // When all that it said is here, too.
  assert.equal(output.trim(), 'fresh')
  assert.equal(code, 0)
})
