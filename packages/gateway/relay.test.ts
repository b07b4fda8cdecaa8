import assert from 'node:assert/strict'
import { chmod, readFile, writeFile } from 'node:fs/promises'
import { createServer, get } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { afterEach, beforeEach, test } from 'node:test'
import { BATCH_TYPE, MAX_HOPS, RELAY_PATH } from '@signet/kernel/feed.ts'
import { until } from '@signet/testkit/until.ts'
import type { Validator } from '@signet/validator/index.ts'
import { signJws, startIssuer, type TestIssuer, type TestKey, testKey } from '@signet/validator/issuer.testkit.ts'
import { READER_API, type RunningRelay, readerOf, relayOf, Undoing } from './relay.testkit.ts'
import { createRelayDoor, type RelayDoorParts } from './relay-door.ts'

let issuer: TestIssuer
let undoing: Undoing

beforeEach(async () => {
  undoing = new Undoing()
  issuer = await startIssuer()
  undoing.add(() => issuer.close())
})
afterEach(() => undoing.run())

const at = (validator: Validator) => validator.stats().position
const reaches = (validator: Validator, seq: number) =>
  until(() => at(validator)?.seq === seq && at(validator)?.epoch === issuer.epoch, `the reader reaches ${seq}`)
const tokenFor = (id: string): string => issuer.mint({ sub: id, scope: 'read write' })
const verdictOn = (validator: Validator, token: string, needs?: string): string => {
  const verdict = validator.validateSync(token, needs === undefined ? {} : { needs })
  return verdict.allowed ? 'allowed' : verdict.reason
}
const headOf = async (relay: { url: string }) => {
  const answer = await fetch(`${relay.url}/feed/head?probe=a-probe-of-16-characters`)
  const text = await answer.text()
  return {
    status: answer.status,
    payload: answer.ok ? JSON.parse(Buffer.from(text.split('.')[1] ?? '', 'base64url').toString()) : {},
  }
}
const told = (validator: Validator): string[] => {
  const messages: string[] = []
  validator.events.on('trouble', ({ cause }) => messages.push((cause as Error).message))
  return messages
}

test('a revocation reaches, over two relays, a validator that has no way to the authority', async () => {
  const [before, after] = [tokenFor('before'), tokenFor('after')]
  issuer.revoke({ kind: 'subject', id: 'before' })
  const first = await relayOf(undoing, issuer)
  const second = await relayOf(undoing, issuer, first)
  const reader = readerOf(undoing, issuer, second)
  await reader.ready()
  assert.equal(verdictOn(reader, before), 'revoked')
  await until(() => verdictOn(reader, after, 'write') === 'allowed', 'it is fresh enough to write')
  const seq = issuer.revoke({ kind: 'subject', id: 'after' })
  await reaches(reader, seq)
  assert.equal(verdictOn(reader, after), 'revoked')
  assert.equal((await headOf(second)).payload.hops, 2)
})

test('what a relay passes on is what the authority signed, byte for byte', async () => {
  issuer.revoke({ kind: 'subject', id: 'one' })
  const relay = await relayOf(undoing, issuer)
  await relay.validator.ready()
  await until(() => relay.stats().stalenessMs < 1000 && issuer.openStreams() === 1, 'the relay is fresh, and hears what is sent')
  const seen: string[] = []
  const url = `${relay.url}/feed/stream?epoch=${issuer.epoch}&after=1`
  const request = get(url, (response) => response.setEncoding('utf8').on('data', (text: string) => void seen.push(text)))
  undoing.add(() => request.destroy())
  await until(() => seen.join('').includes('retry'), 'the stream is open')
  const sent = issuer.batch(1, 1) // An older one: the relay knows it, and need not pass it on.
  issuer.sendRaw(`event: batch\ndata: ${sent}\n\n`)
  const jws = signJws(
    issuer.feedKey,
    { typ: BATCH_TYPE },
    {
      ...JSON.parse(Buffer.from(sent.split('.')[1] as string, 'base64url').toString()),
      from: 2,
      to: 2,
      unknown: 'members go with it',
    },
  )
  issuer.sendRaw(`event: batch\ndata: ${jws}\n\n`)
  await until(() => seen.join('').includes('data: '), 'the batch arrives')
  assert.ok(seen.join('').includes(`id: ${issuer.epoch}:2\nevent: batch\ndata: ${jws}\n\n`))
  assert.ok(!seen.join('').includes(sent))
})

