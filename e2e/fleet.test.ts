/** Validators that ask different nodes are one fleet to every node, and a revocation has a receipt that names them. */
import assert from 'node:assert/strict'
import { after, before, describe, it } from 'node:test'
import { until } from '@signet/testkit/until.ts'
import { run } from '../packages/cli/cli.testkit.ts'
import { type RemoteValidator, startValidator } from './remote-validator.ts'
import { API, createWorld, unavailable, type World } from './world.ts'

describe('the fleet of a cluster', { skip: (await unavailable('postgres')) ?? false }, () => {
  /** What a node takes for the store's time is off by half of the time that asking took; policy allows so much. */
  const CLOCK_MS = 500
  const VALIDATORS = 6
  let world: World
  let validators: RemoteValidator[]
  const signet = (...args: string[]) =>
    run(args, { cwd: world.state, env: { SIGNET_CREDENTIALS: world.credentialsFile, SIGNET_URL: world.issuer } })
  before(async () => {
    world = await createWorld({ engine: 'postgres', nodes: 2 })
    await world.resource()
    const feedCredentials = await world.feedCredentials()
    validators = await Promise.all(
      Array.from({ length: VALIDATORS }, (_, n) =>
        startValidator({ issuer: world.issuer, audience: API, feedCredentials, validatorId: `orders-${n}` }),
      ),
    )
  })
  after(async () => {
    await Promise.all(validators.map((validator) => validator.stop()))
    await world.close()
  })
  const revoke = (n: number) =>
    world.admin.call('revoke', {
      body: { target: { kind: 'grant', id: `nobody-${n}`, issuer: 'https://other.example' }, reason: 'story' },
    })

  it('is the same from every node, and says who has applied a revocation, and when', async () => {
    const receipt = await revoke(1)
    const acknowledgedMs = performance.now()
    await until(async () => {
      const { counts } = await world.admin.call('showRevocation', { params: { seq: receipt.seq }, query: {} })
      return counts.applied === VALIDATORS
    })
    const waitedMs = performance.now() - acknowledgedMs
    process.stdout.write(`# all ${VALIDATORS} were known to have it ${waitedMs.toFixed(0)} ms after the acknowledgment\n`)
    const seen = []
    for (const node of [0, 1]) {
      world.balancer.only = node
      const { items, revocation } = await world.admin.call('showRevocation', { params: { seq: receipt.seq }, query: {} })
      assert.equal(revocation?.seq, receipt.seq)
      for (const { known_at_ms, state } of items) {
        assert.equal(state, 'applied')
        assert.ok(
          known_at_ms !== null && known_at_ms >= receipt.committed_at_ms - CLOCK_MS,
          `known ${known_at_ms} before ${receipt.committed_at_ms}`,
        )
      }
      seen.push(items.map(({ id, known_at_ms }) => [id, known_at_ms]))
    }
    world.balancer.only = undefined
    assert.deepEqual(seen[0], seen[1])
    assert.ok(
      world.balancer.served.every((count) => count > 0),
      'one node had nothing to do',
    )
  })

  it('is waited for by the command line, until enough have it or not', async () => {
    const { code, out, err } = await signet(
      'revoke',
      'grant',
      'nobody',
      '--issuer',
      'https://other.example',
      '--wait',
      `${VALIDATORS}/${VALIDATORS},60s`,
    )
    assert.equal(code, 0, err)
    assert.match(out, /6 of 6 have applied it/)
    const { code: late, out: said } = await signet(
      'revoke',
      'grant',
      'no-one',
      '--issuer',
      'https://other.example',
      '--wait',
      '7/8,1s',
    )
    assert.equal(late, 1)
    assert.match(said, /8 were expected, 6 are known/)
  })

  it('shows who lags', async () => {
    await validators[0]?.stop()
    const { seq } = await revoke(2)
    await until(
      async () => (await world.admin.call('showRevocation', { params: { seq }, query: {} })).counts.applied === VALIDATORS - 1,
    )
    const { code, out } = await signet('receipt', String(seq))
    assert.equal(code, 1)
    assert.match(out, /5 of 6 have applied it, 1 lags/)
    assert.match(out, /orders-0 +\S+ +lagging/)
    const { out: fleet } = await signet('fleet')
    assert.match(fleet, /5 of 6 are current, 1 lags/)
    assert.match(fleet, /orders-1 +\S+ +current/)
    const json = JSON.parse((await signet('fleet', '--json')).out)
    assert.deepEqual(json.counts, { applied: 5, lagging: 1, gone: 0 })
    assert.match((await signet('doctor')).out, /orders-0 lags by 1/)
    assert.equal((await signet('receipt', String(seq + 100))).code, 1)
  })
})
