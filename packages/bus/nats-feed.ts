/**
 * Signed batches of the revocation feed on NATS: one subject, which a JetStream stream keeps for a while. Whoever listens to the subject
 * gets every batch as it comes; the stream is there for the last of them, and for those who want to read on from where they were.
 * Nothing here looks into a batch: those who take it check its signature.
 */

import { headers, type Msg, type NatsConnection, RequestError } from '@nats-io/transport-node'
import type { NatsNames } from '@signet/kernel/nats.ts'
import type { Surroundings } from '@signet/kernel/surroundings.ts'
import { type NatsLink, type NatsOptions, openNatsLink } from './nats-link.ts'

export type { NatsOptions } from './nats-link.ts'

/** An answer of JetStream is waited for so long. */
const ANSWER_MS = 1000
/** A stream that could not be had is asked for again after so long. */
const STREAM_AGAIN_MS = 5000

/** What the stream keeps when nodes make it themselves; one that is there is left as its operator made it. */
export const STREAM_LIMITS = { maxAgeSeconds: 3600, maxBytes: 256 * 1024 * 1024, duplicateWindowSeconds: 120 } as const

/**
 * - `kept`: it is in the stream.
 * - `known`: the stream has had it from another node.
 * - `told`: it went to those who listen now; the stream did not take it.
 */
export type Carried = 'kept' | 'known' | 'told'

/** A node's side. */
export interface NatsFeedStream {
  /** Calls `up` whenever the link came up and listens, with the last batch that the stream holds, and `down` when it broke. */
  follow(follower: { up(last: string | undefined): void; heard(jws: string): void; down(): void }): { stop(): void }
  /** `id` is the same for the same batch, whoever publishes it. Never fails. */
  publish(jws: string, id: string): Promise<Carried>
}

export function createNatsFeedStream(parts: {
  readonly link: NatsLink
  readonly names: NatsNames
  readonly surroundings: Surroundings
  /** Why batches are not kept at present; said once, until they are again. */
  readonly observe?: { kept?(): void; notKept?(cause: unknown): void }
}): NatsFeedStream {
  const { link, names, surroundings } = parts
  const { clock } = surroundings
  let askedAtMs = Number.NEGATIVE_INFINITY
  let isKept: boolean | undefined

  return {
    follow: (follower) =>
      listen(link, names, {
        ...follower,
        up: (connection, last) => {
          askedAtMs = Number.NEGATIVE_INFINITY
          void haveStream(connection)
          follower.up(last)
        },
      }),
    async publish(jws, id) {
      const { connection } = link
      if (connection === undefined) return 'told'
      const about = headers()
      about.set('Nats-Msg-Id', id)
      try {
        // Whoever listens hears it whether JetStream answers or not.
        const answer = await ask(connection, names.batches, jws, about)
        if (answer.error !== undefined || answer.stream === undefined) throw refusal(answer)
        tell(true)
        return answer.duplicate === true ? 'known' : 'kept'
      } catch (cause) {
        tell(false, cause)
        void haveStream(connection)
        return 'told'
      }
    },
  }

  /** Makes the stream where there is none. Never fails: without it, validators take what they missed over HTTP. */
  async function haveStream(connection: NatsConnection): Promise<void> {
    if (clock.monotonic() - askedAtMs < STREAM_AGAIN_MS) return
    askedAtMs = clock.monotonic()
    try {
      const found = await ask(connection, `$JS.API.STREAM.INFO.${names.stream}`)
      if (found.error === undefined) return
      if (found.error.code !== 404) throw refusal(found)
      const made = await ask(connection, `$JS.API.STREAM.CREATE.${names.stream}`, JSON.stringify(streamOf(names)))
      if (made.error !== undefined) throw refusal(made)
    } catch (cause) {
      tell(false, cause)
    }
  }

  function tell(kept: boolean, cause?: unknown): void {
    if (isKept === kept || link.connection === undefined) return
    isKept = kept
    if (kept) parts.observe?.kept?.()
    else parts.observe?.notKept?.(cause)
  }
}

