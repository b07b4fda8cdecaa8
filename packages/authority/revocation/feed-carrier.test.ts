import { randomBytes } from 'node:crypto'
import { after, afterEach, beforeEach, describe, it } from 'node:test'
import type { Bus } from '@signet/bus/bus.ts'
import { createInProcessBus } from '@signet/bus/in-process.ts'
import { type NatsLink, openNatsLink } from '@signet/bus/nats-link.ts'
import { natsNames } from '@signet/kernel/nats.ts'
import { startTestAuthority, type TestAuthority } from '@signet/testkit/authority.ts'
import { startNats, type TestNats } from '@signet/testkit/nats.ts'
import { until } from '@signet/testkit/until.ts'
import { openBus } from '../open-bus.ts'
import { openSqliteStore } from '../store/sqlite.ts'
import type { Store } from '../store/store.ts'
import { realSurroundings } from '../surroundings.ts'
import { createLog } from '../telemetry/log.ts'

const ISSUER = 'https://auth.example'
const names = natsNames(ISSUER)
const surroundings = realSurroundings()
const log = createLog('silent')

const server = await startNats()
if ('skip' in server) {
  it('the feed carried to NATS', { skip: server.skip }, () => {})
} else {
  after(() => server.stop())
  suite(server)
}

interface Span {
  readonly epoch: string
  readonly from: number
  readonly to: number
}

