import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { after, afterEach, beforeEach, describe, test } from 'node:test'
import { createNatsFeedStream, type NatsFeedStream } from '@signet/bus/nats-feed.ts'
import { type NatsLink, openNatsLink } from '@signet/bus/nats-link.ts'
import { BATCH_TYPE } from '@signet/kernel/feed.ts'
import { natsNames } from '@signet/kernel/nats.ts'
import { startNats, type TestNats } from '@signet/testkit/nats.ts'
import { until } from '@signet/testkit/until.ts'
import { NATS_FALLBACK_MS } from './feed-nats.ts'
import { createValidator, type Validator, type ValidatorEvents, type ValidatorOptions } from './index.ts'
import { signJws, startIssuer, type TestIssuer, testKey } from './issuer.testkit.ts'
import { realSurroundings } from './surroundings.ts'

/** A machine with neighbours is late by so much; without the fallback it never comes as long as the fault lasts. */
const NOISE_MS = 15_000

const server = await startNats()
if ('skip' in server) {
  test('the feed by NATS', { skip: server.skip }, () => {})
} else {
  after(() => server.stop())
  suite(server)
}

function suite(nats: TestNats): void {
  const surroundings = realSurroundings()
  let issuer: TestIssuer
  let link: NatsLink
  let stream: NatsFeedStream
  let validator: Validator
  let troubles: ValidatorEvents['trouble'][]
  let sources: ValidatorEvents['source'][]

  beforeEach(async () => {
    issuer = await startIssuer()
    link = openNatsLink({ servers: [nats.url] }, surroundings)
    stream = createNatsFeedStream({ link, names: natsNames(issuer.issuer), surroundings })
    const ready = Promise.withResolvers<void>()
    stream.follow({ up: () => ready.resolve(), heard() {}, down() {} })
    await ready.promise
  })
  afterEach(async () => {
    await validator.close()
    await link.close()
    await issuer.close()
  })

  async function begin(more: Partial<ValidatorOptions> = {}): Promise<void> {
    validator = createValidator({
      issuer: issuer.issuer,
      audience: 'https://api.example',
      feed: { nats: { servers: nats.url } },
      ...more,
    })
    troubles = []
    sources = []
    validator.events.on('trouble', (trouble) => troubles.push(trouble))
    validator.events.on('source', (source) => sources.push(source))
    await validator.ready()
  }
  const seq = (): number => validator.stats().position?.seq ?? -1
  /** What a node does: signs a batch of what is in its log, and carries it. */
  const carry = (from: number, to = from) => stream.publish(issuer.batch(from, to), `${issuer.epoch}:${from}-${to}`)
  const revoke = (id: string): number => issuer.revoke({ kind: 'subject', id })
  const verdict = (sub: string): string => {
    const found = validator.validateSync(issuer.mint({ scope: 'read', sub }, { atMs: Date.now() - 1000 }))
    return found.allowed ? 'allowed' : found.reason
  }
  /** NATS leads, and the stream over HTTP is closed. */
  async function natsLeads(): Promise<void> {
    const at = revoke('somebody')
    await until(() => link.connection !== undefined, 'the link')
    // Again and again, as nodes do that come back: the validator may not be listening yet.
    const carrying = setInterval(() => void carry(at), 100)
    try {
      await until(() => validator.stats().source === 'nats' && issuer.openStreams() === 0, 'NATS leads')
    } finally {
      clearInterval(carrying)
    }
  }
  /** How long something that only the log and the stream know of takes to be here. */
  async function arrives(id: string): Promise<number> {
    const at = revoke(id)
    const began = performance.now()
    await until(() => seq() >= at, `${id} by the stream`)
    assert.equal(verdict(id), 'revoked')
    return performance.now() - began
  }

  describe('the feed by NATS', () => {
    test('brings revocations while the stream over HTTP is closed', async () => {
      await begin()
      assert.equal(validator.stats().source, 'sse')
      await until(async () => {
        await natsLeads()
        const { streams } = validator.stats()
        const at = revoke('user-1')
        await carry(at)
        await until(() => seq() === at, 'the batch')
        assert.equal(verdict('user-1'), 'revoked')
        assert.equal(verdict('user-2'), 'allowed')
        // On a machine that stood still for long the stream was asked meanwhile: then once more.
        return validator.stats().streams === streams && validator.stats().source === 'nats'
      }, 'NATS alone brings it')
      assert.deepEqual(sources[0], { from: 'sse', to: 'nats' })
    })

    test('leads from the start when the last batch that is kept reaches the snapshot', async () => {
      revoke('user-1')
      while ((await carry(1)) === 'told') await new Promise((resolve) => setTimeout(resolve, 50))
      await begin()
      await until(() => validator.stats().source === 'nats', 'the lead')
    })

    test('does not lead while what it brought last is behind what we have', async () => {
      revoke('user-1')
      while ((await carry(1)) === 'told') await new Promise((resolve) => setTimeout(resolve, 50))
      revoke('user-2') // No node has carried it.
      await begin()
      let marks = 0
      await until(async () => {
        await carry(1)
        await stream.publish('A mark, to know that what came before it was looked at.', `mark ${marks++}`)
        return troubles.some(({ what }) => what === 'feed_nats')
      }, 'the mark')
      assert.equal(validator.stats().source, 'sse')
      await carry(2)
      await until(() => validator.stats().source === 'nats', 'the lead')
    })

    test('does not mind duplicates, overlap and reordering', async () => {
      await begin()
      await natsLeads()
      for (const id of ['a', 'b', 'c']) revoke(id)
      await Promise.all([carry(2, 3), carry(2), carry(3, 4), carry(2, 3), carry(4)])
      await until(() => seq() === 4, 'all of it')
      for (const id of ['a', 'b', 'c']) assert.equal(verdict(id), 'revoked')
      assert.ok(!sources.some(({ why }) => why === 'gap'))
    })

    for (const [what, fail, heal] of [
      ['is killed', () => nats.kill(), () => nats.restart()],
      ['stands still', async () => nats.freeze(), async () => nats.thaw()],
      ['loses its store', () => nats.wipe(), async () => {}],
      ['is not reached by any node', async () => {}, async () => {}],
    ] as const) {
      test(`costs latency only when NATS ${what}: what is revoked then is here within the bound`, async () => {
        await begin()
        await natsLeads()
        const freshness: ValidatorEvents['freshness'][] = []
        validator.events.on('freshness', (change) => freshness.push(change))
        await fail()
        const tookMs = await arrives('user-1')
        assert.ok(tookMs <= NATS_FALLBACK_MS + NOISE_MS, `it took ${tookMs} ms`)
        if (what === 'loses its store') return // Its server was away for a moment at most, so maybe nobody noticed.
        assert.equal(validator.stats().source, 'sse')
        assert.ok(validator.stats().fallbacks >= 1)
        assert.deepEqual(freshness, [])
        await heal()
      })
    }

    test('leads again after a fallback, by itself', async () => {
      await begin()
      await natsLeads()
      await nats.kill()
      await arrives('user-1')
      await nats.restart()
      await natsLeads()
      const at = revoke('user-2')
      await carry(at)
      await until(() => verdict('user-2') === 'revoked', 'the batch')
      assert.ok(sources.some(({ to, why }) => to === 'sse' && why === 'down'))
      await until(() => sources.at(-1)?.to === 'nats', 'it leads')
    })

    test('with a batch missing is healed by the stream, with nothing lost', async () => {
      await begin()
      await until(async () => {
        await natsLeads()
        revoke('lost')
        const at = revoke('came')
        await carry(at)
        await until(() => seq() === at, 'the heal')
        assert.deepEqual([verdict('lost'), verdict('came')], ['revoked', 'revoked'])
        // Where the batch was long in coming, a head may have told of what is missing first: then once more.
        return sources.some(({ why }) => why === 'gap')
      }, 'the gap')
    })

    test('that nobody signed, or somebody else, or that is of another epoch, changes nothing', async () => {
      await begin()
      await natsLeads()
      const before = validator.stats()
      const at = seq() + 1
      const entry = ['A'.repeat(22), Date.now() + 1000, 2 ** 32]
      const payload = {
        iss: issuer.issuer,
        epoch: issuer.epoch,
        from: at,
        to: at,
        salt_version: issuer.salt.version,
        at: Date.now(),
        entries: [entry],
      }
      const { feedKey, tokenKey } = issuer
      const messages = [
        '',
        'x'.repeat(100_000),
        '{}',
        signJws(testKey(feedKey.kid), { typ: BATCH_TYPE }, payload),
        signJws(testKey('unknown'), { typ: BATCH_TYPE }, payload),
        signJws(tokenKey, { typ: BATCH_TYPE }, payload),
        signJws(feedKey, { typ: 'signet-head+jwt' }, payload),
        signJws(feedKey, { typ: BATCH_TYPE }, { ...payload, iss: 'https://other.example' }),
        signJws(feedKey, { typ: BATCH_TYPE }, { ...payload, entries: [] }),
        signJws(feedKey, { typ: BATCH_TYPE }, { ...payload, epoch: 'epoch-0' }), // Once genuine, now played again.
        issuer.batch(1, 1),
      ]
      for (const [i, message] of messages.entries()) await stream.publish(message, `forged ${i}`)
      await until(() => troubles.filter(({ what }) => what === 'feed_nats').length >= 9, 'they were looked at')
      assert.deepEqual([seq(), validator.stats().revocations], [at - 1, before.revocations])
      assert.ok(!sources.some(({ why }) => why === 'gap' || why === 'refused'))
      // What is genuine goes on.
      await carry(revoke('user-1'))
      await until(() => verdict('user-1') === 'revoked', 'the genuine one')
    })

    test('is given up when too much is forged, and the stream brings on', async () => {
      await begin()
      await natsLeads()
      for (let i = 0; i < 100; i++) void stream.publish(`forged ${i}`, `forged ${i}`)
      await until(() => validator.stats().source === 'sse', 'the fallback')
      assert.ok(sources.some(({ why }) => why === 'refused'))
      await arrives('user-1')
      assert.ok(troubles.length <= 25, `${troubles.length} were checked`)
    })

    test('with a cutoff beyond the poison limit is not taken in', async () => {
      await begin()
      await natsLeads()
      const at = issuer.revoke({ kind: 'issuer', id: issuer.issuer, cutoffMs: Date.now() + 3_600_000 })
      await carry(at)
      await until(() => validator.stats().source === 'sse', 'the fallback')
      assert.equal(seq(), at - 1)
      assert.equal(verdict('user-2'), 'allowed')
    })

    test('of a new epoch is followed after the snapshot, whose epoch a head has named', async () => {
      await begin()
      await natsLeads()
      issuer.newEpoch([])
      const at = revoke('user-1')
      await carry(at)
      await until(() => validator.stats().position?.epoch === 'epoch-2' && seq() === at, 'the new epoch')
      assert.equal(verdict('user-1'), 'revoked')
      await until(() => validator.stats().source === 'nats', 'NATS leads again')
      assert.ok(sources.some(({ why }) => why === 'resync'))
    })

    test('does not keep its process alive', async () => {
      await begin()
      const script = `
        import { createValidator } from ${JSON.stringify(new URL('./index.ts', import.meta.url).href)}
        const validator = createValidator({
          issuer: ${JSON.stringify(issuer.issuer)}, audience: 'https://api.example', feed: { nats: { servers: ${JSON.stringify(nats.url)} } },
        })
        console.log(await validator.ready())
        const end = setInterval(() => {
          if (validator.stats().source !== 'nats') return
          clearInterval(end)
          console.log('nats')
        }, 10)
      `
      revoke('somebody')
      while ((await carry(1)) === 'told') await new Promise((resolve) => setTimeout(resolve, 50))
      const child = spawn(process.execPath, ['--input-type=module', '-e', script], { stdio: ['ignore', 'pipe', 'inherit'] })
      let output = ''
      child.stdout.on('data', (chunk) => {
        output += chunk
      })
      const carrying = setInterval(() => void carry(1), 100) // Whoever was not told of the last batch in time waits for the next.
      const code = await new Promise((resolve) => child.on('close', resolve))
      clearInterval(carrying)
      assert.deepEqual([output, code], ['fresh\nnats\n', 0])
    })

    test('is refused in words when its options are wrong', async () => {
      await begin()
      for (const [options, sentence] of [
        [{ servers: 'nats://user:pass@127.0.0.1' }, /feed\.nats\.servers must not hold a user name or password/],
        [{ servers: 'nats://nats.example' }, /plain nats:\/\/ is for this machine only.*allowInsecureNats/],
        [{ servers: [] }, /feed\.nats\.servers/],
        [{ servers: nats.url, credentials: '' }, /feed\.nats\.credentials/],
      ] as const) {
        const make = () => createValidator({ issuer: issuer.issuer, audience: 'x', feed: { nats: options } })
        assert.throws(make, (error: Error) => error instanceof TypeError && sentence.test(error.message))
      }
    })
  })
}
