/**
 * An authority of a few hundred lines for the validator's tests: a real HTTP server with real keys that issues tokens, keeps a revocation
 * log and serves the feed as docs/protocol/feed.md says. A test can make it lie, stutter, freeze and forget.
 */
import { createHash, generateKeyPairSync, type KeyObject, randomBytes, sign } from 'node:crypto'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { BATCH_TYPE, HEAD_TYPE, KEYS_TYPE, SNAPSHOT_TYPE } from '@signet/kernel/feed.ts'
import { newId } from '@signet/kernel/ids.ts'
import { type KeyKind, type Revocation, revocationKey, type Salt } from '@signet/kernel/revocation.ts'
import { encodeRecords, frameSnapshot } from '@signet/kernel/snapshot.ts'
import { sha256 } from './surroundings.ts'

export type TestAlgorithm = 'ES256' | 'EdDSA' | 'RS256' | 'PS256'

/** A key that signs as the authority would. */
export interface TestKey {
  readonly kid: string
  readonly alg: string
  readonly privateKey: KeyObject
  readonly publicKey: KeyObject
  readonly jwk: Record<string, unknown>
}

export function testKey(kid: string, alg: TestAlgorithm = 'ES256'): TestKey {
  const pair =
    alg === 'ES256'
      ? generateKeyPairSync('ec', { namedCurve: 'P-256' })
      : alg === 'EdDSA'
        ? generateKeyPairSync('ed25519')
        : generateKeyPairSync('rsa', { modulusLength: 2048 })
  return { kid, alg, ...pair, jwk: { ...pair.publicKey.export({ format: 'jwk' }), kid, alg, use: 'sig' } }
}

const encode = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString('base64url')

/** A compact JWS, whatever is in it. */
export function signJws(key: TestKey, header: object, payload: unknown): string {
  const signed = `${encode({ alg: key.alg, kid: key.kid, ...header })}.${encode(payload)}`
  const options =
    key.alg === 'PS256'
      ? { key: key.privateKey, padding: 6, saltLength: 32 }
      : { key: key.privateKey, dsaEncoding: 'ieee-p1363' as const }
  return `${signed}.${sign(key.alg === 'EdDSA' ? null : 'sha256', Buffer.from(signed), options).toString('base64url')}`
}

export const chance = { bytes: (count: number) => new Uint8Array(randomBytes(count)) }

export interface TestIssuer {
  readonly issuer: string
  readonly tokenKey: TestKey
  /** What it signs the feed with, and all that it publishes for that. */
  feedKey: TestKey
  feedJwks: TestKey[]
  epoch: string
  salt: Salt
  readonly entries: Revocation[]
  /** Entries at or before it are gone from the stream. */
  floor: number
  /** What it does wrong at present. */
  readonly faults: {
    /** Every request is answered with this status. */
    status?: number
    head?: 'no answer' | 'old answer' | 'wrong signature' | 'wrong probe'
    ageMs?: number
    hops?: number
    /** Milliseconds that its signed key set seems to be old. */
    keysAgeMs?: number
    /** Streams stay open and bring nothing. */
    frozenStream?: boolean
    /** The next batch is not sent on streams that are open. */
    skipNextBatch?: boolean
    /** `trickle`: a byte now and then, and never the whole. */
    snapshot?: 'wrong digest' | 'short' | 'no answer' | 'trickle' | Uint8Array
    /** Streams are not opened. */
    stream?: 'no answer' | 'unavailable'
    jwks?: unknown
    /** Its keys are of another epoch than its log. */
    keysEpoch?: string
    delayMs?: number
  }
  /** How often each path was asked for. */
  readonly asked: Record<string, number>
  /** The `applied` of the last probe. */
  lastApplied: string | null
  openStreams(): number
  /** Requests that it has taken and does not answer. */
  unanswered(): number
  jwks: TestKey[]
  cacheControl: string
  feedOpen: boolean
  clients: Map<string, string>
  /** Tokens it gave to feed readers. */
  readonly feedTokens: string[]
  mint(claims?: Record<string, unknown>, options?: { key?: TestKey; header?: object; atMs?: number }): string
  /** Appends entries, and sends them as one batch. */
  revoke(...targets: { kind: KeyKind; id: string; issuer?: string; cutoffMs?: number; dropAfter?: number }[]): number
  /** Begins a new numbering with these entries alone. */
  newEpoch(entries: readonly Revocation[]): void
  snapshot(): Uint8Array
  dropStreams(): void
  sendRaw(text: string): void
  batch(from: number, to: number): string
  close(): Promise<void>
}

