/**
 * The bus of a cluster on NATS: one subject for each thing there may be to look at, messages without content. Plain publish and
 * subscribe will do, since whatever gets lost is found by polling.
 */

import type { NatsConnection } from '@nats-io/transport-node'
import type { Clock, Timers } from '@signet/kernel/surroundings.ts'
import { type Bus, SUBJECTS, type Subject } from './bus.ts'
import { createLocalWakes } from './local-wakes.ts'
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
  const pending = new Set<Subject>()
  /** When each subject was woken last, and which have a wake-up waiting. */
  const wokenMs = new Map<Subject, number>()
  const waiting = new Set<Subject>()
  let listening: NatsConnection | undefined
  let sending: NatsConnection | undefined
  let closed = false

  const following = link.follow((connection) => {
    listening = undefined
    if (connection !== undefined) void listen(connection)
  })

  return {
    publish(subject) {
      if (closed) return
      local.wake(subject, 'own') // Our own subscribers need no round trip.
      pending.add(subject)
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
        connection.subscribe(subject, { callback: (_error, message) => heard(message.subject) })
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

  function heard(named: string): void {
    const subject = byName.get(named)
    if (subject === undefined || waiting.has(subject)) return
    const waitMs = (wokenMs.get(subject) ?? Number.NEGATIVE_INFINITY) + WAKE_GAP_MS - clock.monotonic()
    if (waitMs <= 0) wake(subject)
    else {
      waiting.add(subject)
      timers.after(waitMs, () => wake(subject))
    }
  }

  function wake(subject: Subject): void {
    waiting.delete(subject)
    wokenMs.set(subject, clock.monotonic())
    local.wake(subject, 'others')
  }

  /** One group at a time, and the next when the server has answered: so no buffer grows, however much is published. */
  function send(): void {
    const through = listening
    if (closed || through === undefined || sending === through || pending.size === 0) return
    sending = through
    timers.soon(async () => {
      const subjects = [...pending]
      pending.clear()
      try {
        for (const subject of subjects) through.publish(name(subject))
        await through.flush()
        if (sending === through) sending = undefined
        send()
      } catch {
        if (sending === through) sending = undefined
        for (const subject of subjects) pending.add(subject) // They go out when the link is back.
      }
    })
  }
}
