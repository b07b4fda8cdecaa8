import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { freePort } from '@signet/testkit/free-port.ts'
import { manualSurroundings } from '@signet/testkit/surroundings.ts'
import { composeAuthority } from './compose.ts'
import { loadConfig } from './config.ts'
import { checkUpkeep } from './health-checks.ts'
import { openKeyRing } from './keys/key-ring.ts'
import { MasterKey } from './keys/master-key.ts'
import { defaultSettings } from './policy/settings.ts'
import { openSqliteStore } from './store/sqlite.ts'
import type { Store } from './store/store.ts'
import { realSurroundings } from './surroundings.ts'
import { createLog } from './telemetry/log.ts'
import { upkeep } from './upkeep.ts'

test('a checkpoint is made once an hour, by nodes that do not live so long and by several at once', async () => {
  const home = await mkdtemp(join(tmpdir(), 'signet-upkeep-'))
  after(() => rm(home, { recursive: true, force: true }))
  const surroundings = manualSurroundings('upkeep', 1_800_000_000_000)
  const { clock, chance } = surroundings
  const store = await openSqliteStore({ path: join(home, 'signet.db'), surroundings })
  after(() => store.close())
  const master = new MasterKey(new Uint8Array(32), chance)
  const keys = await openKeyRing({ store, master, clock, chance, settings: defaultSettings })
  const node = (own = store) => {
    const task = upkeep({ store: own, keys, issuer: 'https://id.example', surroundings }).find(
      ({ name }) => name === 'checkpoint',
    )
    assert.ok(task !== undefined && task.everyMs <= 60_000)
    return task
  }
  const count = async () => (await store.audit.checkpoints()).length

  await Promise.all([node().run(), node().run()])
  assert.equal(await count(), 1)
  clock.advance(3_599_000)
  await node().run()
  assert.equal(await count(), 1)
  clock.advance(1000)
  await Promise.all([node().run(), node().run()])
  assert.equal(await count(), 2)
  clock.advance(3_600_000)
  // Between its finding that one is due and its making it, another node makes it.
  const slow: Store = Object.assign(Object.create(store), {
    now: async () => {
      await node().run()
      return store.now()
    },
    transact: store.transact.bind(store),
  })
  await node(slow).run()
  assert.equal(await count(), 3)
})

test('a task that was not done for minutes is named, and leaves the node ready', () => {
  assert.equal(
    checkUpkeep(
      new Map([
        ['keys', 1000],
        ['purge', 299_000],
      ]),
    ).state,
    'ok',
  )
  assert.deepEqual(
    checkUpkeep(
      new Map([
        ['keys', 1000],
        ['purge', 301_000],
        ['checkpoint', 400_000],
      ]),
    ),
    {
      name: 'upkeep',
      state: 'warn',
      detail: "not done for minutes: purge, checkpoint; this node's log says why",
      value: 400,
    },
  )
})

test('a node tells on its operations address since when its tasks are done', async () => {
  const state = await mkdtemp(join(tmpdir(), 'signet-upkeep-'))
  const operations = `127.0.0.1:${await freePort()}`
  const config = loadConfig({ state, operations, listen: '127.0.0.1:0' }, {})
  const node = await composeAuthority(config, { surroundings: realSurroundings(), log: createLog('silent') })
  try {
    const metrics = await (await fetch(`http://${operations}/metrics`)).text()
    for (const task of ['keys', 'purge', 'checkpoint'])
      assert.match(metrics, new RegExp(`^signet_task_age_seconds\\{task="${task}"\\} \\d`, 'm'))
    const { checks } = (await (await fetch(`http://${operations}/readyz`)).json()) as { checks: { name: string }[] }
    assert.ok(checks.some(({ name }) => name === 'upkeep'))
  } finally {
    await node.close()
    await rm(state, { recursive: true })
  }
})
