/**
 * Carries the feed of a cluster on to a stream that all its nodes share, without a leader. Whoever carried last goes on at once; when that
 * is a while ago, whoever committed something carries it. Everybody else leaves it to them for a moment, and carries what nobody has by
 * then. So each range goes once as a rule, twice at times, which is harmless, and a node that dies before it has carried leaves no hole.
 *
 * To the hub the carrier is a reader like any other: it says where it stands, catches up, falls behind, is let go and comes back.
 */
import type { Position } from '@signet/kernel/revocation-view.ts'
import type { Chance, Clock, Timer, Timers } from '@signet/kernel/surroundings.ts'
import type { FeedHub, FeedReader } from './feed.ts'
import { jwsOfFrame } from './feed-frames.ts'

/** Where batches are carried to. */
export interface CarrierStream {
  /** Calls `committed` when this node has committed something: it is not left to others. */
  onCommitted(committed: () => void): { stop(): void }
  follow(follower: { up(last: string | undefined): void; heard(jws: string): void; down(): void }): { stop(): void }
  publish(jws: string, id: string): Promise<'kept' | 'known' | 'told'>
}

/** What a batch says it holds. */
export interface BatchSpan {
  readonly epoch: string
  readonly from: number
  readonly to: number
}

export interface CarrierParts {
  readonly hub: Pick<FeedHub, 'join' | 'leave'>
  readonly stream: CarrierStream
  position(): Position | undefined
  /** What a batch of anybody's holds; undefined unless this authority has signed it. */
  read(jws: string): Promise<BatchSpan | undefined>
  readonly clock: Clock
  readonly chance: Chance
  readonly timers: Timers
  /** A batch went out, and what became of it. */
  readonly observe?: { carried?(how: 'kept' | 'known' | 'told', entries: number): void }
}

/** It is left to others for so long; up to half as much again is chance, so that of those who waited one is first. */
const LEAVE_MS = 20
/** Who carried so short a while ago goes on. */
const GO_ON_MS = 200
/** The first that this node reads so soon after it has committed counts as its own. */
const OWN_MS = 250
/** After the link came up, or the hub let go of us. Half of it is chance, so that nodes that come back together do not all catch up. */
const BEGIN_MS = 250
/** So many entries are caught up with after the link was away; whoever missed more takes it over HTTP, as he would anyway. */
const MAX_BEHIND = 10_000
/** So many in so long that this authority has not signed, and what others say is not read until it is over: only overlap comes of that. */
const MAX_FORGED = 20
const FORGED_MS = 5000
/** Batches of others that wait to be read; more, and we carry on as if we had not heard them. */
const MAX_HEARD = 256