function suite(nats: TestNats): void {
  let store: Store
  let masterKey: Uint8Array
  let closing: (() => Promise<void>)[]
  let looker: NatsLink

  beforeEach(async () => {
    await nats.wipe()
    store = await openSqliteStore({ path: ':memory:', surroundings })
    masterKey = randomBytes(32)
    looker = openNatsLink({ servers: [nats.url] }, surroundings)
    closing = [() => store.close(), () => looker.close()]
    await until(() => looker.connection !== undefined)
  })
  afterEach(async () => {
    for (const close of closing.reverse()) await close()
  })

  /** A node of the cluster; without NATS it hears of the others by polling alone. */
  async function node(
    how: 'with NATS' | 'without NATS' = 'with NATS',
  ): Promise<{ authority: TestAuthority; bus: Bus; stop(): Promise<void> }> {
    const config = {
      issuer: ISSUER,
      bus: { engine: 'nats', servers: [nats.url], credentialsFile: undefined, caFile: undefined },
    } as const
    const { close, ...buses } =
      how === 'with NATS'
        ? await openBus(config, surroundings, log)
        : { bus: createInProcessBus(surroundings), close: async () => {} }
    const authority = await startTestAuthority({ issuer: ISSUER, store, masterKey, ...buses })
    let stopped: Promise<void> | undefined
    const stop = () => {
      stopped ??= authority.close().then(close)
      return stopped
    }
    closing.push(stop)
    await until(() => buses.bus.linked())
    return { authority, bus: buses.bus, stop }
  }
  const revoke = ({ authority }: { authority: TestAuthority }, id: string = randomBytes(8).toString('hex')) =>
    authority.revoker.revoke({ kind: 'subject', issuer: 'https://other.example', id }, { reason: 'test', actor: 'system' })
  const head = async () => (await store.revocations.head()).seq

  async function ask(subject: string, body = ''): Promise<Uint8Array | undefined> {
    await until(() => looker.connection !== undefined)
    const answer = await looker.connection?.request(subject, body, { timeout: 2000 }).catch(() => undefined)
    return answer === undefined || answer.headers?.code ? undefined : answer.data
  }
  /** Everything that the stream holds. */
  async function held(): Promise<readonly Span[]> {
    const info = JSON.parse(Buffer.from((await ask(`$JS.API.STREAM.INFO.${names.stream}`)) ?? '{}').toString())
    const spans: Span[] = []
    for (let at = info.state?.first_seq ?? 1; at <= (info.state?.last_seq ?? 0); at++) {
      const data = await ask(`$JS.API.DIRECT.GET.${names.stream}`, JSON.stringify({ seq: at }))
      const payload = Buffer.from(data ?? [])
        .toString()
        .split('.')[1]
      if (payload !== undefined) spans.push(JSON.parse(Buffer.from(payload, 'base64url').toString()))
    }
    return spans
  }
  /** Numbers of the log in the stream, and how often each. */
  async function counts(): Promise<ReadonlyMap<number, number>> {
    const found = new Map<number, number>()
    const genuine = (await held()).filter(({ from, to }) => to - from < 1000)
    for (const { from, to } of genuine) for (let seq = from; seq <= to; seq++) found.set(seq, (found.get(seq) ?? 0) + 1)
    return found
  }
  const holds = async (seqs: readonly number[]) => {
    const found = await counts()
    return seqs.every((seq) => found.has(seq))
  }
  const range = (from: number, to: number) => Array.from({ length: to - from + 1 }, (_, i) => from + i)
  /** The carriers have begun: what is revoked from here on is carried. */
  async function begun(...nodes: { authority: TestAuthority }[]): Promise<number> {
    let last = 0
    await until(async () => {
      await revoke(nodes[0] as { authority: TestAuthority })
      last = await head()
      return holds([last])
    })
    return last
  }

  describe('the feed carried to NATS', () => {
    it('holds what any node committed, each number about once, without a leader', async () => {
      const nodes = [await node(), await node(), await node()]
      await begun(...nodes)
      const meanOf = async (pauseMs: number) => {
        const from = (await head()) + 1
        for (let i = 0; i < 60; i++) {
          await revoke(nodes[i % 3] as (typeof nodes)[number])
          if (pauseMs > 0) await new Promise((resolve) => setTimeout(resolve, pauseMs))
        }
        await until(async () => holds(range(from, from + 59)))
        await new Promise((resolve) => setTimeout(resolve, 200)) // Whatever comes too often has come.
        const found = await counts()
        return range(from, from + 59).reduce((sum, seq) => sum + (found.get(seq) ?? 0), 0) / 60
      }
      // Now and then, and in a rush in which every node commits all the time. A node leaves it to the others for 20 ms: where these hear of each
      // other later than that everybody carries everything, so a busy machine may need more than one attempt.
      for (const [pauseMs, most] of [
        [5, 1.5],
        [0, 2],
      ] as const) {
        await until(async () => (await meanOf(pauseMs)) <= most, `each is there ${most} times at most on average`)
      }
    })

    it('has no hole where the node that committed could not carry', async () => {
      const [good, cutOff] = [await node(), await node('without NATS')]
      const since = await begun(good)
      for (let i = 0; i < 10; i++) await revoke(cutOff)
      await until(async () => holds(range(since + 1, since + 10)))
    })

    it('goes on where it stopped when all nodes were away', async () => {
      const first = await node()
      const since = await begun(first)
      await first.stop()
      const cutOff = await node('without NATS')
      for (let i = 0; i < 5; i++) await revoke(cutOff)
      await node()
      await until(async () => holds(range(since + 1, since + 5)))
    })

    it('is made anew when NATS has lost it', async () => {
      const one = await node()
      await begun(one)
      await nats.wipe()
      await until(() => one.bus.linked())
      const since = await begun(one)
      await revoke(one)
      await until(async () => holds([since + 1]))
    })

    it("takes no stranger's word for what was carried", async () => {
      const [good, cutOff] = [await node(), await node('without NATS')]
      const since = await begun(good)
      const payload = Buffer.from(JSON.stringify({ ...(await held()).at(-1), to: 1e9 })).toString('base64url')
      for (let i = 0; i < 200; i++) looker.connection?.publish(names.batches, `eyJhbGciOiJFUzI1NiJ9.${payload}.AAAA`)
      await looker.connection?.flush()
      await revoke(cutOff) // Its carrying is left to others for a moment.
      await until(async () => holds([since + 1]))
    })

    it('begins anew with a new epoch', async () => {
      const one = await node()
      await begun(one)
      await store.transact((tx) => tx.revocations.newEpoch('epoch-next', { version: 9, bytes: new Uint8Array(16) }, []))
      await until(async () => {
        await revoke(one)
        return (await held()).some(({ epoch }) => epoch === 'epoch-next')
      })
    })
  })
}
