/**
 * One connection to NATS, for all that this process does there. It comes back by itself, and it is up only while the server
 * answers: a server that holds the connection and says nothing is as good as gone.
 */
import { connect as dial } from 'node:net'
import {
  type Authenticator,
  connect,
  credsAuthenticator,
  type NatsConnection,
  nkeyAuthenticator,
  usernamePasswordAuthenticator,
} from '@nats-io/transport-node'
import { natsPlace } from '@signet/kernel/nats.ts'
import type { Chance, Surroundings, Timer } from '@signet/kernel/surroundings.ts'

export interface NatsOptions {
  /** `nats://` or `tls://` addresses, as `natsServersProblem` lets them pass. */
  readonly servers: readonly string[]
  /** Asked at each attempt, so that they may be replaced: the text of a credentials file, an nkey seed, or `USER:PASSWORD`. */
  readonly credentials?: () => string
  /** The certificate authority that servers' certificates must come from, in PEM; the machine's own unless given. */
  readonly ca?: string
}

export interface NatsLink {
  /** Undefined while the link is down. */
  readonly connection: NatsConnection | undefined
  /** Calls `changed` whenever the link came up or broke, and at once when it is up. */
  follow(changed: (connection: NatsConnection | undefined, cause?: unknown) => void): { stop(): void }
  close(): Promise<void>
}

/** First and longest wait before the link is tried again. */
const RETRY_MS = { first: 50, most: 2000 }
/** Connecting may take so long. */
const CONNECT_MS = 2000
/** The server is asked so often whether it is there, and may take so long to say so. So a silent one is found within 1.5 s. */
const PING_MS = 500
export const SILENCE_MS = 1000
/** The library's own questions are in the way of ours. */
const NEVER_MS = 2 ** 31 - 1

export function openNatsLink(options: NatsOptions, surroundings: Surroundings): NatsLink {
  const { timers, chance } = surroundings
  const followers = new Set<{ changed(connection: NatsConnection | undefined, cause?: unknown): void }>()
  let connection: NatsConnection | undefined
  let failures = 0
  let turn = 0
  let closed = false
  let timer: Timer | undefined

  void attempt()

  return {
    get connection() {
      return connection
    },
    follow(changed) {
      const follower = { changed }
      followers.add(follower)
      if (connection !== undefined) changed(connection)
      return { stop: () => void followers.delete(follower) }
    },
    async close() {
      closed = true
      followers.clear()
      timer?.cancel()
      const last = connection
      connection = undefined
      await last?.close().catch(() => {})
    },
  }

  async function attempt(): Promise<void> {
    // One address at a time, another after each failure, so that a dead one costs one wait.
    const server = options.servers[turn++ % options.servers.length] as string
    let candidate: NatsConnection
    try {
      await answers(server, surroundings)
      if (closed) return
      candidate = await connect({
        servers: server,
        name: 'signet',
        reconnect: false,
        ignoreClusterUpdates: true, // A server does not tell us where else to send our credentials.
        noEcho: true,
        timeout: CONNECT_MS,
        pingInterval: NEVER_MS,
        ...(server.startsWith('tls://') ? { tls: options.ca === undefined ? {} : { ca: options.ca } } : { tls: null }),
        ...(options.credentials === undefined ? {} : { authenticator: authenticator(options.credentials()) }),
      })
    } catch (cause) {
      return lost(undefined, cause)
    }
    if (closed) return void candidate.close().catch(() => {})
    loosen(candidate)
    void candidate.closed().then((cause) => lost(candidate, cause ?? undefined))
    connection = candidate
    failures = 0
    tell()
    ask(candidate)
  }

  /** Once per connection or failed attempt, whichever of its ends comes first. */
  function lost(broken: NatsConnection | undefined, cause: unknown): void {
    if (closed || connection !== broken) return
    timer?.cancel()
    const first = broken !== undefined || failures === 0
    connection = undefined
    void broken?.close().catch(() => {})
    if (first) tell(cause)
    timer = timers.after(retryDelayMs(failures, chance), () => void attempt())
    failures++
  }

  function tell(cause?: unknown): void {
    for (const follower of [...followers]) follower.changed(connection, cause)
  }

  /** Asks for ever whether the server is there. */
  function ask(asked: NatsConnection): void {
    timer = timers.after(PING_MS, () => {
      if (connection !== asked) return
      const patience = timers.after(SILENCE_MS, () => {
        // It may have answered while this process was held up: what has come is read before the verdict.
        timers.soon(() => timers.soon(() => lost(asked, new Error('the NATS server does not answer'))))
      })
      asked.flush().then(
        () => {
          patience.cancel()
          if (connection === asked) ask(asked)
        },
        (cause: unknown) => {
          patience.cancel()
          lost(asked, cause)
        },
      )
    })
  }
}

/** Doubles from the first wait to the longest, of which between half and the whole is waited, so that nodes do not return in step. */
function retryDelayMs(failures: number, chance: Chance): number {
  const most = Math.min(RETRY_MS.most, RETRY_MS.first * 2 ** Math.min(failures, 16))
  return most / 2 + (most / 2) * ((chance.bytes(1)[0] as number) / 255)
}

/**
 * Whether something at the address speaks first, as NATS does. The library leaves its socket behind when a frozen server takes the
 * connection and says nothing, and a server may be frozen for hours.
 */
function answers(server: string, { timers }: Surroundings): Promise<void> {
  const { host, port } = natsPlace(server)
  return new Promise((resolve, reject) => {
    const socket = dial(port, host)
    socket.unref()
    const patience = timers.after(CONNECT_MS, () => socket.destroy(new Error('the NATS server does not answer')))
    socket.once('data', () => {
      resolve()
      socket.destroy()
    })
    socket.once('error', reject)
    socket.once('close', () => {
      patience.cancel()
      reject(new Error('the NATS server closed the connection'))
    })
  })
}

const SENTENCE = 'NATS credentials must be the text of a credentials file, an nkey seed, or USER:PASSWORD'

/** Throws when the text is none of the three; never repeats it. */
function authenticator(text: string): Authenticator {
  const trimmed = text.trim()
  if (trimmed.includes('BEGIN NATS USER JWT')) return credsAuthenticator(new TextEncoder().encode(text))
  if (/^SU[A-Z2-7]{56}$/.test(trimmed)) return nkeyAuthenticator(new TextEncoder().encode(trimmed))
  const colon = trimmed.indexOf(':')
  if (colon < 1 || /\s/.test(trimmed)) throw new TypeError(SENTENCE)
  return usernamePasswordAuthenticator(trimmed.slice(0, colon), trimmed.slice(colon + 1))
}

/** The library keeps its process alive; a validator must not, and an authority has its door for that. */
function loosen(connection: NatsConnection): void {
  const { protocol } = connection as unknown as {
    protocol?: { transport?: { socket?: { unref?(): void } }; heartbeats?: { cancel?(): void } }
  }
  protocol?.transport?.socket?.unref?.()
  protocol?.heartbeats?.cancel?.()
}
