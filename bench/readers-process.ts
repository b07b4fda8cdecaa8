/**
 * A process that reads the feed over many connections and does nothing with it: what the authority has to serve when validators run on machines
 * of their own. Also the far end of the plain TCP connection that the feed is compared with.
 */
import { get } from 'node:http'
import { type AddressInfo, createServer } from 'node:net'
import { serveParent } from './child.ts'
import { placeAtHead } from './feed-place.ts'
import { quantile } from './rounds.ts'
import { sharedMs } from './shared-clock.ts'

export type ReadersAnswers = {
  /** Opens `count` streams, at a relay where one is named, and notes when each has which number. */
  follow(question: { readonly issuer: string; readonly count: number; readonly relay?: string }): Promise<void>
  /** Listens for so many connections that are sent lines, each a number; the port. */
  listenForMany(): Promise<number>
  /** For everything sent, on every connection: how long it took to arrive. What came is forgotten. */
  delays(sent: readonly (readonly [atMs: number, number: number])[]): { p50: number; p99: number; missing: number; open: number }
  /** Opens `count` streams of the feed of this issuer, from its present head. */
  read(question: { readonly issuer: string; readonly count: number }): Promise<void>
  /** Listens for lines, each a number; the port. */
  listen(): Promise<number>
  /** The numbers that came since it was asked last, and when. */
  heard(): readonly (readonly [number: number, atMs: number])[]
}

let heard: [number: number, atMs: number][] = []

/** What came on one connection: the largest number so far, and when. */
interface Arrivals {
  readonly numbers: number[]
  readonly atMs: number[]
  isOpen: boolean
}
const many: Arrivals[] = []

function arrivals(): Arrivals {
  const one: Arrivals = { numbers: [], atMs: [], isOpen: true }
  many.push(one)
  return one
}

serveParent({
  async follow({ issuer, count, relay }) {
    const url = await placeAtHead(issuer, relay)
    await Promise.all(Array.from({ length: count }, () => openStream(url, arrivals())))
  },
  listenForMany: () =>
    new Promise((resolve) => {
      const server = createServer({ noDelay: true }, (socket) => {
        const one = arrivals()
        socket.on('data', (chunk: Buffer) => {
          // A line may be torn; the one before it is whole.
          const end = chunk.lastIndexOf(10)
          if (end < 0) return
          one.numbers.push(Number.parseInt(chunk.toString('latin1', chunk.lastIndexOf(10, end - 1) + 1, end), 10))
          one.atMs.push(sharedMs())
        })
      })
      server.listen(0, 'localhost', () => resolve((server.address() as AddressInfo).port))
    }),
  delays(sent) {
    const found: number[] = []
    let missing = 0
    for (const { numbers, atMs } of many) {
      let at = 0
      for (const [sentMs, number] of sent) {
        // Commits end in their order, more or less: go back a little rather than search anew.
        while (at > 0 && (numbers[at - 1] as number) >= number) at--
        while (at < numbers.length && (numbers[at] as number) < number) at++
        if (at === numbers.length) missing++
        else found.push((atMs[at] as number) - sentMs)
      }
    }
    const open = many.filter(({ isOpen }) => isOpen).length
    for (const one of many) one.numbers.length = one.atMs.length = 0
    return { p50: quantile(found, 0.5), p99: quantile(found, 0.99), missing, open }
  },
  async read({ issuer, count }) {
    const url = await placeAtHead(issuer)
    await Promise.all(Array.from({ length: count }, () => openStream(url)))
  },
  listen: () =>
    new Promise((resolve) => {
      const server = createServer({ noDelay: true }, (socket) => {
        let held = ''
        socket.setEncoding('latin1').on('data', (chunk: string) => {
          const lines = (held + chunk).split('\n')
          held = lines.pop() as string
          const atMs = sharedMs()
          for (const line of lines) heard.push([Number(line), atMs])
        })
      })
      server.listen(0, 'localhost', () => resolve((server.address() as AddressInfo).port))
    }),
  heard() {
    const numbers = heard
    heard = []
    return numbers
  },
} satisfies ReadersAnswers)

function openStream(url: string, noted?: Arrivals): Promise<void> {
  return new Promise((resolve, reject) => {
    const request = get(url, { agent: false, headers: { accept: 'text/event-stream' } }, (response) => {
      if (response.statusCode === 200) resolve()
      else reject(new Error(`the feed answered ${response.statusCode}`))
      if (noted === undefined) return void response.resume()
      response.on('close', () => {
        noted.isOpen = false
      })
      response.on('data', (chunk: Buffer) => {
        const id = chunk.lastIndexOf('\nid: ')
        const start = id >= 0 ? id + 5 : chunk.indexOf('id: ') === 0 ? 4 : -1
        if (start < 0) return // A heartbeat, or the rest of a batch.
        const text = chunk.toString('latin1', start, start + 96)
        noted.numbers.push(Number.parseInt(text.slice(text.indexOf(':') + 1), 10))
        noted.atMs.push(sharedMs())
      })
    })
    request.on('error', (error) => {
      if (noted === undefined || noted.numbers.length === 0) reject(error)
    })
  })
}