export async function startIssuer(options: { path?: string; port?: number } = {}): Promise<TestIssuer> {
  const streams = new Set<ServerResponse>()
  const unanswered = new Set<ServerResponse>()
  const server: Server = createServer((request, response) => {
    void answer(request, response)
  })
  await new Promise<void>((resolve) => server.listen(options.port ?? 0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  const base = `http://127.0.0.1:${port}`
  const issuer = base + (options.path ?? '')
  const tokenKey = testKey('token-1')
  const feedKey = testKey('feed-1')

  const self: TestIssuer = {
    issuer,
    tokenKey,
    feedKey,
    feedJwks: [feedKey],
    epoch: 'epoch-1',
    salt: { version: 1, bytes: new Uint8Array(randomBytes(16)) },
    entries: [],
    floor: 0,
    faults: {},
    asked: {},
    lastApplied: null,
    openStreams: () => streams.size,
    unanswered: () => unanswered.size,
    jwks: [tokenKey],
    cacheControl: 'max-age=300',
    feedOpen: true,
    clients: new Map([['reader', 'secret']]),
    feedTokens: [],
    mint(claims = {}, { key = tokenKey, header = {}, atMs = Date.now() } = {}) {
      const iat = Math.floor(atMs / 1000)
      const jti = newId(atMs, chance)
      const payload = {
        iss: issuer,
        sub: 'user-1',
        aud: 'https://api.example',
        client_id: 'shop',
        iat,
        exp: iat + 300,
        jti,
        ...claims,
      }
      return signJws(key, { typ: 'at+jwt', ...header }, payload)
    },
    revoke(...targets) {
      const from = self.entries.length + 1
      for (const { kind, id, issuer: of = issuer, cutoffMs = Date.now() + 1000, dropAfter } of targets) {
        const key = revocationKey(sha256, self.salt, kind, of, id)
        self.entries.push({ key, cutoffMs, dropAfter: dropAfter ?? Math.floor(Date.now() / 1000) + 3600 })
      }
      const to = self.entries.length
      if (self.faults.skipNextBatch) delete self.faults.skipNextBatch
      else self.sendRaw(`id: ${self.epoch}:${to}\nevent: batch\ndata: ${self.batch(from, to)}\n\n`)
      return to
    },
    newEpoch(entries) {
      self.epoch = `epoch-${Number(self.epoch.slice(6)) + 1}`
      self.salt = { version: self.salt.version + 1, bytes: new Uint8Array(randomBytes(16)) }
      self.entries.length = 0
      self.entries.push(...entries)
      self.floor = 0
    },
    snapshot() {
      const records = encodeRecords(self.entries)
      const { epoch, salt, entries, faults } = self
      const digest = createHash('sha256').update(faults.snapshot === 'wrong digest' ? 'else' : records)
      const header = {
        iss: issuer,
        epoch,
        seq: entries.length,
        salt_version: salt.version,
        salt: Buffer.from(salt.bytes).toString('base64url'),
        count: entries.length,
        sha256: digest.digest('base64url'),
      }
      const frame = frameSnapshot(signJws(self.feedKey, { typ: SNAPSHOT_TYPE }, header), records)
      return faults.snapshot === 'short' ? frame.subarray(0, frame.length - 1) : frame
    },
    dropStreams() {
      for (const stream of streams) stream.destroy()
    },
    sendRaw(text) {
      if (!self.faults.frozenStream) for (const stream of streams) stream.write(text)
    },
    batch(from, to) {
      const entries = self.entries
        .slice(from - 1, to)
        .map((e) => [Buffer.from(e.key).toString('base64url'), e.cutoffMs, e.dropAfter])
      const payload = { iss: issuer, epoch: self.epoch, from, to, salt_version: self.salt.version, at: Date.now(), entries }
      return signJws(self.feedKey, { typ: BATCH_TYPE }, payload)
    },
    close() {
      server.closeAllConnections()
      return new Promise((resolve) => server.close(() => resolve()))
    },
  }
  let oldHead = ''

  async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(request.url ?? '/', base)
    const path = url.pathname
    self.asked[path] = (self.asked[path] ?? 0) + 1
    if (self.faults.delayMs !== undefined) await new Promise((resolve) => setTimeout(resolve, self.faults.delayMs))
    if (self.faults.status !== undefined) return void response.writeHead(self.faults.status, { location: '/feed/head' }).end('{}')
    const json = (value: unknown): void => {
      response
        .writeHead(200, {
          'content-type': 'application/json',
          'cache-control': self.cacheControl,
          'signet-epoch': self.faults.keysEpoch ?? self.epoch,
        })
        .end(JSON.stringify(value))
    }
    if (path === `/.well-known/oauth-authorization-server${options.path ?? ''}`) return json(metadata())
    if (path === '/jwks') return json(self.faults.jwks ?? { keys: self.jwks.map((key) => key.jwk) })
    if (path === '/feed/jwks') return json({ keys: self.feedJwks.map((key) => key.jwk) })
    if (path === '/feed/keys') return signedKeys(response)
    if (path === '/token') return token(request, json, response)
    const isKnown = self.feedOpen || self.feedTokens.some((each) => request.headers.authorization === `Bearer ${each}`)
    if (path.startsWith('/feed/') && !isKnown) return void response.writeHead(401).end()
    if (path === '/feed/head') return head(url, response)
    if (path === '/feed/snapshot') {
      if (self.faults.snapshot === 'no answer') return leave(response)
      if (self.faults.snapshot === 'trickle') return trickle(response)
      const frame = self.faults.snapshot instanceof Uint8Array ? self.faults.snapshot : self.snapshot()
      return void response.writeHead(200, { 'content-type': 'application/vnd.signet.snapshot' }).end(frame)
    }
    if (path === '/feed/stream') {
      if (self.faults.stream === 'no answer') return leave(response)
      if (self.faults.stream === 'unavailable') return void response.writeHead(503).end()
      return stream(url, response)
    }
    response.writeHead(404).end()
  }

  function leave(response: ServerResponse): void {
    unanswered.add(response)
    response.on('close', () => unanswered.delete(response))
  }

  function trickle(response: ServerResponse): void {
    leave(response)
    response.writeHead(200, { 'content-type': 'application/vnd.signet.snapshot' })
    const timer = setInterval(() => response.write(new Uint8Array(1)), 2)
    response.on('close', () => clearInterval(timer))
  }

  function metadata(): object {
    const feed = { head: `${base}/feed/head`, stream: `${base}/feed/stream`, snapshot: `${base}/feed/snapshot` }
    return {
      issuer,
      jwks_uri: `${base}/jwks`,
      token_endpoint: `${base}/token`,
      signet_feed: { ...feed, jwks_uri: `${base}/feed/jwks`, keys: `${base}/feed/keys`, guard_ms: 2000, open: self.feedOpen },
    }
  }

  function signedKeys(response: ServerResponse): void {
    const [token_keys, feed_keys] = [self.jwks, self.feedJwks].map((keys) => keys.map((key) => key.jwk))
    const { keysAgeMs = 0, keysEpoch = self.epoch } = self.faults
    const payload = { iss: issuer, at: Date.now() - keysAgeMs, epoch: keysEpoch, token_keys, feed_keys }
    response.writeHead(200, { 'content-type': 'application/jwt', 'cache-control': self.cacheControl })
    response.end(signJws(self.feedKey, { typ: KEYS_TYPE }, payload))
  }

  async function token(request: IncomingMessage, json: (value: unknown) => void, response: ServerResponse): Promise<void> {
    let body = ''
    for await (const chunk of request) body += chunk
    const form = new URLSearchParams(body)
    const [id = '', secret = ''] = Buffer.from(request.headers.authorization?.slice(6) ?? '', 'base64')
      .toString()
      .split(':')
      .map(decodeURIComponent)
    const isGood = self.clients.get(id) === secret && form.get('scope') === 'signet:feed' && form.get('resource') === issuer
    if (!isGood) return void response.writeHead(401).end('{"error":"invalid_client"}')
    const granted = randomBytes(8).toString('hex')
    self.feedTokens.push(granted)
    json({ access_token: granted, token_type: 'Bearer', expires_in: 300 })
  }

  function head(url: URL, response: ServerResponse): void {
    const { faults } = self
    self.lastApplied = url.searchParams.get('applied')
    if (faults.head === 'no answer') return
    // As the authority does with a number that nobody could read back.
    const staleness = Number(url.searchParams.get('staleness') ?? 0)
    if (!Number.isSafeInteger(staleness)) return void response.writeHead(400).end('{}')
    const probe = faults.head === 'wrong probe' ? 'another-probe-than-asked' : url.searchParams.get('probe')
    const payload = {
      iss: issuer,
      epoch: self.epoch,
      seq: self.entries.length,
      probe,
      age_ms: faults.ageMs ?? 0,
      hops: faults.hops,
    }
    const jws = signJws(faults.head === 'wrong signature' ? testKey(self.feedKey.kid) : self.feedKey, { typ: HEAD_TYPE }, payload)
    if (faults.head !== 'old answer') oldHead = jws
    response.writeHead(200, { 'content-type': 'application/jwt' }).end(faults.head === 'old answer' ? oldHead : jws)
  }

  function stream(url: URL, response: ServerResponse): void {
    response.writeHead(200, { 'content-type': 'text/event-stream' })
    response.write('retry: 1000\n\n:\n\n')
    const after = Number(url.searchParams.get('after'))
    if (url.searchParams.get('epoch') !== self.epoch || after < self.floor || after > self.entries.length) {
      return void response.end('event: reset\ndata: {}\n\n')
    }
    streams.add(response)
    response.on('close', () => streams.delete(response))
    if (self.faults.frozenStream || after >= self.entries.length) return
    const to = self.entries.length
    response.write(`id: ${self.epoch}:${to}\nevent: batch\ndata: ${self.batch(after + 1, to)}\n\n`)
  }
  return self
}

/** A DPoP key and proofs made with it. */
export function dpopKey(alg: TestAlgorithm = 'ES256') {
  const key = testKey('dpop', alg)
  const { kid: _kid, use: _use, alg: _alg, ...jwk } = key.jwk
  const required = { EC: ['crv', 'kty', 'x', 'y'], OKP: ['crv', 'kty', 'x'], RSA: ['e', 'kty', 'n'] }[String(jwk.kty)] ?? []
  const jkt = createHash('sha256')
    .update(JSON.stringify(Object.fromEntries(required.map((name) => [name, jwk[name]]))))
    .digest('base64url')
  return {
    key,
    jwk,
    jkt,
    proof(claims: Record<string, unknown>, header: object = {}): string {
      const payload = { jti: randomBytes(12).toString('hex'), iat: Math.floor(Date.now() / 1000), ...claims }
      return signJws(key, { typ: 'dpop+jwt', kid: undefined, jwk, ...header }, payload)
    },
  }
}
export const ath = (token: string): string => createHash('sha256').update(token).digest('base64url')