test('ages add up over relays, the authority’s own included', async () => {
  issuer.faults.ageMs = 5000
  const first = await relayOf(undoing, issuer)
  const second = await relayOf(undoing, issuer, first)
  const reader = readerOf(undoing, issuer, second)
  await until(() => Number.isFinite(reader.stats().stalenessMs), 'the reader has an answer')
  for (let i = 0; i < 20; i++) {
    const [a, b, c] = [first.stats().stalenessMs, second.stats().stalenessMs, reader.stats().stalenessMs]
    assert.ok(a >= 5000 && b >= 5000 && c >= 5000, `${a} ${b} ${c}`)
    assert.ok((await headOf(second)).payload.age_ms >= 5000)
    await new Promise((resolve) => setTimeout(resolve, 10))
  }
  assert.equal(verdictOn(reader, tokenFor('someone'), 'write'), 'stale')
  assert.equal(verdictOn(reader, tokenFor('someone'), 'read'), 'allowed')
})

test('a relay whose upstream is gone goes on answering, and says how old it is', async () => {
  const relay = await relayOf(undoing, issuer)
  const reader = readerOf(undoing, issuer, relay)
  await reader.ready()
  issuer.faults.status = 503
  issuer.dropStreams()
  await until(
    () => Math.min(reader.stats().stalenessMs, relay.stats().stalenessMs) > 2000,
    'the reader gets old, for the relay does',
  )
  assert.equal(verdictOn(reader, tokenFor('someone'), 'write'), 'stale')
  assert.equal(verdictOn(reader, tokenFor('someone'), 'read'), 'allowed')
  const { status, payload } = await headOf(relay)
  assert.equal(status, 200)
  assert.ok(payload.age_ms > 1500)
  delete issuer.faults.status
  const seq = issuer.revoke({ kind: 'subject', id: 'meanwhile' })
  await until(() => at(reader)?.seq === seq && reader.stats().stalenessMs < 2000, 'all is well again')
})

test('a relay that never knew anything vouches for nothing', async () => {
  issuer.faults.head = 'no answer'
  const relay = await relayOf(undoing, issuer)
  await until(() => relay.stats().position !== undefined, 'it has a snapshot')
  const answer = await fetch(`${relay.url}/feed/head?probe=a-probe-of-16-characters`)
  assert.equal(answer.status, 503)
  assert.equal(answer.headers.get('retry-after'), '1')
  assert.equal((await fetch(`${relay.url}/readyz`)).status, 503)
})

test('a head that is signed by a key nobody was told to trust, the authority’s feed key too, proves nothing', async () => {
  const relay = await relayOf(undoing, issuer)
  const other = testKey('another')
  const reader = readerOf(undoing, issuer, { url: relay.url, jwks: { keys: [other.jwk] } })
  const messages = told(reader)
  await until(() => messages.some((text) => text.includes('unknown_key')), 'the head is refused')
  assert.equal(reader.stats().stalenessMs, Number.POSITIVE_INFINITY)
  // The authority itself, taken for a relay: its heads are not of the relay's key.
  const lost = readerOf(undoing, issuer, { url: relay.url, jwks: { keys: [{ ...other.jwk, kid: relay.jwks.keys[0]?.kid }] } })
  const lostMessages = told(lost)
  await until(() => lostMessages.some((text) => text.includes('bad_signature')), 'nor is another key under its name')
  assert.equal(lost.stats().stalenessMs, Number.POSITIVE_INFINITY)
})

