/** A process of readers of the feed that stop reading when they are told to, and go on later: from where they stood, if they were let go meanwhile. */
import { get, type IncomingMessage } from 'node:http'
import { serveParent } from './child.ts'
import { placeAtHead } from './feed-place.ts'

export type PausingAnswers = {
  /** Opens `count` streams. */
  follow(question: { readonly issuer: string; readonly count: number }): Promise<void>
  /** Takes nothing from any socket from now on. */
  pause(): void
  /** Reads on until everybody has this number, or the time is over. */
  goOn(question: { readonly number: number; readonly withinMs: number }): Promise<GoneOn>
}

export interface GoneOn {
  /** Whose stream had ended meanwhile. */
  readonly dropped: number
  /** Who has the number, with nothing missing before it. */
  readonly whole: number
  readonly tookMs: number
}

interface Reader {
  readonly url: string
  /** Of the last whole batch: where to go on. */
  lastId: string
  number: number
  isWhole: boolean
  drops: number
  response: IncomingMessage | undefined
}

const RETRY_MS = 1000
const readers: Reader[] = []

serveParent({
  async follow({ issuer, count }) {
    const url = await placeAtHead(issuer)
    const opened = Array.from({ length: count }, () => {
      const reader: Reader = { url, lastId: '', number: 0, isWhole: true, drops: 0, response: undefined }
      readers.push(reader)
      return open(reader)
    })
    await Promise.all(opened)
  },
  pause() {
    for (const { response } of readers) response?.pause()
  },
  async goOn({ number, withinMs }) {
    const began = performance.now()
    for (const { response } of readers) response?.resume()
    const has = (reader: Reader) => reader.number >= number
    while (!readers.every(has) && performance.now() - began < withinMs) await new Promise((resolve) => setTimeout(resolve, 20))
    const tookMs = performance.now() - began
    return {
      dropped: readers.filter(({ drops }) => drops > 0).length,
      whole: readers.filter((reader) => has(reader) && reader.isWhole).length,
      tookMs,
    }
  },
} satisfies PausingAnswers)

/** Resolves when the stream has begun; comes back by itself when it ends. */
function open(reader: Reader): Promise<void> {
  return new Promise((resolve) => {
    const again = () => setTimeout(() => void open(reader).then(resolve), RETRY_MS)
    const headers = { accept: 'text/event-stream', ...(reader.lastId !== '' && { 'last-event-id': reader.lastId }) }
    const request = get(reader.url, { agent: false, headers }, (response) => {
      if (response.statusCode !== 200) {
        response.resume()
        again()
        return
      }
      resolve()
      reader.response = response
      let held = ''
      response.setEncoding('latin1').on('data', (text: string) => {
        const events = (held + text).split('\n\n')
        held = events.pop() as string
        for (const event of events) take(reader, event)
      })
      response.on('error', () => {}) // Cut off in the middle of an event.
      response.once('close', () => {
        reader.drops++
        void open(reader)
      })
    })
    request.on('error', () => {
      if (reader.response === undefined) again()
    })
  })
}

function take(reader: Reader, event: string): void {
  if (event.startsWith('event: reset')) reader.isWhole = false
  const id = /^id: (\S+)$/m.exec(event)?.[1]
  const jws = /^data: [^.]+\.([^.]+)\./m.exec(event)?.[1]
  if (id === undefined || jws === undefined) return
  const { from, to } = JSON.parse(Buffer.from(jws, 'base64url').toString()) as { from: number; to: number }
  if (reader.number > 0 && from > reader.number + 1) reader.isWhole = false
  reader.number = to
  reader.lastId = id
}
