import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, describe, it } from 'node:test'
import type { NatsConnection } from '@nats-io/transport-node'
import { realSurroundings } from '@signet/authority/surroundings.ts'
import { natsNames } from '@signet/kernel/nats.ts'
import { startNats, type TestNats } from '@signet/testkit/nats.ts'
import { PATIENCE_MS, until } from '@signet/testkit/until.ts'
import { createNatsBus } from './nats.ts'
import { createNatsFeedStream, deleteNatsFeedStream, openNatsFeed, STREAM_LIMITS } from './nats-feed.ts'
import { type NatsLink, type NatsOptions, openNatsLink } from './nats-link.ts'

const ISSUER = 'https://auth.example'
const names = natsNames(ISSUER)
const surroundings = realSurroundings()
const closers: (() => Promise<void>)[] = []
after(async () => {
  for (const close of closers.reverse()) await close()
})

const why = process.env.SIGNET_NATS_SERVER ? undefined : 'no NATS: SIGNET_NATS_SERVER names no nats-server'

describe('batches on NATS', { skip: why ?? false }, () => {
  it('reach who listens, are kept within bounds, and the last is there for who comes later', async () => {
    const { url } = await server()
    const node = await publisher({ servers: [url] })
    const early = listener({ servers: [url] })
    await until(() => early.ups.length === 1)
    assert.equal(early.ups[0], undefined)
    const inStream = async () => {
      const answer = await node.link.connection?.request(`$JS.API.STREAM.INFO.${names.stream}`, '', { timeout: PATIENCE_MS })
      return JSON.parse(answer?.string() ?? '{}')
    }
    const one = await keep(node, 'one')
    const { messages } = (await inStream()).state
    await until(async () => {
      const how = await node.stream.publish('one', one)
      assert.notEqual(how, 'kept')
      return how === 'known'
    }, 'it is known')
    const info = await inStream()
    assert.equal(info.state.messages, messages)
    await keep(node, 'two')
    await until(() => early.heard.includes('two'))
    await untilTold({ servers: [url] }, 'two')
    assert.deepEqual(
      [info.config.max_age, info.config.max_bytes, info.config.discard],
      [STREAM_LIMITS.maxAgeSeconds * 1e9, STREAM_LIMITS.maxBytes, 'old'],
    )
  })

  it('are gone with their stream, which may be deleted twice', async () => {
    const { url } = await server()
    const { link } = await publisher({ servers: [url] })
    await until(() => link.connection !== undefined)
    const connection = link.connection as NatsConnection
    const streams = async () => JSON.parse((await connection.request('$JS.API.STREAM.NAMES')).string()).streams ?? []
    await until(async () => (await streams()).includes(names.stream))
    await deleteNatsFeedStream(connection, names)
    assert.deepEqual(await streams(), [])
    await deleteNatsFeedStream(connection, names)
  })

  it('are nowhere to be deleted where there is no JetStream', async () => {
    const { url } = await server('accounts { A { users: [{ user: a, password: b }] } }')
    const { link } = await publisher({ servers: [url], credentials: () => 'a:b' })
    await until(() => link.connection !== undefined)
    await deleteNatsFeedStream(link.connection as NatsConnection, names)
  })

  it('reach who listens where JetStream is not to be had', async () => {
    const { url } = await server(
      'authorization { users: [{ user: a, password: b, permissions: { publish: { deny: "$JS.>" } } }] }',
    )
    const options = { servers: [url], credentials: () => 'a:b' }
    const node = await publisher(options)
    const other = listener(options)
    await until(() => other.ups.length === 1)
    await until(async () => {
      assert.equal(await node.stream.publish('one', '1-1'), 'told')
      return other.heard.includes('one')
    }, 'it is heard')
    assert.ok(node.notKept() > 0)
  })

  it('need the permissions that docs/operating.md gives, and no more; a validator cannot publish', async () => {
    const text = readFileSync(new URL('../../docs/operating.md', import.meta.url), 'utf8')
    const block = /```\n(tls \{[^`]*signet-validator[^`]*)```/.exec(text)?.[1] ?? ''
    const configuration = block
      .replace(/^tls .*$/m, '')
      .replace(/^jetstream .*$/m, '')
      .replaceAll(/password: "[^"]*"/g, 'password: "word"')
    assert.match(configuration, /signet-node/)
    const { url } = await server(configuration)
    const options = { servers: [url], credentials: () => 'signet-node:word' }
    const node = await publisher(options)
    const wakes = [await publisher(options), node].map(({ link }) => createNatsBus({ link, name: names.wake, ...surroundings }))
    await until(() => wakes.every((bus) => bus.linked()))
    let woken = 0
    wakes[1]?.subscribe('keys', () => void woken++)
    wakes[0]?.publish('keys')
    await until(() => woken > 0)
    await keep(node, 'one')

    const validator = { servers: [url], credentials: () => 'signet-validator:word' }
    const reader = await untilTold(validator, 'one')
    const intruder = openNatsLink(validator, surroundings)
    closers.push(() => intruder.close())
    await until(() => intruder.connection !== undefined)
    intruder.connection?.publish(names.batches, 'forged')
    await intruder.connection?.flush()
    await keep(node, 'two')
    await until(() => reader.heard.includes('two'))
    assert.ok(!reader.heard.includes('forged'))
  })

  it('come by TLS from a server whose certificate the named authority gave, and from no other', async (t) => {
    const made = certificates()
    if (typeof made === 'string') return t.skip(made)
    const { url } = await server(`tls { cert_file: "${made.cert}", key_file: "${made.key}" }`)
    const servers = [url.replace('nats://127.0.0.1', 'tls://localhost')]
    const trusted = listener({ servers, ca: readFileSync(made.ca, 'utf8') })
    await until(() => trusted.ups.length === 1)
    const causes: unknown[] = []
    for (const options of [{ servers }, { servers, ca: readFileSync(made.other, 'utf8') }]) {
      const link = openNatsLink(options, surroundings)
      closers.push(() => link.close())
      link.follow((connection, cause) => causes.push(connection === undefined ? cause : 'up'))
    }
    await until(() => causes.length >= 2)
    assert.ok(
      causes.every((cause) => cause instanceof Error),
      String(causes),
    )
    // Nor does a server without TLS get the credentials of a client that wants it.
    const plain = await server()
    const link = openNatsLink({ servers: [plain.url.replace('nats:', 'tls:')], credentials: () => 'a:b' }, surroundings)
    closers.push(() => link.close())
    const refused = Promise.withResolvers<unknown>()
    link.follow((connection, cause) => refused.resolve(connection === undefined ? cause : 'up'))
    assert.match(String(await refused.promise), /tls/)
  })
})