test('a relay passes on nothing that is not the authority’s, and no poison', async () => {
  const relay = await relayOf(undoing, issuer)
  const reader = readerOf(undoing, issuer, relay)
  await reader.ready()
  const token = tokenFor('victim')
  const fake = testKey(issuer.feedKey.kid)
  const real = issuer.feedKey
  const key = Buffer.alloc(16, 1).toString('base64url')
  const batch = (signer: typeof real, cutoffMs: number) =>
    signJws(
      signer,
      { typ: BATCH_TYPE },
      {
        iss: issuer.issuer,
        epoch: issuer.epoch,
        from: 1,
        to: 1,
        salt_version: issuer.salt.version,
        at: Date.now(),
        entries: [[key, cutoffMs, Math.floor(Date.now() / 1000) + 60]],
      },
    )
  for (const [jws, reason] of [
    [batch(fake, Date.now()), 'bad_signature'],
    [batch(real, Date.now() + 3_600_000), 'poisoned'],
  ] as const) {
    await until(async () => {
      issuer.sendRaw(`event: batch\ndata: ${jws}\n\n`) // To a relay that comes back each time.
      return relay.troubles.some(({ cause }) => (cause as Error).message.includes(reason))
    })
    assert.equal(relay.stats().position?.seq, 0)
    assert.equal(at(reader)?.seq, 0)
  }
  // A poisoned snapshot neither, though it is signed.
  issuer.revoke({ kind: 'subject', id: 'x', cutoffMs: Date.now() + 3_600_000 })
  issuer.newEpoch([...issuer.entries])
  await until(() => relay.troubles.some(({ cause }) => (cause as Error).message.includes('refused: poisoned')), 'refused')
  assert.equal(relay.stats().position?.epoch, 'epoch-1')
  assert.equal(verdictOn(reader, token), 'allowed')
})

test('a new epoch goes through relays, and an old one does not come back', async () => {
  const token = tokenFor('wrongly')
  issuer.revoke({ kind: 'subject', id: 'wrongly' })
  const first = await relayOf(undoing, issuer)
  const second = await relayOf(undoing, issuer, first)
  const reader = readerOf(undoing, issuer, second)
  await reader.ready()
  await reaches(reader, 1)
  assert.equal(verdictOn(reader, token), 'revoked')
  issuer.faults.keysEpoch = 'epoch-1' // The node that answers has not read its keys in the new epoch yet.
  issuer.newEpoch([])
  await until(() => first.troubles.some(({ cause }) => `${cause}`.includes('keys are still those')), 'the keys are waited for')
  assert.equal(at(reader)?.epoch, 'epoch-1')
  delete issuer.faults.keysEpoch
  await reaches(reader, 0)
  await until(() => verdictOn(reader, token) === 'allowed', 'it is alive again')
  // A relay that is stuck in the epoch before, or plays it again: its head is good, but of an epoch that was left.
  issuer.epoch = 'epoch-1'
  issuer.revoke({ kind: 'subject', id: 'wrongly' })
  await until(() => first.stats().position?.epoch === 'epoch-1', 'the first relay is in the old one again')
  await until(
    () => second.troubles.some(({ cause }) => (cause as Error).message.includes('left_epoch')),
    'the next does not follow',
  )
  assert.equal(second.stats().position?.epoch, 'epoch-2')
  assert.equal(at(reader)?.epoch, 'epoch-2')
  await until(() => reader.stats().stalenessMs > 200, 'but it gets old')
})

test('hops are counted, and a ring of relays is found out', async () => {
  issuer.faults.hops = MAX_HOPS - 1
  const last = await relayOf(undoing, issuer)
  await until(() => last.stats().stalenessMs < 5000, 'one more is allowed')
  const beyond = await relayOf(undoing, issuer, last)
  await until(() => beyond.stats().hops === MAX_HOPS + 1, 'it has read the head')
  assert.equal((await headOf(beyond)).status, 503)
})

test('a relay asks its readers for a token of the authority, and ends their streams with it', async () => {
  issuer.feedOpen = false
  const credentials = { clientId: 'reader', clientSecret: 'secret' }
  const relay = await relayOf(undoing, issuer, undefined, { open: false, credentials })
  await relay.validator.ready()
  await until(() => relay.stats().stalenessMs < 1000, 'the relay is fresh')
  const url = `${relay.url}/feed/stream?epoch=${issuer.epoch}&after=0`
  const none = await fetch(url)
  assert.equal(none.status, 401)
  assert.match(none.headers.get('www-authenticate') ?? '', /^Bearer/)
  await none.body?.cancel()
  const wrong = issuer.mint({ aud: READER_API, scope: 'signet:feed' })
  const [other, poor, good] = [
    wrong,
    issuer.mint({ aud: issuer.issuer, scope: 'read' }),
    issuer.mint({ aud: issuer.issuer, scope: 'signet:feed', sub: 'reader', client_id: 'reader' }),
  ]
  const status = async (token: string) => (await fetch(url, { headers: { authorization: `Bearer ${token}` } })).status
  assert.deepEqual([await status(other), await status(poor)], [401, 403])
  const closed = Promise.withResolvers<void>()
  const request = get(url, { headers: { authorization: `Bearer ${good}` } }, (response) => {
    assert.equal(response.statusCode, 200)
    response.resume().on('close', closed.resolve)
  })
  undoing.add(() => request.destroy())
  await until(() => relay.stats().readers === 1, 'the stream is open')
  issuer.revoke({ kind: 'subject', id: 'reader' })
  await closed.promise
  await until(() => relay.stats().readers === 0, 'its place is free')
})