/** `err_code` of: no such stream; no JetStream for this account, or on this server. */
const NO_STREAM = [10059, 10039, 10076]

/** Deletes the stream, or finds that there is none. */
export async function deleteNatsFeedStream(connection: NatsConnection, names: NatsNames): Promise<void> {
  const { error } = await ask(connection, `$JS.API.STREAM.DELETE.${names.stream}`).catch((cause) => {
    if (cause instanceof RequestError && cause.isNoResponders()) return {} as JetStreamAnswer
    throw cause
  })
  if (error !== undefined && !NO_STREAM.includes(error.err_code ?? 0)) throw refusal({ error })
}

/** A validator's side: a link of its own that only listens. */
export interface NatsFeedListener {
  close(): Promise<void>
}

export function openNatsFeed(parts: {
  readonly options: NatsOptions
  readonly names: NatsNames
  readonly surroundings: Surroundings
  /** The link is up and listens; `last` is the last batch that the stream holds, as far as it says. */
  up(last: string | undefined): void
  heard(jws: string): void
  down(cause: unknown): void
}): NatsFeedListener {
  const link = openNatsLink(parts.options, parts.surroundings)
  const listening = listen(link, parts.names, { ...parts, up: (_connection, last) => parts.up(last) })
  return {
    async close() {
      listening.stop()
      await link.close()
    },
  }
}

/** Subscribes on each connection, then asks for the last batch: so nothing falls between the two. */
function listen(
  link: NatsLink,
  names: NatsNames,
  follower: {
    up(connection: NatsConnection, last: string | undefined): void
    heard(jws: string): void
    down(cause: unknown): void
  },
): { stop(): void } {
  let stopped = false
  const following = link.follow((connection, cause) => {
    if (connection === undefined) follower.down(cause)
    else void begin(connection)
  })

  async function begin(connection: NatsConnection): Promise<void> {
    let last: string | undefined
    try {
      connection.subscribe(names.batches, {
        callback: (error, message) => {
          if (error === null && !stopped && link.connection === connection) follower.heard(message.string())
        },
      })
      await connection.flush()
      last = await lastBatch(connection, names)
    } catch {
      return // It broke meanwhile, and another will follow.
    }
    if (!stopped && link.connection === connection) follower.up(connection, last)
  }

  return {
    stop() {
      stopped = true
      following.stop()
    },
  }
}

/** Undefined when there is none, or when nobody says. */
async function lastBatch(connection: NatsConnection, names: NatsNames): Promise<string | undefined> {
  try {
    const subject = `$JS.API.DIRECT.GET.${names.stream}.${names.batches}`
    const message: Msg = await connection.request(subject, '', { timeout: ANSWER_MS })
    return message.headers?.code ? undefined : message.string()
  } catch (cause) {
    if (connection.isClosed()) throw cause
    return undefined
  }
}

interface JetStreamAnswer {
  readonly error?: { readonly code?: number; readonly err_code?: number; readonly description?: string }
  readonly stream?: string
  readonly duplicate?: boolean
}

async function ask(
  connection: NatsConnection,
  subject: string,
  body = '',
  about?: ReturnType<typeof headers>,
): Promise<JetStreamAnswer> {
  const options = { timeout: ANSWER_MS, ...(about === undefined ? {} : { headers: about }) }
  const answer: unknown = JSON.parse((await connection.request(subject, body, options)).string())
  return typeof answer === 'object' && answer !== null ? answer : {}
}

const refusal = ({ error }: JetStreamAnswer): Error =>
  new Error(`JetStream refused: ${error?.code ?? 'no code'} ${error?.description ?? ''}`.trimEnd())

function streamOf(names: NatsNames): object {
  return {
    name: names.stream,
    subjects: [names.batches],
    retention: 'limits',
    discard: 'old',
    storage: 'file',
    num_replicas: 1,
    max_consumers: -1,
    max_msgs: -1,
    max_bytes: STREAM_LIMITS.maxBytes,
    max_age: STREAM_LIMITS.maxAgeSeconds * 1e9,
    duplicate_window: STREAM_LIMITS.duplicateWindowSeconds * 1e9,
    allow_direct: true,
  }
}