async function server(configuration?: string): Promise<TestNats> {
  const started = await startNats(configuration === undefined ? {} : { configuration })
  assert.ok(!('skip' in started))
  closers.push(() => started.stop())
  return started
}

async function publisher(options: NatsOptions) {
  const link: NatsLink = openNatsLink(options, surroundings)
  closers.push(() => link.close())
  let notKept = 0
  const stream = createNatsFeedStream({ link, names, surroundings, observe: { notKept: () => void notKept++ } })
  const up = Promise.withResolvers<void>()
  stream.follow({ up: () => up.resolve(), heard() {}, down() {} })
  await up.promise
  return { link, stream, notKept: () => notKept }
}

/**
 * Publishes until it is kept, and gives the id that was: the stream may just be being made. One whose answer was long in coming may be
 * kept as well, so the next attempt is another batch.
 */
async function keep({ stream }: Awaited<ReturnType<typeof publisher>>, jws: string): Promise<string> {
  let attempt = 0
  await until(async () => {
    const how = await stream.publish(jws, `${jws} ${++attempt}`)
    assert.notEqual(how, 'known')
    return how === 'kept'
  }, 'it is kept')
  return `${jws} ${attempt}`
}

/** Who comes now is told that this is the last; one that waited too long for the answer is told nothing, and another comes. */
async function untilTold(options: NatsOptions, last: string): Promise<ReturnType<typeof listener>> {
  let one = listener(options)
  await until(async () => {
    await until(() => one.ups.length > 0)
    if (one.ups[0] === last) return true
    assert.equal(one.ups[0], undefined)
    one = listener(options)
    return false
  }, `somebody is told of ${last}`)
  return one
}

function listener(options: NatsOptions) {
  const ups: (string | undefined)[] = []
  const heard: string[] = []
  const feed = openNatsFeed({
    options,
    names,
    surroundings,
    up: (last) => ups.push(last),
    heard: (jws) => heard.push(jws),
    down() {},
  })
  closers.push(() => feed.close())
  return { ups, heard }
}

/** A certificate authority, another one, and a certificate for localhost of the first; or why there are none. */
function certificates(): { ca: string; other: string; cert: string; key: string } | string {
  const home = mkdtempSync(join(tmpdir(), 'signet-tls-'))
  closers.push(async () => rmSync(home, { recursive: true, force: true }))
  const at = (name: string) => join(home, name)
  const ec = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2']
  const authority = (name: string) => [
    'req',
    '-x509',
    ...ec,
    '-keyout',
    at(`${name}.key`),
    '-out',
    at(name),
    '-subj',
    `/CN=${name}`,
  ]
  const leaf = ['-CA', at('ca'), '-CAkey', at('ca.key'), '-addext', 'subjectAltName=DNS:localhost']
  for (const args of [
    authority('ca'),
    authority('other'),
    ['req', '-x509', ...ec, ...leaf, '-keyout', at('key'), '-out', at('cert'), '-subj', '/CN=localhost'],
  ]) {
    const { status, stderr, error } = spawnSync('openssl', args, { encoding: 'utf8' })
    if (status !== 0) return `no certificates: ${error?.message ?? stderr}`
  }
  return { ca: at('ca'), other: at('other'), cert: at('cert'), key: at('key') }
}
