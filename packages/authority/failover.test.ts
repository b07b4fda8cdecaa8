/** PostgreSQL fails over to a standby: one that lacks what was acknowledged, one that has everything, and one of which that was only said. */
import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, describe, test } from 'node:test'
import { setTimeout as wait } from 'node:timers/promises'
import { Fault } from '@signet/kernel/errors.ts'
import { newId, type TokenId } from '@signet/kernel/ids.ts'
import { type PostgresServer, startPostgresServer } from '@signet/testkit/postgres-server.ts'
import { startTcpProxy, type TcpProxy } from '@signet/testkit/tcp-proxy.ts'
import { auditReport } from './audit/verify.ts'
import { type Authority, composeAuthority } from './compose.ts'
import { loadConfig } from './config.ts'
import { ISSUER_REVOKED } from './revocation/standing.ts'
import { realSurroundings } from './surroundings.ts'
import { createLog } from './telemetry/log.ts'

const surroundings = realSurroundings()
const servers: PostgresServer[] = []
const proxies: TcpProxy[] = []
const states: string[] = []
const authorities: Authority[] = []

interface Scene {
  readonly authority: Authority
  readonly primary: PostgresServer
  readonly standby: PostgresServer
  /** What is acknowledged from here on does not reach the standby. */
  cutReplication(): void
  /** The standby takes the primary's place behind the same address. */
  failOver(): Promise<void>
  start(): Promise<Authority>
  /** Another node, with a way of its own to the database, which `failOver` breaks and `reach` opens to the standby. */
  startApart(): Promise<{ readonly authority: Authority; reach(): Promise<void> }>
}

async function scene(failover: string): Promise<Scene> {
  const primary = await startPostgresServer({ listen: 'tcp' })
  servers.push(primary)
  const link = await startTcpProxy(primary.port as number)
  proxies.push(link)
  const source = `host=127.0.0.1 port=${link.port} user=postgres application_name=second`
  const standby = await primary.addStandby('second', { settings: { primary_conninfo: source } })
  const openDoor = async () => {
    const door = await startTcpProxy(primary.port as number)
    proxies.push(door)
    return door
  }
  const door = await openDoor()
  const state = await mkdtemp(join(tmpdir(), 'signet-failover-'))
  states.push(state)
  const start = async (by: TcpProxy = door) => {
    const database = `postgres://postgres@127.0.0.1:${by.port}/postgres`
    const config = loadConfig({ state, database, failover, listen: '127.0.0.1:0', bus: 'auto' }, {})
    const authority = await composeAuthority(config, { surroundings, log: createLog('silent') })
    authorities.push(authority)
    return authority
  }
  const moveTo = async (old: TcpProxy) => {
    await old.close()
    proxies.push(await startTcpProxy(standby.port as number, old.port))
  }
  return {
    authority: await start(),
    primary,
    standby,
    start: () => start(),
    async startApart() {
      const own = await openDoor()
      return { authority: await start(own), reach: () => moveTo(own) }
    },
    cutReplication: () => link.cut(),
    async failOver() {
      door.cut()
      await primary.kill()
      await standby.promote()
      await moveTo(door)
    },
  }
}

/** Waits for what was committed to be on the standby. */
async function replicated({ primary, standby }: Scene): Promise<void> {
  const [now] = await primary.query('select pg_current_wal_lsn()::text as lsn')
  for (;;) {
    const [there] = await standby.query('select pg_last_wal_replay_lsn() >= $1::pg_lsn as done', [now?.lsn])
    if (there?.done === true) return
    await wait(20)
  }
}

const revoke = ({ revoker }: Authority, id: TokenId) => revoker.revoke({ kind: 'token', id }, { reason: 'test', actor: 'system' })

/** The first answer that is no fault. Everything else than a fault is thrown. */
async function whenItAnswers<T>(ask: () => Promise<T>): Promise<T> {
  for (;;) {
    try {
      return await ask()
    } catch (error) {
      if (!(error instanceof Fault)) throw error
      await wait(20)
    }
  }
}

const soundness = ({ store, keys }: Authority) => whenItAnswers(async () => (await auditReport(store.audit, keys)).findings)
const newToken = () => newId<TokenId>(surroundings.clock.now(), surroundings.chance)

