/** As much of NATS as drills need: whether a server will do for one, and taking away what a drill left there. */
import { connect } from 'node:net'
import { natsPlace, natsServersProblem } from '@signet/kernel/nats.ts'
import { printable } from '../output/printable.ts'
import { EXIT, Trouble } from '../trouble.ts'
import { byAuthority } from './by-authority.ts'

const ANSWER_MS = 10_000
const LONGEST_GREETING = 64 * 1024

/**
 * The servers of a `nats://` URL, or of several with commas between. Throws when a drill cannot use them: it cuts the way to them by a proxy on
 * this machine, whose name no certificate has, and has no place for credentials.
 */
export async function findNats(bus: string): Promise<readonly string[]> {
  const servers = bus.split(',').map((server) => server.trim())
  const problem = natsServersProblem(servers, true)
  if (problem !== undefined) throw unfit(bus.includes('@') ? 'a drill has no place for credentials' : `--bus ${problem}`)
  if (servers.some((server) => server.startsWith('tls:')))
    throw unfit('the drill cuts the way to NATS by a proxy on this machine, which has no certificate for tls://')
  const greetings = await Promise.allSettled(servers.map(greetingOf))
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
  return servers
}

const OWN =
  'To start a NATS server for the drill: `nats-server --addr 127.0.0.1 --port 4333`, and give --bus nats://127.0.0.1:4333'

const unfit = (why: string): Trouble =>
  new Trouble({ what: 'Could not use this bus for a drill', why, advice: OWN, exit: EXIT.usage, code: 'bus' })

interface Greeting {
  readonly tls_required?: boolean
  readonly auth_required?: boolean
}

/** What the server says first: the library that knows NATS does not tell it of one that lets nobody in. */
function greetingOf(server: string): Promise<Greeting> {
  const { host, port } = natsPlace(server)
  return new Promise((resolve, reject) => {
    const socket = connect(port, host)
    let text = ''
    const patience = setTimeout(() => socket.destroy(new Error('it does not answer as a NATS server does')), ANSWER_MS)
    socket.on('data', (chunk) => {
      text += chunk
      const [, json] = /^INFO (.*)\r\n/.exec(text) ?? []
      if (json === undefined && text.length <= LONGEST_GREETING) return
      try {
        if (json !== undefined) resolve(JSON.parse(json) as Greeting)
        socket.destroy()
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

/** Deletes the stream that nodes made for this issuer's feed. */
export async function forgetFeed(servers: readonly string[], issuer: string): Promise<void> {
  try {
    await byAuthority('scratch-feed.ts', [issuer], { SIGNET_BUS: servers.join(',') })
  } catch (cause) {
    throw new Trouble({
      what: 'Could not take away what the drill left on the bus',
      why: (cause as { stderr?: string }).stderr?.trim() || 'the server does not answer',
      advice: `Check --bus. ${OWN}`,
      exit: EXIT.unreachable, // So that it is asked again: a server on a machine that stands still answers too late.
      code: 'bus',
      cause,
    })
  }
}
