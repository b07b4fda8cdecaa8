/**
 * The bus of a cluster on NATS: one subject for each thing there may be to look at; a message's content is what the wake-up brings along.
 * Plain publish and subscribe will do, since whatever gets lost is found by polling.
 */

import type { NatsConnection } from '@nats-io/transport-node'
import type { Clock, Timers } from '@signet/kernel/surroundings.ts'
import { type Bus, MAX_ALONG, MAX_ALONG_BYTES, SUBJECTS, type Subject } from './bus.ts'
import { createLocalWakes, type Due, merged, OTHERS, OWN } from './local-wakes.ts'
import type { NatsLink } from './nats-link.ts'

/** Wake-ups of one subject come no closer together, so that a stranger's flood costs little. */
const WAKE_GAP_MS = 5

export interface NatsBusParts {
  /** Shared with whatever else this node does on NATS; its owner closes it. */
  readonly link: NatsLink
  /** The name on NATS of a subject of ours. */
  name(subject: Subject): string
  readonly clock: Clock
  readonly timers: Timers
}

export function createNatsBus({ link, name, clock, timers }: NatsBusParts): Bus {
  const local = createLocalWakes(timers)
  const byName = new Map(SUBJECTS.map((subject) => [name(subject), subject]))
  /** Subjects to tell next. What is published while a message is under way goes out as one group. */
  const pending = new Map<Subject, readonly Along[]>()
  /** When each subject was woken last, and the wake-ups that wait. */
  const wokenMs = new Map<Subject, number>()
  const waiting = new Map<Subject, Due>()
  let listening: NatsConnection | undefined
  let sending: NatsConnection | undefined
  let closed = false

  const following = link.follow((connection) => {
    listening = undefined
    if (connection !== undefined) void listen(connection)
  })

  return {
    publish(subject, along) {
      if (closed) return
      local.wake(subject, OWN) // Our own subscribers need no round trip.
      const before = pending.get(subject) ?? []
      pending.set(subject, along === undefined || before.length >= MAX_ALONG ? NOTHING : [...before, along])
      send()
    },
    subscribe: local.subscribe,
    linked: () => listening !== undefined && link.connection === listening,
    async close() {
      closed = true
      following.stop()
      local.close()
    },
  }

  /** The link counts as up once the server has our subscriptions: it has, when it has answered what we said after them. */
  async function listen(connection: NatsConnection): Promise<void> {
    try {
      for (const subject of byName.keys()) {
        // What comes in after `close` wakes nobody.
        connection.subscribe(subject, { callback: (_error, message) => heard(message.subject, message.data) })
      }
      await connection.flush()
    } catch {
      return // It broke meanwhile, and another will follow.
    }
    if (closed || link.connection !== connection) return
    listening = connection
    local.wakeAll() // Whatever was announced while we were away.
    send()
  }

  function heard(named: string, data: Uint8Array): void {
    const subject = byName.get(named)
    if (subject === undefined) return
    const before = waiting.get(subject)
    const isUsable = data.length > 0 && data.length <= MAX_ALONG_BYTES
    waiting.set(subject, merged(before, isUsable ? { by: 'telling', along: [data] } : OTHERS))
    if (before !== undefined) return
    const waitMs = (wokenMs.get(subject) ?? Number.NEGATIVE_INFINITY) + WAKE_GAP_MS - clock.monotonic()
    if (waitMs <= 0) wake(subject)
    else timers.after(waitMs, () => wake(subject))
  }

  function wake(subject: Subject): void {
    const due = waiting.get(subject) as Due
    waiting.delete(subject)
    wokenMs.set(subject, clock.monotonic())
    local.wake(subject, due)
  }

  /** One group at a time, and the next when the server has answered: so no buffer grows, however much is published. */
  function send(): void {
    const through = listening
    if (closed || through === undefined || sending === through || pending.size === 0) return
    sending = through
    timers.soon(async () => {
      const group = [...pending]
      pending.clear()
      try {
        for (const [subject, alongs] of group) for (const bytes of contents(alongs)) through.publish(name(subject), bytes)
        await through.flush()
        if (sending === through) sending = undefined
        send()
      } catch {
        if (sending === through) sending = undefined
        for (const [subject] of group) pending.set(subject, NOTHING) // They go out when the link is back.
      }
    })
  }
}

/** Makes what one publication brings along. */
type Along = () => Uint8Array | undefined
/** One wake-up that brings nothing. */
const NOTHING: readonly Along[] = [() => undefined]

/** Of the messages for these publications: each its own, or one empty one for all of them when any of them has none. */
function contents(alongs: readonly Along[]): readonly Uint8Array[] {
  const made = alongs.map((along) => along()).filter((bytes) => bytes !== undefined && bytes.length <= MAX_ALONG_BYTES)
  return made.length === alongs.length ? (made as Uint8Array[]) : [new Uint8Array(0)]
}
