import assert from 'node:assert/strict'
import { connect } from 'node:net'
import { after, before, describe, it } from 'node:test'
import { realSurroundings } from '@signet/authority/surroundings.ts'
import { natsNames } from '@signet/kernel/nats.ts'
import { startNats, type TestNats } from '@signet/testkit/nats.ts'
import { until } from '@signet/testkit/until.ts'
import { busContract } from './bus.contract.ts'
import { type Bus, MAX_ALONG, MAX_ALONG_BYTES, type WokenBy } from './bus.ts'
import { createNatsBus } from './nats.ts'
import { type NatsLink, type NatsOptions, openNatsLink } from './nats-link.ts'

const surroundings = realSurroundings()
const { wake } = natsNames('https://auth.example')
const opened: NatsLink[] = []
after(() => Promise.all(opened.map((link) => link.close())))

interface Member extends Bus {
  readonly link: NatsLink
  readonly causes: unknown[]
}

/** A node's bus with a link of its own. */
function member(options: NatsOptions): Member {
  const link = openNatsLink(options, surroundings)
  opened.push(link)
  const causes: unknown[] = []
  link.follow((connection, cause) => void (connection === undefined && causes.push(cause)))
  const bus = createNatsBus({ link, name: wake, ...surroundings })
  return { ...bus, link, causes }
}
const linked = (...buses: Bus[]) => until(() => buses.every((bus) => bus.linked()))
const unlinked = (...buses: Bus[]) => until(() => buses.every((bus) => !bus.linked()))
const sentence = (cause: unknown): string => (cause instanceof Error ? cause.message : String(cause))

const server = await startNats()
if ('skip' in server) {
  it('NATS bus', { skip: server.skip }, () => {})
} else {
  after(() => server.stop())
  suite(server)
}