export function openFeedCarrier(parts: CarrierParts): { close(): void } {
  const { hub, stream, timers, clock, chance } = parts
  /** What the stream is known to hold, without gap since we came. */
  let carried: Position | undefined
  let isUp = false
  let ownUntilMs = Number.NEGATIVE_INFINITY
  /** Who was the last that carried something new, and when. */
  let last: { readonly isMe: boolean; readonly atMs: number } | undefined
  let waiting: { readonly span: BatchSpan; readonly jws: string }[] = []
  let waitingBytes = 0
  let underWay = 0
  const drained: (() => void)[] = []
  let reader: FeedReader | undefined
  let sweep: Timer | undefined
  let beginning: Timer | undefined
  let heard = 0
  let forged = 0
  let forgedSinceMs = 0
  let closed = false

  const own = stream.onCommitted(() => {
    ownUntilMs = clock.monotonic() + OWN_MS
  })
  const following = stream.follow({
    up(last) {
      isUp = true
      beginLater(last)
    },
    heard: (jws) => void hear(jws),
    down() {
      isUp = false
      end()
    },
  })

  return {
    close() {
      closed = true
      own.stop()
      following.stop()
      end()
    },
  }

  // ── Coming and going ──

  function beginLater(last?: string): void {
    beginning?.cancel()
    if (closed || !isUp) return
    const share = (chance.bytes(1)[0] as number) / 255
    beginning = timers.after(BEGIN_MS / 2 + (share * BEGIN_MS) / 2, () => void begin(last))
  }

  /** Goes on after the last that the stream holds, else from here. */
  async function begin(last: string | undefined): Promise<void> {
    const span = last === undefined ? undefined : await parts.read(last)
    const here = parts.position()
    if (closed || !isUp || reader !== undefined) return
    if (here === undefined) return beginLater(last)
    const isNear = span?.epoch === here.epoch && span.to <= here.seq && span.to >= here.seq - MAX_BEHIND
    carried = { epoch: here.epoch, seq: isNear ? span.to : here.seq }
    reader = createReader()
    try {
      hub.join(reader, carried)
    } catch {
      end() // All places are taken, or the node stops.
      beginLater()
    }
  }

  function end(): void {
    beginning?.cancel()
    sweep?.cancel()
    sweep = undefined
    waiting = []
    waitingBytes = 0
    const left = reader
    reader = undefined
    if (left !== undefined) hub.leave(left)
    settle()
  }

  function createReader(): FeedReader {
    const me: FeedReader = {
      owner: 'signet:carrier',
      open() {},
      write(bytes) {
        if (reader === me) take(bytes)
      },
      pending: () => waitingBytes + underWay,
      drained: () => (waitingBytes + underWay === 0 ? Promise.resolve() : new Promise((resolve) => drained.push(resolve))),
      end: leave,
      destroy: leave,
      get gone() {
        return reader !== me
      },
    }
    /** The hub lets go of us: the place is gone, or we are too slow. */
    function leave(): void {
      if (reader !== me) return
      reader = undefined
      end()
      beginLater()
    }
    return me
  }

  // ── Carrying ──

  function take(bytes: Uint8Array): void {
    const jws = jwsOfFrame(bytes)
    if (jws === undefined) return // A heartbeat, or a reset that the end of the stream follows.
    waiting.push({ span: spanOf(jws), jws })
    waitingBytes += jws.length
    if (isMyTurn()) carry()
    else sweep ??= timers.after(LEAVE_MS + (LEAVE_MS / 2) * ((chance.bytes(1)[0] as number) / 255), carry)
  }

  function isMyTurn(): boolean {
    const nowMs = clock.monotonic()
    const isOwn = nowMs < ownUntilMs
    ownUntilMs = Number.NEGATIVE_INFINITY
    return last !== undefined && nowMs - last.atMs < GO_ON_MS ? last.isMe : isOwn
  }

  /** Everything that waits and that nobody else has carried, in order. */
  function carry(): void {
    sweep?.cancel()
    sweep = undefined
    const batches = waiting
    waiting = []
    waitingBytes = 0
    for (const { span, jws } of batches) {
      if (carried?.epoch === span.epoch && span.to <= carried.seq) continue
      if (note(span)) last = { isMe: true, atMs: clock.monotonic() }
      underWay += jws.length
      void stream.publish(jws, `${span.epoch}:${span.from}-${span.to}`).then((how) => {
        underWay -= jws.length
        parts.observe?.carried?.(how, span.to - span.from + 1)
        settle()
      })
    }
    settle()
  }

  async function hear(jws: string): Promise<void> {
    if (clock.monotonic() - forgedSinceMs > FORGED_MS) {
      forgedSinceMs = clock.monotonic()
      forged = 0
    }
    if (heard >= MAX_HEARD || forged >= MAX_FORGED) return
    heard++
    const span = await parts.read(jws).catch(() => undefined)
    heard--
    if (span === undefined) forged++
    if (span !== undefined && note(span)) last = { isMe: false, atMs: clock.monotonic() }
  }

  /** Whether it was new. Only what follows on counts: what lies beyond a gap does not fill it. */
  function note({ epoch, from, to }: BatchSpan): boolean {
    if (carried?.epoch !== epoch || from > carried.seq + 1 || to <= carried.seq) return false
    carried = { epoch, seq: to }
    return true
  }

  function settle(): void {
    if (waitingBytes + underWay > 0) return
    for (const resolve of drained.splice(0)) resolve()
  }
}

/** Of a batch that this node has signed itself. */
function spanOf(jws: string): BatchSpan {
  return JSON.parse(Buffer.from(jws.split('.')[1] as string, 'base64url').toString()) as BatchSpan
}
