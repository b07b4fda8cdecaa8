/**
 * The feed over the simulated network: a Fetch function for one machine, behind which a load balancer picks a node for every request and what
 * sits between may delay, hold, repeat and replay. The door itself does what http/feed.ts and discovery.ts do.
 */

import { guardMilliseconds } from '@signet/authority/policy/settings.ts'
import type { FeedReader } from '@signet/authority/revocation/feed.ts'
import { fault } from '@signet/kernel/errors.ts'
import { EPOCH_HEADER } from '@signet/kernel/feed.ts'
import type { Dice } from './dice.ts'
import type { Machine } from './machine.ts'
import { ISSUER } from './names.ts'
import type { Network } from './network.ts'
import type { SimulatedNode } from './node.ts'
import type { VirtualTime } from './time.ts'

export interface Middle {
  /** Streams bring nothing, though they stay open. */
  frozen: boolean
  /** Extra milliseconds for every piece of a stream. */
  slowMs: number
  /** Share of heads and snapshots that are answered with an earlier answer. */
  replay: number
  /** Shares of stream pieces that come twice, and never. */
  twice: number
  lost: number
}

export interface DoorParts {
  readonly machine: Machine
  readonly time: VirtualTime
  readonly network: Network
  readonly dice: Dice
  readonly middle: Middle
  /** How long the last answered question for the head took, milliseconds. */
  readonly lastHead: { tookMs: number }
  /** Who is reached there: a relay, or a node that the load balancer takes for good, which may be wrong. */
  pick(url: URL): { readonly machine: Machine; readonly server: FeedServer | undefined }
}

/** A node or a relay, as its readers meet it. */
export interface FeedServer {
  answer(url: URL): Promise<Answer>
  join(reader: FeedReader, place: { readonly epoch: string; readonly seq: number }): void
  leave(reader: FeedReader): void
}

interface Answer {
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  readonly body: Uint8Array
}

/** A connection attempt to a machine that is down is refused after so long. */
const PATIENCE_MS = 60_000

export function createFeedFetch(parts: DoorParts): typeof fetch {
  const { machine, network, dice, middle } = parts
  const earlier = new Map<string, Answer[]>()

  return (async (input: string, init: { signal: AbortSignal }) => {
    const url = new URL(input)
    const { signal } = init
    const { machine: at, server } = parts.pick(url)
    if (url.pathname === '/feed/stream') return orAborted(signal, openStream(url, at, server, signal, parts))
    const asked = network.call(machine, at, () => serve(url, server, at), {
      patienceMs: PATIENCE_MS,
      lost: () => new Error('the connection timed out'),
    })
    const beganMs = parts.time.nowMs
    const answer = replayed(url.pathname, await orAborted(signal, asked))
    if (url.pathname === '/feed/head') parts.lastHead.tookMs = parts.time.nowMs - beganMs
    return {
      status: answer.status,
      headers: { get: (name: string) => answer.headers[name] ?? null },
      body: once(answer.body),
    }
  }) as unknown as typeof fetch

  function replayed(path: string, answer: Answer): Answer {
    if (path !== '/feed/head' && path !== '/feed/snapshot') return answer
    const kept = earlier.get(path) ?? []
    earlier.set(path, kept)
    const old = kept.length > 0 && dice.happens(middle.replay) ? dice.pick(kept) : undefined
    if (answer.status === 200) kept.push(answer)
    if (kept.length > KEPT) kept.splice(dice.whole(0, KEPT - 1), 1)
    return old ?? answer
  }
}

const KEPT = 8

async function serve(url: URL, server: FeedServer | undefined, machine: Machine): Promise<Answer> {
  if (server === undefined || !machine.isUp) throw new Error('the connection was refused')
  try {
    return await server.answer(url)
  } catch (cause) {
    if ((cause as Error).name !== 'Fault') throw cause
    return { status: 503, headers: { 'retry-after': '1' }, body: new Uint8Array(0) }
  }
}

export const serverOf = (node: SimulatedNode): FeedServer => ({
  answer: (url) => answer(url, node),
  join: (reader, place) => node.hub.join(reader, place),
  leave: (reader) => node.hub.leave(reader),
})

/** As discovery.ts says it. */
const withEpoch = (answer: Answer, { keys, registry }: SimulatedNode): Answer => ({
  ...answer,
  headers: { ...answer.headers, [EPOCH_HEADER]: keys.isDoubted ? '-' : (registry.position?.epoch ?? '-') },
})

async function answer(url: URL, node: SimulatedNode): Promise<Answer> {
  const json = (value: unknown): Answer => ({
    status: 200,
    headers: { 'cache-control': `public, max-age=${node.settings.jwksCacheSeconds}` },
    body: Buffer.from(JSON.stringify(value)),
  })
  switch (url.pathname) {
    case '/.well-known/oauth-authorization-server':
      return json(metadata(node))
    case '/jwks':
      return withEpoch(json(node.keys.jwks('token')), node)
    case '/feed/jwks':
      return json(node.keys.jwks('feed'))
    case '/feed/keys':
      return { ...json({}), body: Buffer.from(node.signedKeys()) }
    case '/feed/head': {
      const { searchParams: query } = url
      const head = await node.hub.head(query.get('probe') ?? '')
      return { status: 200, headers: {}, body: Buffer.from(head) }
    }
    case '/feed/snapshot': {
      const { pieces } = await node.hub.snapshot()
      return { status: 200, headers: {}, body: Buffer.concat(pieces) }
    }
    default:
      return { status: 404, headers: {}, body: new Uint8Array(0) }
  }
}