test('a reader gives its token to the relay it was told to read from, and to nobody whom that relay names', async () => {
  const seen: (string | undefined)[] = []
  const elsewhere = createServer((request, response) => {
    seen.push(request.headers.authorization)
    response.writeHead(500).end()
  })
  const feed = () => {
    const other = `http://127.0.0.1:${(elsewhere.address() as AddressInfo).port}`
    const paths = { head: `${other}/head`, stream: `${other}/stream`, snapshot: `${other}/snapshot`, keys: '/feed/keys' }
    return { ...paths, jwks_uri: '/feed/jwks', guard_ms: 2000, open: false }
  }
  const relay = createServer((request, response) => {
    if (request.url !== RELAY_PATH) return void response.writeHead(500).end()
    response.setHeader('content-type', 'application/json')
    response.end(JSON.stringify({ issuer: issuer.issuer, hops: 1, signet_feed: feed() }))
  })
  for (const server of [elsewhere, relay]) {
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    undoing.add(() => server.close())
  }
  const url = `http://127.0.0.1:${(relay.address() as AddressInfo).port}`
  const reader = readerOf(
    undoing,
    issuer,
    { url, jwks: { keys: [issuer.feedKey.jwk] } },
    { fetch, feedCredentials: { clientId: 'reader', clientSecret: 'secret' } },
  )
  const troubles = told(reader)
  await until(
    () => seen.length > 0 || troubles.some((trouble) => trouble.includes('another origin')),
    'it has read the directory',
  )
  assert.deepEqual(seen, [])
})

