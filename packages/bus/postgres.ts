/**
 * The bus of a cluster on PostgreSQL: LISTEN and NOTIFY with an empty payload (it brings nothing along), on one connection of its own. The connection must be
 * direct: a pooler in transaction mode drops LISTEN. NOTIFY takes a lock that all databases of the server share, which
 * is why a burst becomes one NOTIFY per group and never one per event.
 */

import { postgresHosts } from '@signet/kernel/postgres-hosts.ts'
import type { Chance, Surroundings, Timer } from '@signet/kernel/surroundings.ts'
import { Client } from 'pg'
import { type Bus, type BusObserver, SUBJECTS, type Subject } from './bus.ts'
import { createLocalWakes, OTHERS, OWN } from './local-wakes.ts'

/** First and longest wait before the link is tried again. */
const RETRY_MS = { first: 100, most: 5000 }
/** Connecting, and any one statement, may take so long. */
const PATIENCE_MS = 5000
/** A link that died without a word is found by asking so often. */
const PING_MS = 10_000
/** Saying goodbye may take so long; the server notices anyway. */
const CLOSE_MS = 1000
const CHANNEL_PREFIX = 'signet_'

export function createPostgresBus(parts: { url: string; surroundings: Surroundings; observe?: BusObserver }): Bus {
  const { timers, chance } = parts.surroundings
  const local = createLocalWakes(timers)
  let client: Client | undefined
  let up = false
  const hosts = postgresHosts(parts.url)
  if (typeof hosts === 'string') throw new Error(`the bus's address ${hosts}`)
  const { urls } = hosts
  /** Of several servers each is tried in turn. */
  let server = 0
  let failures = 0
  let closed = false
  let retry: Timer | undefined
  let ping: Timer | undefined
  /** Subjects to notify next, and whether a NOTIFY is under way: what is published meanwhile goes out as one group. */
  const pending = new Set<Subject>()
  let sending = false

  void connect()

  return {
    publish(subject) {
      if (closed) return
      local.wake(subject, OWN) // Our own subscribers need no round trip.
      pending.add(subject)
      if (!sending) send()
    },
    subscribe: local.subscribe,
    linked: () => up,
    async close() {
      closed = true
      local.close()
      retry?.cancel()
      const patience = Promise.withResolvers<void>()
      const timer = timers.after(CLOSE_MS, patience.resolve)
      await Promise.race([drop(client), patience.promise])
      timer.cancel()
    },
  }

  async function connect(): Promise<void> {
    const candidate = new Client({
      connectionString: urls[server],
      application_name: 'signet bus',
      connectionTimeoutMillis: PATIENCE_MS,
      query_timeout: PATIENCE_MS,
      keepAlive: true,
    })
    client = candidate
    let own: number | undefined
    candidate.on('error', (cause) => lost(candidate, cause))
    candidate.on('end', () => lost(candidate))
    candidate.on('notification', (message) => {
      // Our own come back too; those subscribers were woken when we published.
      if (message.processId !== own) local.wake(message.channel.slice(CHANNEL_PREFIX.length) as Subject, OTHERS)
    })
    try {
      await candidate.connect()
      own = (candidate as unknown as { processID: number }).processID
      // A standby takes no NOTIFY.
      const { rows } = await candidate.query('SELECT pg_is_in_recovery() AS standby')
      if (rows[0].standby === true) throw new Error('this server is a standby')
      await candidate.query(SUBJECTS.map((subject) => `LISTEN ${CHANNEL_PREFIX}${subject}`).join('; '))
    } catch (cause) {
      return lost(candidate, cause)
    }
    if (closed || client !== candidate) return void drop(candidate)
    up = true
    failures = 0
    parts.observe?.link?.(true)
    local.wakeAll() // Whatever was announced while we were away.
    schedulePing(candidate)
    if (pending.size > 0) send()
  }

  /** Runs once per broken connection, whichever of its events comes first. */
  function lost(broken: Client, cause?: unknown): void {
    if (client !== broken) return
    const wasUp = up
    void drop(broken)
    if (closed) return
    if (wasUp || failures === 0) parts.observe?.link?.(false, cause)
    retry = timers.after(retryDelayMs(failures, chance), () => void connect())
    failures++
    server = (server + 1) % urls.length
  }

  async function drop(unwanted: Client | undefined): Promise<void> {
    if (unwanted === undefined) return
    if (client === unwanted) {
      client = undefined
      up = false
      ping?.cancel()
    }
    unwanted.removeAllListeners('error')
    unwanted.removeAllListeners('notification')
    unwanted.on('error', () => {}) // It may still fail while it goes.
    await unwanted.end().catch(() => {})
  }

  /** One statement at a time carries all that was published since the last. */
  function send(): void {
    const through = client
    if (!up || through === undefined) return // What is pending goes out when the link is back.
    sending = true
    timers.soon(async () => {
      const subjects = [...pending]
      pending.clear()
      try {
        if (subjects.length > 0) {
          await through.query(subjects.map((subject) => `NOTIFY ${CHANNEL_PREFIX}${subject}`).join('; '))
        }
      } catch (cause) {
        for (const subject of subjects) pending.add(subject)
        lost(through, cause)
      } finally {
        sending = false
        if (pending.size > 0) send()
      }
    })
  }

  function schedulePing(through: Client): void {
    ping = timers.after(PING_MS, async () => {
      try {
        await through.query('SELECT 1')
        if (client === through) schedulePing(through)
      } catch (cause) {
        lost(through, cause)
      }
    })
  }
}

/** Doubles from the first wait to the longest, of which between half and the whole is waited, so that nodes do not return in step. */
function retryDelayMs(failures: number, chance: Chance): number {
  const most = Math.min(RETRY_MS.most, RETRY_MS.first * 2 ** Math.min(failures, 16))
  return most / 2 + (most / 2) * ((chance.bytes(1)[0] as number) / 255)
}