function suite(nats: TestNats): void {
  const options = { servers: [nats.url] }
  const openPair = async () => {
    const [one, other] = [member(options), member(options)]
    await linked(one, other)
    return { one, other, close: async () => void (await Promise.all([one.close(), other.close()])) }
  }

  busContract('NATS', openPair)

  describe('NATS bus', () => {
    let pair: Awaited<ReturnType<typeof openPair>>
    let woken = 0
    before(async () => {
      pair = await openPair()
      pair.other.subscribe('revocations', () => void woken++)
    })
    after(() => pair.close())

    /** Nodes hear each other. */
    const hear = async () => {
      const before = woken
      pair.one.publish('revocations')
      await until(() => woken > before)
    }

    it('comes back after its server was killed, and wakes everybody, for something may have been missed', async () => {
      await hear()
      await nats.kill()
      await unlinked(pair.one, pair.other)
      const before = woken
      await nats.restart()
      await linked(pair.one, pair.other)
      await until(() => woken > before)
      await hear()
    })

    it('comes back after its server lost its store', async () => {
      await nats.wipe()
      await linked(pair.one, pair.other)
      await hear()
    })

    it('is not linked while its server stands still, however much is published, and is again when it goes on', async () => {
      nats.freeze()
      for (let i = 0; i < 1000; i++) pair.one.publish('revocations')
      await unlinked(pair.one, pair.other)
      // Attempts at a server that accepts and says nothing leave no sockets behind.
      const sockets = () => process.getActiveResourcesInfo().filter((name) => name === 'TCPSocketWrap').length
      await until(() => pair.one.causes.length > 0 && pair.other.causes.length > 0)
      await new Promise((resolve) => setTimeout(resolve, 5000))
      assert.ok(sockets() <= opened.length + 2, `${sockets()} sockets`)
      nats.thaw()
      await linked(pair.one, pair.other)
      await hear()
    })

    it('brings along what each publication gave, and says so when one gave nothing', async () => {
      const heard: { by: WokenBy; along: string[] }[] = []
      const subscription = pair.other.subscribe('policy', (by, along) =>
        heard.push({ by, along: along.map((bytes) => Buffer.from(bytes).toString()) }),
      )
      const say = (text: string) => pair.one.publish('policy', () => Buffer.from(text))
      const brought = () => heard.flatMap(({ along }) => along)
      say('a')
      say('b')
      await until(() => brought().length === 2)
      assert.deepEqual([brought(), new Set(heard.map(({ by }) => by))], [['a', 'b'], new Set(['telling'])])
      for (const publish of [
        () => pair.one.publish('policy'),
        () => say('x'.repeat(MAX_ALONG_BYTES + 1)),
        () => pair.one.publish('policy', () => undefined),
        () => Array.from({ length: MAX_ALONG + 1 }, () => say('many')),
      ]) {
        await new Promise((resolve) => setTimeout(resolve, 20))
        heard.length = 0
        say('c')
        publish()
        await until(() => heard.some(({ by }) => by === 'others'))
        assert.ok(heard.every(({ by, along }) => (by === 'others' ? along.length === 0 : along.every((text) => text === 'c'))))
      }
      subscription.stop()
    })

    it('makes one message of a burst', async () => {
      const messages = await listenRaw(nats.port, wake('policy'))
      for (let i = 0; i < 5000; i++) pair.one.publish('policy')
      await until(() => messages.count() > 0)
      await new Promise((resolve) => setTimeout(resolve, 50))
      assert.ok(messages.count() <= 5, `${messages.count()} messages`)
      messages.close()
    })

    it('is woken a few times by a flood of messages, and after the last of it', async () => {
      const { connection } = pair.one.link
      await hear()
      await new Promise((resolve) => setTimeout(resolve, 50))
      const before = woken
      const began = performance.now()
      for (let i = 0; i < 2000; i++) {
        connection?.publish(wake('revocations'))
        await connection?.flush() // Each in a turn of its own.
      }
      await until(() => woken > before)
      await hear()
      // A timer counts from the beginning of its turn, by whole milliseconds: where turns are long, it is early by as much.
      const most = (performance.now() - began) / 2 + 5
      assert.ok(woken - before <= most, `${woken - before} wake-ups, at most ${most}`)
    })

    it('keeps two authorities on one server apart', async () => {
      const stranger = createNatsBus({
        link: pair.one.link,
        name: natsNames('https://auth.example:8443').wake,
        ...surroundings,
      })
      await linked(stranger)
      // What one link sends comes in order: when the second mark is heard, everything between the two was.
      let marks = 0
      const marked = pair.other.subscribe('policy', () => void marks++)
      const mark = async () => {
        const before = marks
        pair.one.publish('policy')
        await until(() => marks > before)
        await aMoment()
      }
      /** Longer than what is heard waits until it wakes somebody, which is a turn later, and than what is published waits until it is sent. */
      const aMoment = async () => {
        await new Promise((resolve) => setTimeout(resolve, 20))
        for (let turn = 0; turn < 2; turn++) await new Promise((resolve) => setImmediate(resolve))
      }
      await mark()
      const before = woken
      stranger.publish('revocations')
      await aMoment()
      await mark()
      assert.equal(woken, before)
      marked.stop()
      await stranger.close()
    })
  })

  it('works without a server: publishing is nothing, and closing ends the attempts', async () => {
    const alone = member({ servers: ['nats://127.0.0.1:1'] })
    let calls = 0
    alone.subscribe('keys', () => void calls++)
    alone.publish('keys')
    await until(() => calls === 1) // This process needs no server.
    await until(() => alone.causes.length === 1)
    assert.equal(alone.linked(), false)
    await alone.close()
  })

  it('tries its servers in turn', async () => {
    const bus = member({ servers: ['nats://127.0.0.1:1', nats.url] })
    await linked(bus)
  })

  it('signs in by user and password, takes a changed one, and says what is wrong without repeating it', async () => {
    const guarded = await startNats({ configuration: 'authorization { users: [{ user: node, password: "right-one" }] }' })
    assert.ok(!('skip' in guarded))
    try {
      let credentials = 'node:wrong-one'
      /** One whose first attempt failed for this reason: only the first is told, and it may have failed because the server was long in answering. */
      const refused = async (why: RegExp): Promise<Member> => {
        let bus: Member | undefined
        await until(async () => {
          const next = member({ servers: [guarded.url], credentials: () => credentials })
          bus = next
          await until(() => next.causes.length > 0)
          return why.test(sentence(next.causes[0]))
        }, String(why))
        return bus as Member
      }
      const bus = await refused(/authorization|authentication/i)
      assert.equal(bus.linked(), false)
      credentials = 'node:right-one'
      await linked(bus)
      credentials = 'gibberish'
      const other = await refused(/credentials must be/)
      assert.doesNotMatch(sentence(other.causes[0]), /gibberish/)
    } finally {
      await guarded.stop()
    }
  })
}

/** Listens without the library, so that it hears every single message. */
async function listenRaw(port: number, subject: string): Promise<{ count(): number; close(): void }> {
  const socket = connect(port, '127.0.0.1')
  let text = ''
  socket.on('data', (chunk) => {
    text += chunk.toString('latin1')
  })
  socket.write(`CONNECT {"verbose":false}\r\nSUB ${subject} 1\r\nPING\r\n`)
  await until(() => text.includes('PONG'))
  return { count: () => text.split(`MSG ${subject}`).length - 1, close: () => void socket.destroy() }
}