test('a reader that is gone before it was let in holds no place', async () => {
  const judged = Promise.withResolvers<void>()
  const verdict = { allowed: true, claims: { client_id: 'hasty' } }
  const snapshot = { epoch: 'e', seq: 1, frame: new Uint8Array(8) }
  const parts = {
    validator: { validate: () => judged.promise.then(() => verdict) },
    feed: { snapshot: async () => snapshot },
    timers: { after: () => ({ cancel() {} }) },
  } as unknown as RelayDoorParts
  const door = createRelayDoor(parts)
  let [arrived, gone] = [0, 0]
  const server = createServer((request, response) => {
    arrived++
    response.once('close', () => gone++)
    door(request, response)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  undoing.add(() => server.close())
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/feed/snapshot`
  const hasty = Array.from({ length: 32 }, () => get(url).on('error', () => {}))
  await until(() => arrived === hasty.length, 'all have asked')
  for (const request of hasty) request.destroy()
  await until(() => gone === hasty.length, 'all are gone')
  judged.resolve()
  for (let n = 0; n < 32; n++) assert.equal((await fetch(url)).status, 200)
})

test('keys come over the relay, each set vouched for by the one before, and none from before', async () => {
  issuer.cacheControl = 'max-age=0'
  const relay = await relayOf(undoing, issuer)
  const reader = readerOf(undoing, issuer, relay)
  await reader.ready()
  const next = testKey('feed-2')
  const nextToken = testKey('token-2')
  issuer.feedJwks = [issuer.feedKey, next]
  issuer.jwks = [issuer.tokenKey, nextToken]
  const token = issuer.mint({}, { key: nextToken })
  // The relay asks again when a token names a key it does not know; so does the reader.
  await until(async () => (await relay.validator.validate(issuer.mint({ aud: issuer.issuer }, { key: nextToken }))).allowed)
  await until(async () => (await reader.validate(token)).allowed)
  // The next feed key signs; one that nobody published vouches for nothing.
  await until(async () => (await keysOf(relay)).includes(next.kid))
  const stranger = testKey('feed-3')
  issuer.feedKey = stranger
  issuer.jwks = [issuer.tokenKey]
  const hasTrouble = (reason: string) => relay.troubles.some(({ what, cause }) => what === 'keys' && `${cause}`.includes(reason))
  await until(async () => (await askForUnknown(relay.validator)) && hasTrouble('unknown_key'))
  issuer.feedKey = next
  const seq = issuer.revoke({ kind: 'subject', id: 'signed by the next' })
  await reaches(reader, seq) // It looks for a feed key at most every ten seconds.
  // An old set, played again, does not bring back what is gone from the present one.
  issuer.faults.keysAgeMs = 3_600_000
  await until(async () => (await askForUnknown(relay.validator)) && hasTrouble('old_keys'))
})

test('keys that were signed by a clock that ran ahead do not lock out those that come after', async () => {
  issuer.cacheControl = 'max-age=0'
  issuer.faults.keysAgeMs = -86_400_000
  const relay = await relayOf(undoing, issuer)
  const reader = readerOf(undoing, issuer, relay)
  await reader.ready()
  issuer.faults.keysAgeMs = 0 // Its clock was put right.
  const next = testKey('token-2')
  issuer.jwks = [issuer.tokenKey, next]
  await until(async () => (await relay.validator.validate(issuer.mint({ aud: issuer.issuer }, { key: next }))).allowed)
  await until(async () => (await reader.validate(issuer.mint({}, { key: next }))).allowed)
})

test('what was kept under other pinned keys is not trusted: they were replaced for a reason', async () => {
  const relay = await relayOf(undoing, issuer)
  const cacheFile = join(relay.directory, 'reader.cache')
  const before = readerOf(undoing, issuer, relay, { cacheFile })
  await before.ready()
  assert.equal(verdictOn(before, tokenFor('someone'), 'read'), 'allowed')
  await before.close()
  const away = () => Promise.reject(new Error('nobody is there'))
  const feed = (key: TestKey) => ({ url: relay.url, relayKeys: relay.jwks, authorityKeys: { keys: [key.jwk] } })
  const again = readerOf(undoing, issuer, relay, { cacheFile, fetch: away })
  await until(() => again.stats().position !== undefined, 'it goes on from its file')
  assert.equal(verdictOn(again, tokenFor('someone'), 'read'), 'allowed')
  await again.close()
  const other = readerOf(undoing, issuer, relay, { cacheFile, fetch: away, feed: feed(testKey('pinned anew')) })
  assert.equal((await other.validate(tokenFor('someone'), { needs: 'read' })).allowed, false)
  assert.equal(other.stats().position, undefined)
})

test('a relay that was restarted while its upstream is away serves what it kept, as old as it is', async () => {
  issuer.revoke({ kind: 'subject', id: 'early' })
  const before = await relayOf(undoing, issuer)
  await before.validator.ready()
  const seq = issuer.revoke({ kind: 'subject', id: 'late' })
  await until(() => before.stats().position?.seq === seq && before.stats().stalenessMs < 1000, 'it knows both')
  await before.close()
  issuer.faults.status = 503
  const after = await relayOf(undoing, issuer, undefined, { stateDirectory: before.directory })
  await until(() => after.stats().position?.seq === seq, 'it knows both again')
  assert.ok(Number.isFinite(after.stats().stalenessMs))
  assert.deepEqual(after.jwks, before.jwks)
  // Its guard comes with the upstream's metadata; until then only those who knew it before read from it.
  assert.equal((await fetch(`${after.url}${RELAY_PATH}`)).status, 503)
  const snapshot = await fetch(`${after.url}/feed/snapshot`)
  // The first; or, to a relay that had no patience with its stream, the next.
  assert.ok([1, seq].some((each) => snapshot.headers.get('etag') === `"${issuer.epoch}:${each}"`))
  const { payload } = await headOf(after)
  assert.deepEqual([payload.seq, payload.epoch], [seq, issuer.epoch])
})

test('what a relay kept is verified anew: a batch that was put there, forged or poisoned, makes it vouch for nothing', async () => {
  const relay = await relayOf(undoing, issuer)
  await until(() => relay.stats().stalenessMs < 1000, 'the relay is fresh')
  await relay.close()
  issuer.faults.status = 503
  const file = join(relay.directory, 'relay-tail.json')
  const tail = JSON.parse(await readFile(file, 'utf8')) as { batches: string[] }
  const batch = (signer: typeof issuer.feedKey, cutoffMs: number) => {
    const entries = [[Buffer.alloc(16, 1).toString('base64url'), cutoffMs, Math.floor(Date.now() / 1000) + 60]]
    const { epoch, salt } = issuer
    const payload = { iss: issuer.issuer, epoch, from: 1, to: 1, salt_version: salt.version, at: Date.now(), entries }
    return signJws(signer, { typ: BATCH_TYPE }, payload)
  }
  for (const [jws, reason] of [
    [batch(testKey(issuer.feedKey.kid), Date.now()), 'bad_signature'],
    [batch(issuer.feedKey, Date.now() + 3_600_000), 'poisoned'],
  ] as const) {
    await writeFile(file, JSON.stringify({ ...tail, batches: [jws] }))
    const again = await relayOf(undoing, issuer, undefined, { stateDirectory: relay.directory })
    await until(() => again.troubles.some(({ cause }) => `${cause}`.includes(reason)), `it is ${reason}`)
    assert.equal(again.stats().position?.seq, 0)
    assert.equal((await headOf(again)).status, 503)
    await again.close()
  }
  if (process.platform === 'win32') return
  await chmod(file, 0o666)
  const open = await relayOf(undoing, issuer, undefined, { stateDirectory: relay.directory })
  await until(() => open.troubles.some(({ cause }) => `${cause}`.includes('others may write')), 'it is not used at all')
  assert.equal(open.stats().position, undefined)
})

test('a snapshot is not sent again to whoever has it', async () => {
  issuer.revoke({ kind: 'subject', id: 'one' })
  const relay: RunningRelay = await relayOf(undoing, issuer)
  await until(() => relay.stats().position !== undefined, 'it has a snapshot')
  const first = await fetch(`${relay.url}/feed/snapshot`)
  assert.deepEqual(Buffer.from(await first.arrayBuffer()).subarray(-27), Buffer.from(issuer.snapshot()).subarray(-27))
  const again = await fetch(`${relay.url}/feed/snapshot`, { headers: { 'if-none-match': first.headers.get('etag') as string } })
  assert.equal(again.status, 304)
  assert.equal((await again.arrayBuffer()).byteLength, 0)
})

test('what is asked wrongly is answered plainly', async () => {
  const relay = await relayOf(undoing, issuer)
  await until(() => relay.stats().stalenessMs < 1000, 'the relay is fresh')
  const asked = async (path: string, init: RequestInit = {}) => {
    const answer = await fetch(`${relay.url}${path}`, init)
    await answer.body?.cancel()
    return answer.status
  }
  assert.equal(await asked('/feed/head'), 400)
  assert.equal(await asked('/feed/head?probe=short'), 400)
  assert.equal(await asked('/feed/head?probe=a-probe-of-16-characters&probe=a-probe-of-16-characters'), 400)
  assert.equal(await asked('/feed/stream?epoch=e&after=-1'), 400)
  assert.equal(await asked('/feed/stream', { headers: { 'last-event-id': 'nonsense' } }), 400)
  assert.equal(await asked('/elsewhere'), 404)
  assert.equal(await asked('/constructor'), 404)
  assert.equal(await asked('/feed/head', { method: 'POST' }), 405)
})

/** A token that names a key nobody knows makes a validator look for keys. */
async function askForUnknown(validator: Validator): Promise<true> {
  await validator.validate(issuer.mint({ aud: issuer.issuer }, { key: testKey(`unknown-${Math.random()}`) }))
  return true
}

/** The ids of the feed keys that a relay passes on. */
async function keysOf(relay: { url: string }): Promise<readonly string[]> {
  const [, payload = ''] = (await (await fetch(`${relay.url}/feed/keys`)).text()).split('.')
  return JSON.parse(Buffer.from(payload, 'base64url').toString()).feed_keys.map((jwk: { kid: string }) => jwk.kid)
}
