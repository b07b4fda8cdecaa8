/**
 * One connection to PostgreSQL, pipelined: statements are sent as they come and answered in order. It connects when it is
 * first needed and again after it broke, and accepts only a server that can write and keeps what it acknowledges.
 */

import { type Fault, fault } from '@signet/kernel/errors.ts'
import { isUuid } from '@signet/kernel/ids.ts'
import pg from 'pg'
import { type Promotion, promoted, readTimelines } from './postgres-timeline.ts'
import { type ChainPlace, readChain } from './tables/audit.ts'
import type { Dialect, Row, Sql, Value } from './tables/sql.ts'

export const postgresDialect: Dialect = {
  engine: 'postgres',
  id: (id) => (id !== undefined && isUuid(id) ? id : null),
  readId: (value) => value as string,
  readBytes(value) {
    const bytes = value as Uint8Array
    return new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  },
  larger: 'greatest',
  position: 'strpos',
  skipLocked: 'for update skip locked',
  isSubject: (column, parameter) => `${column} = ${parameter}`,
}

/** Families are updated in place, for which each page keeps some room (heap-only tuples). */
export const POSTGRES_WORDS: Readonly<Record<string, string>> = {
  ...{ id: 'uuid', bytes: 'bytea', int: 'bigint', int4: 'integer', int2: 'smallint', text: 'text', name: 'text collate "C"' },
  ...{ serial: 'integer generated always as identity primary key', sequence: 'bigint not null', subject_tag: 'subject' },
  ...{ keyed: '', keyed_spare: 'with (fillfactor = 95)', heap: '' },
}

const CONNECT_MS = 2_000
/** A statement that takes longer has met a server that hangs; the connection is given up, so that another server can be found. */
const STATEMENT_MS = 2_000
/** After its bound a server that runs says so itself. One that does not has so much longer, and a caller is told within three seconds. */
const SILENCE_MS = 500
/** What failed sooner than this is tried again; later, whoever asked has waited enough. */
export const AGAIN_MS = 500
/** Statements that wait for their answers on one connection. */
const MAX_OUTSTANDING = 5_000
const MAX_WARNINGS = 16

export interface Answer {
  readonly command: string
  readonly rows: Row[]
  readonly rowCount: number
}

/** One connection as it is now. It never becomes another: a transaction that began on it ends with it. */
export class Session {
  readonly #client: pg.Client
  readonly #pooled: boolean
  #outstanding = 0
  /** Of the server it was made to; undefined where there are none. */
  timeline: string | undefined
  /** What a transaction on it must begin with, beside `begin`. */
  begins: readonly string[] = []
  /** Warnings that the server gave; whoever commits looks here. */
  readonly warnings: { code: string; message: string }[] = []
  constructor(client: pg.Client, pooled: boolean) {
    this.#client = client
    this.#pooled = pooled
    client.on('notice', ({ code = '', message = '' }) => {
      if (this.warnings.length < MAX_WARNINGS) this.warnings.push({ code, message })
    })
  }

  /** Sends one statement; errors come as they are (see `postgresFault`). */
  async query(text: string, values: readonly Value[] = []): Promise<Answer> {
    if (this.#outstanding >= MAX_OUTSTANDING)
      throw fault('overloaded', { because: 'too many statements wait for one connection' })
    this.#outstanding++
    try {
      const answer = await this.#client.query({
        ...(this.#pooled ? {} : { name: nameOf(text) }),
        text,
        values: values as unknown[],
      })
      return { command: answer.command, rows: answer.rows, rowCount: answer.rowCount ?? 0 }
    } finally {
      this.#outstanding--
    }
  }

  end(): Promise<void> {
    return this.#client.end()
  }

  /** Breaks it off: `end` would wait for what is still being answered. */
  destroy(): void {
    ;(this.#client as unknown as { connection: { stream: { destroy(): void } } }).connection.stream.destroy()
  }
}

/** The servers that may hold the database; all lines of a store share what they find. */
export class Target {
  readonly #urls: readonly string[]
  /** Through a pooler that hands out connections by transaction: nothing may rest on a connection between two of them. */
  readonly pooled: boolean
  /** The server that was the primary last. */
  #last = 0
  readonly #lines = new Set<Line>()
  /** The latest that was met: a server on an earlier one has been replaced, and does not know it. */
  #timeline = ''
  constructor(urls: readonly string[], pooled: boolean) {
    this.#urls = urls
    this.pooled = pooled
  }