const metadata = ({ settings }: SimulatedNode) => ({
  issuer: ISSUER,
  jwks_uri: `${ISSUER}/jwks`,
  signet_feed: {
    head: `${ISSUER}/feed/head`,
    stream: `${ISSUER}/feed/stream`,
    snapshot: `${ISSUER}/feed/snapshot`,
    keys: `${ISSUER}/feed/keys`,
    jwks_uri: `${ISSUER}/feed/jwks`,
    guard_ms: guardMilliseconds(settings),
    open: true,
  },
})

// ── Streams ────────────────────────────────────────────────────────────────────────────────────────────────────────

async function openStream(url: URL, at: Machine, server: FeedServer | undefined, signal: AbortSignal, parts: DoorParts) {
  const { machine, network } = parts
  const place = { epoch: url.searchParams.get('epoch') ?? '', seq: Number(url.searchParams.get('after')) }
  const pipe = createPipe(machine, at, parts)
  const join = async (): Promise<number> => {
    if (server === undefined || !at.isUp) throw new Error('the connection was refused')
    try {
      server.join(pipe.reader, place)
      return 200
    } catch {
      return 503
    }
  }
  const status = await network.call(machine, at, join, { patienceMs: PATIENCE_MS, lost: () => fault('store_unavailable') })
  signal.addEventListener('abort', () => {
    pipe.abort()
    network.send(machine, at, () => server?.leave(pipe.reader))
  })
  return { status, headers: { get: (name: string) => (name === 'content-type' ? 'text/event-stream' : null) }, body: pipe.body }
}

/** How often a piece that does not get through is sent again: TCP keeps the order and gives up only with the connection. */
const RESEND_MS = 400

function createPipe(reader: Machine, writer: Machine, { time, network, dice, middle }: DoorParts) {
  const lives = { reader: reader.life, writer: writer.life }
  const arrived: Uint8Array[] = []
  const sent: (Uint8Array | 'end')[] = []
  let pendingBytes = 0
  let isOver = false
  let isGone = false
  let isMoving = false
  let wake: (() => void) | undefined
  const drains: (() => void)[] = []

  const finish = () => {
    isOver = true
    wake?.()
  }

  function move(): void {
    if (isMoving || sent.length === 0 || isGone) return
    isMoving = true
    const attempt = (): void => {
      if (isGone || reader.life !== lives.reader) return
      // A reader finds out that a crashed machine is gone once packets get through: the new life resets the connection.
      const delay = middle.frozen ? undefined : network.delayOf(writer, reader)
      if (writer.life !== lives.writer) reader.deliver(finish)
      else if (delay === undefined) time.after(RESEND_MS, reader.name, attempt)
      else time.after(delay + middle.slowMs, reader.name, () => reader.deliver(land))
    }
    const land = (): void => {
      isMoving = false
      const piece = sent.shift()
      if (piece === undefined || isGone) return
      if (piece === 'end') {
        finish()
        return
      }
      pendingBytes -= piece.length
      if (!dice.happens(middle.lost)) arrived.push(piece)
      if (dice.happens(middle.twice)) arrived.push(piece)
      wake?.()
      for (const drained of drains.splice(0)) drained()
      move()
    }
    attempt()
  }

  // The system of a process that died resets its connections, if the packet gets through.
  writer.onCrash(() => network.send(writer, reader, finish))

  const feedReader: FeedReader = {
    owner: reader.name,
    open() {},
    write(bytes) {
      if (isGone) return
      sent.push(bytes)
      pendingBytes += bytes.length
      move()
    },
    pending: () => pendingBytes,
    drained: () => (pendingBytes === 0 ? Promise.resolve() : new Promise((resolve) => drains.push(resolve))),
    end() {
      sent.push('end')
      move()
    },
    destroy() {
      sent.splice(0)
      sent.push('end')
      isMoving = false
      move()
    },
    get gone() {
      return isGone || isOver
    },
  }

  async function* body(): AsyncGenerator<Uint8Array> {
    for (;;) {
      const piece = arrived.shift()
      if (piece !== undefined) yield piece
      else if (isGone) throw new Error('the connection was dropped')
      else if (isOver) return
      else
        await new Promise<void>((resolve) => {
          wake = resolve
        })
    }
  }

  return {
    reader: feedReader,
    body: body(),
    abort() {
      isGone = true
      wake?.()
    },
  }
}

// ── Small things ───────────────────────────────────────────────────────────────────────────────────────────────────

export async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes
}

/** The answer, or a rejection as soon as the caller gives up. */
export function orAborted<T>(signal: AbortSignal, answer: Promise<T>): Promise<T> {
  if (signal.aborted) return Promise.reject(signal.reason)
  return new Promise((resolve, reject) => {
    signal.addEventListener('abort', () => reject(signal.reason))
    answer.then(resolve, reject)
  })
}
