/** As much of NATS as drills need: whether a server will do for one, and taking away what a drill left there. */
import { connect, type Socket } from 'node:net'
import { natsNames, natsServersProblem } from '@signet/kernel/nats.ts'
import { printable } from '../output/printable.ts'
import { EXIT, Trouble } from '../trouble.ts'

export interface NatsPlace {
  readonly host: string
  readonly port: number
}

const ANSWER_MS = 3000
const LONGEST_GREETING = 64 * 1024

/**
 * The servers of a `nats://` URL, or of several with commas between. Throws when a drill cannot use them: it cuts the way to them by a proxy on
 * this machine, whose name no certificate has, and has no place for credentials.
 */
export async function findNats(bus: string): Promise<readonly NatsPlace[]> {
  const servers = bus.split(',').map((server) => server.trim())
  const problem = natsServersProblem(servers, true)
  if (problem !== undefined) throw unfit(bus.includes('@') ? 'a drill has no place for credentials' : `--bus ${problem}`)
  if (servers.some((server) => server.startsWith('tls:')))
    throw unfit('the drill cuts the way to NATS by a proxy on this machine, which has no certificate for tls://')
  const places = servers.map(placeOf)
  const greetings = await Promise.allSettled(places.map(greetingOf))
  for (const greeting of greetings) {
    if (greeting.status === 'rejected') continue
    if (greeting.value.tls_required === true)
      throw unfit('the server takes TLS alone, and the drill cuts the way to it by a proxy')
    if (greeting.value.auth_required === true) throw unfit('the server wants credentials, and a drill has none')
  }
  const [first] = greetings
  if (first?.status === 'rejected' && greetings.every(({ status }) => status === 'rejected')) {
    throw new Trouble({
      what: 'Could not reach the bus',
      why: `no NATS server answers at ${printable(bus)}: ${(first.reason as Error).message}`,
      advice: `Check --bus. ${OWN}`,
      exit: EXIT.unreachable,
      code: 'bus',
    })
  }
  return places
}

const OWN =
  'To start a NATS server for the drill: `nats-server --addr 127.0.0.1 --port 4333`, and give --bus nats://127.0.0.1:4333'

const unfit = (why: string): Trouble =>
  new Trouble({ what: 'Could not use this bus for a drill', why, advice: OWN, exit: EXIT.usage, code: 'bus' })

/** Only http URLs are taken apart in full. */
function placeOf(server: string): NatsPlace {
  const { hostname, port } = new URL(server.replace(/^nats:/, 'http:'))
  const isUsual = port === '' && !/:80\/?$/.test(server) // The URL parser drops the usual port of http.
  return { host: hostname.replace(/^\[|\]$/g, ''), port: isUsual ? 4222 : Number(port || 80) }
}

interface Greeting {
  readonly tls_required?: boolean
  readonly auth_required?: boolean
}

/** What the server says first. */
function greetingOf(place: NatsPlace): Promise<Greeting> {
  return talk(place, (text) => {
    const [, json] = /^INFO (.*)\r\n/.exec(text) ?? []
    return json === undefined ? undefined : (JSON.parse(json) as Greeting)
  })
}

/** The stream that nodes made for this issuer's feed. It is gone, or never was, when the server has answered. */
export async function forgetFeed(places: readonly NatsPlace[], issuer: string): Promise<void> {
  const inbox = `_INBOX.drill${Math.random().toString(36).slice(2)}`
  const asked = `SUB ${inbox} 1\r\nPUB $JS.API.STREAM.DELETE.${natsNames(issuer).stream} ${inbox} 0\r\n\r\nPING\r\n`
  for (const place of places) {
    const isDone = await talk(place, (text, socket) => {
      if (/^INFO .*\r\n$/.test(text)) socket.write(`CONNECT {"verbose":false,"headers":true,"no_responders":true}\r\n${asked}`)
      return /\r\nH?MSG /.test(text) ? true : undefined // JetStream's answer, or that there is none.
    }).catch(() => false)
    if (isDone) return
  }
  throw new Error('no NATS server answered')
}

/** Connects and reads until `heard` makes something of what came. */
function talk<T>({ host, port }: NatsPlace, heard: (text: string, socket: Socket) => T | undefined): Promise<T> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, host)
    let text = ''
    const patience = setTimeout(() => socket.destroy(new Error('it does not answer as a NATS server does')), ANSWER_MS)
    socket.on('data', (chunk) => {
      text += chunk
      try {
        const made = heard(text, socket)
        if (made !== undefined) resolve(made)
        if (made !== undefined || text.length > LONGEST_GREETING) socket.destroy()
      } catch (error) {
        socket.destroy(error as Error)
      }
    })
    socket.once('error', reject)
    socket.once('close', () => {
      clearTimeout(patience)
      reject(new Error('it closed the connection'))
    })
  })
}
