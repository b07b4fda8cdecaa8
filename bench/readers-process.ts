/**
 * A process that reads the feed over many connections and does nothing with it: what the authority has to serve when validators run on machines
 * of their own. Also the far end of the plain TCP connection that the feed is compared with.
 */
import { get } from 'node:http'
import { type AddressInfo, createServer } from 'node:net'
import { serveParent } from './child.ts'
import { sharedMs } from './shared-clock.ts'

export type ReadersAnswers = {
  /** Opens `count` streams of the feed of this issuer, from its present head. */
  read(question: { readonly issuer: string; readonly count: number }): Promise<void>
  /** Listens for lines, each a number; the port. */
  listen(): Promise<number>
  /** The numbers that came since it was asked last, and when. */
  heard(): readonly (readonly [number: number, atMs: number])[]
}

let heard: [number: number, atMs: number][] = []

serveParent({
  async read({ issuer, count }) {
    const metadata = (await (await fetch(`${issuer}/.well-known/oauth-authorization-server`)).json()) as {
      signet_feed: { head: string; stream: string }
    }
    const { head, stream } = metadata.signet_feed
    const probe = crypto.randomUUID()
    const jws = await (await fetch(`${head}?probe=${probe}`)).text()
    const { epoch, seq } = JSON.parse(Buffer.from(jws.split('.')[1] as string, 'base64url').toString()) as {
      epoch: string
      seq: number
    }
    const url = `${stream}?after=${seq}&epoch=${epoch}`
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

function openStream(url: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const request = get(url, { agent: false, headers: { accept: 'text/event-stream' } }, (response) => {
      if (response.statusCode === 200) resolve()
      else reject(new Error(`the feed answered ${response.statusCode}`))
      response.resume()
    })
    request.on('error', reject)
  })
}