  /** Throws for a server that has been replaced. Timelines are eight hexadecimal digits. */
  met(timeline: string | undefined): void {
    if (timeline === undefined) return
    if (timeline < this.#timeline)
      throw fault('store_unavailable', { cause: new Error(`a server on timeline ${timeline} was replaced`) })
    this.#timeline = timeline
  }

  /** Opens at the first server that will do, beginning with the last that did. Throws what the last one tried had to say. */
  async find(line: Line, open: (url: string) => Promise<Session>): Promise<Session> {
    this.#lines.add(line)
    const first = this.#last
    for (let n = 0; ; n++) {
      const at = (first + n) % this.#urls.length
      try {
        const opened = await open(this.#urls[at] as string)
        if (at !== this.#last) {
          this.#last = at
          // The others need not wait until they find out that theirs answers no more.
          for (const other of this.#lines) if (other !== line) void other.drop()
        }
        return opened
      } catch (error) {
        if (n + 1 === this.#urls.length) throw error
      }
    }
  }
}

export interface LineOptions {
  readonly statementMs?: number
  /** Called when the server was promoted and nobody has settled what that lost; the connection is given up. */
  readonly promoted?: (promotion: Promotion) => void
  /** The last link of the store's own audit chain that was acknowledged: a server that lacks it has lost something. */
  readonly acknowledged?: () => ChainPlace
  /** Connects to a server on any timeline: for whoever settles it. */
  readonly anyTimeline?: boolean
  /** For what changes something: a primary that takes no writes will not do. Reads are true there, too. */
  readonly writes: boolean
}

export class Line {
  readonly #target: Target
  readonly #options: LineOptions
  #session: Promise<Session> | undefined
  #closed = false
  constructor(target: Target, options: LineOptions) {
    this.#target = target
    this.#options = options
  }

  /** One statement that is its own transaction. */
  async query(text: string, values: readonly Value[] = []): Promise<Answer> {
    return (await this.session()).query(text, values)
  }

  /** The connection, made now if there is none. */
  session(): Promise<Session> {
    if (this.#closed) return Promise.reject(fault('stopping'))
    this.#session ??= this.#open().catch((error) => {
      this.#session = undefined
      throw error
    })
    return this.#session
  }

  /** Gives the connection up; the next statement makes a new one. */
  async drop(): Promise<void> {
    const session = this.#session
    this.#session = undefined
    ;(await session?.catch(() => undefined))?.destroy()
  }

  async close(): Promise<void> {
    this.#closed = true
    const session = await this.#session?.catch(() => undefined)
    await session?.end()
  }

  #open(): Promise<Session> {
    return this.#target.find(this, (url) => this.#openAt(url))
  }

  async #openAt(url: string): Promise<Session> {
    const { pooled } = this.#target
    const { statementMs = STATEMENT_MS, writes } = this.#options
    const client = new pg.Client({
      connectionString: url,
      pipeline: true,
      keepAlive: true,
      connectionTimeoutMillis: CONNECT_MS,
      ...(pooled ? {} : { statement_timeout: statementMs }), // A pooler takes no such word.
      query_timeout: statementMs + SILENCE_MS,
      application_name: 'signet',
      types: { getTypeParser: typeParser },
    })
    const session = new Session(client, pooled)
    client.on('error', () => this.#forget(session)) // Unheard, it would end the process.
    client.on('end', () => this.#forget(session))
    await client.connect()
    try {
      await prepareSession(session, writes)
      session.timeline = await this.#knownTimeline(session)
      this.#target.met(session.timeline)
    } catch (error) {
      await client.end().catch(() => undefined)
      throw error
    }
    return session
  }

  async #knownTimeline(session: Session): Promise<string | undefined> {
    const { anyTimeline = false, acknowledged } = this.#options
    const ours = acknowledged?.() // First: it may grow while the server is asked.
    const { current, whole, beganAnew } = await readTimelines((text) => session.query(text))
    if (current === undefined || whole === undefined || anyTimeline) return current
    // Whoever noted the timeline as whole knew his own chain alone.
    const isWhole = current === whole && (current === beganAnew || ours === undefined || (await hasLink(session, ours)))
    if (isWhole) return current
    const promotion = { from: whole, to: current }
    this.#options.promoted?.(promotion)
    throw promoted(promotion)
  }

  #forget(session: Session): void {
    const held = this.#session
    void held?.then(
      (current) => {
        if (current === session && this.#session === held) this.#session = undefined
      },
      () => undefined,
    )
  }
}

async function hasLink(session: Session, { chain, index }: ChainPlace): Promise<boolean> {
  const { index: last } = await readChain(readsOn([session]), chain)
  return last >= index
}

async function prepareSession(session: Session, writes: boolean): Promise<void> {
  const text = `select pg_is_in_recovery() as standby, current_setting('transaction_read_only') as read_only,
    current_setting('synchronous_commit', true) as durable`
  const row = (await session.query(text)).rows[0]
  // The truth is on the primary: a standby that answers reads would answer old ones.
  if (row?.standby === true || (writes && row?.read_only === 'on'))
    throw fault('store_read_only', {
      because: row?.standby === true ? 'this server is a standby' : 'this server takes no writes',
    })
  // In each transaction, since behind a pooler the next one may be on another connection.
  if (row?.durable === 'off') session.begins = ['set local synchronous_commit = on']
}

/** Reads on a few lines in turn. */
export function readsOn(lines: readonly Pick<Line, 'query'>[]): Sql {
  let turn = 0
  const next = async (text: string, values: readonly Value[]) => {
    const began = performance.now()
    let tries = 0
    for (;;) {
      turn = (turn + 1) % lines.length
      try {
        return (await (lines[turn] as Line).query(text, values)).rows
      } catch (error) {
        // A read may be asked again: connections that broke while they were idle are noticed only now.
        const trouble = postgresFault(error)
        if (trouble === undefined || ++tries > lines.length || performance.now() - began > AGAIN_MS) throw trouble ?? error
      }
    }
  }
  return {
    dialect: postgresDialect,
    read: next,
    readOne: async (text, values) => (await next(text, values))[0],
  }
}

// 64-bit integers come as text by default; ours are times and counts, far below 2⁵³.
const INT8 = 20
const typeParser = ((oid: number, format?: 'text' | 'binary') =>
  oid === INT8 ? Number : pg.types.getTypeParser(oid, format as 'text')) as typeof pg.types.getTypeParser

/** Prepared statements by their text; as many as there are texts in tables/. */
const names = new Map<string, string>()
function nameOf(text: string): string {
  let name = names.get(text)
  if (name === undefined) {
    name = `signet_${names.size}`
    names.set(text, name)
  }
  return name
}

/** SQLSTATE (PostgreSQL manual, appendix A) of an error of the server's; '' for any other. */
function stateOf(error: unknown): string {
  const code = (error as { code?: unknown } | null)?.code
  return typeof code === 'string' && /^[0-9A-Z]{5}$/.test(code) && (error as { severity?: unknown }).severity !== undefined
    ? code
    : ''
}

/** The transaction met another and may simply be tried again. */
export const isCollision = (error: unknown): boolean => ['40001', '40P01'].includes(stateOf(error))
/** A unique key was taken meanwhile. */
export const isTaken = (error: unknown): boolean => stateOf(error) === '23505'
/** The log is not of the epoch that its entries were made for (`appendEntries`): division by zero. */
export const isOfAnotherEpoch = (error: unknown): boolean => stateOf(error) === '22012'
/** Somebody made the same table in the same moment: its name, its type or its row in the catalogue is there. */
export const isMade = (error: unknown): boolean => ['23505', '42P07', '42710'].includes(stateOf(error) ?? '')
/** Only the echo of an earlier error in the same transaction. */
export const isEcho = (error: unknown): boolean => stateOf(error) === '25P02'

/** The fault that an error of the server's or the network's is; undefined for an error of ours. */
export function postgresFault(error: unknown): Fault | undefined {
  const state = stateOf(error)
  if (state === '25006') return fault('store_read_only', { cause: error })
  if (state !== '') return TROUBLE.test(state) ? fault('store_unavailable', { cause: error }) : undefined
  return isNetworkTrouble(error) ? fault('store_unavailable', { cause: error }) : undefined
}

/** The server did not say so itself: it cannot be reached, or does not answer. */
export const isSilence = (error: unknown): boolean => stateOf(error) === '' && isNetworkTrouble(error)

// Connection, resources, limits, operator, system, internal errors; and a data directory or role that is not there.
const TROUBLE = /^(08|28|3D|53|54000|55006|57|58|F0|XX)/

function isNetworkTrouble(error: unknown): boolean {
  if (!(error instanceof Error)) return false
  if (error.name === 'Fault' || error.name === 'Refusal') return false
  const code = (error as NodeJS.ErrnoException).code
  return (typeof code === 'string' && /^E[A-Z]+$/.test(code) && code !== 'ERR_ASSERTION') || DRIVER_TROUBLE.test(error.message)
}

/** What the driver says, in words alone, when a connection fails. */
const DRIVER_TROUBLE =
  /^(Connection terminated|Client (has encountered|was closed)|timeout expired|Query read timeout|The server does not support)/