describe('a PostgreSQL that was promoted', () => {
  after(async () => {
    for (const authority of authorities) await authority.close()
    for (const proxy of proxies) await proxy.close()
    for (const server of servers) await server.close()
    for (const state of states) await rm(state, { recursive: true })
  })

  for (const failover of ['may-lose', 'lossless']) {
    test(`ends everything when it lacks what this node saw acknowledged (${failover})`, async () => {
      const here = await scene(failover)
      const { authority } = here
      await revoke(authority, newToken())
      await replicated(here)
      const before = await authority.store.revocations.head()
      here.cutReplication()
      await revoke(authority, newToken())
      await here.failOver()

      const head = await whenItAnswers(() => authority.store.revocations.head())
      assert.notEqual(head.epoch, before.epoch, 'the old numbering went on although an acknowledged entry is gone')
      const revokedMs = await whenItAnswers(() => authority.store.meta.get(ISSUER_REVOKED))
      assert.ok(Number(revokedMs) > 0, 'grants of before go on')
      await whenItAnswers(() => revoke(authority, newToken()))
      assert.deepEqual(await soundness(authority), [])
    })
  }

  test('ends everything when another node has taken it for whole already (lossless)', async () => {
    const here = await scene('lossless')
    const { authority } = here
    const late = await here.startApart()
    await revoke(late.authority, newToken())
    await replicated(here)
    const before = await authority.store.revocations.head()
    here.cutReplication()
    await revoke(late.authority, newToken())
    await here.failOver()
    // All that this node had acknowledged is there.
    const noted = await whenItAnswers(() => authority.store.revocations.head())
    assert.equal(noted.epoch, before.epoch)

    await late.reach()
    const head = await whenItAnswers(() => late.authority.store.revocations.head())
    assert.notEqual(head.epoch, before.epoch, 'a node went on although what it had acknowledged is gone')
    await whenItAnswers(() => revoke(late.authority, newToken()))
    await whenItAnswers(() => revoke(authority, newToken()))
    const headNow = await whenItAnswers(() => authority.store.revocations.head())
    assert.equal(headNow.epoch, head.epoch, 'it was settled again')
    assert.deepEqual(await soundness(authority), [])
  })

  test('goes on as before when only standbys that have everything are promoted', async () => {
    const here = await scene('lossless')
    const { authority, primary } = here
    await primary.set('synchronous_standby_names', 'second')
    await revoke(authority, newToken())
    const before = await authority.store.revocations.head()
    await here.failOver()
    const token = newToken()
    await whenItAnswers(() => revoke(authority, token))
    const head = await whenItAnswers(() => authority.store.revocations.head())
    assert.equal(head.epoch, before.epoch)
    // More than one entry, when its commit was late and it was raised.
    const since = await whenItAnswers(() => authority.store.revocations.after(before.seq, 100))
    assert.deepEqual([since[0]?.seq, new Set(since.map(({ target }) => target))], [before.seq + 1, new Set([token])])
    assert.deepEqual(await soundness(authority), [])
  })

  test('is waited for by a node that starts before it is over', async () => {
    const here = await scene('may-lose')
    await here.authority.close()
    await here.primary.kill()
    const starting = here.start()
    starting.catch(() => {}) // Heard below.
    await here.failOver()
    const { store } = await starting
    await whenItAnswers(() => store.revocations.head())
  })

  test('is settled by a node that starts afterwards, once', async () => {
    const here = await scene('may-lose')
    await replicated(here)
    const before = await here.authority.store.revocations.head()
    await here.authority.close()
    await here.failOver()
    const [one, two] = await Promise.all([here.start(), here.start()])
    const head = await whenItAnswers(() => one.store.revocations.head())
    assert.notEqual(head.epoch, before.epoch)
    const about = { text: 'store.promoted', fromMs: 0, toMs: Number.MAX_SAFE_INTEGER, limit: 10 }
    const promotions = await whenItAnswers(() => two.store.audit.search(about))
    assert.equal(promotions.length, 1)
    const three = await here.start()
    const headThere = await whenItAnswers(() => three.store.revocations.head())
    assert.equal(headThere.epoch, head.epoch, 'it was settled again')
  })
})
