import { createServer, type Server } from 'node:net'

const LEAST = 20_000
const MOST = 32_000
/** Each process has parts of its own, so that no two come upon one port between its being found and its being taken. */
const PART = 200
const PARTS = (MOST - LEAST) / PART
const given = new Set<number>()
/** The first port of the part that ports are given from now. */
let part: Promise<number | undefined> | undefined
let left = 0

/**
 * A port of this machine that nobody listens on and that this process has not given away yet. It lies below those which the system lends to outgoing
 * connections: one of these would take the port of a server that is down for a moment.
 */
export async function freePort(host: '127.0.0.1' | 'localhost' = '127.0.0.1'): Promise<number> {
  for (;;) {
    if (--left < 0) {
      part = ownPart()
      left = PART / 2
    }
    const first = await part
    const [from, count] = first === undefined ? [LEAST, MOST - LEAST] : [first + 1, PART - 1]
    const port = from + Math.floor(Math.random() * count)
    if (given.has(port)) continue
    given.add(port) // Before it is looked at: two who ask at once are given two.
    const server = await listening(port, host)
    if (server === undefined) continue
    await new Promise((resolve) => server.close(resolve))
    return port
  }
}

/** Who listens on the first port of a part has it for as long as he lives. Undefined: all are taken. */
async function ownPart(): Promise<number | undefined> {
  for (let n = 0; n < PARTS; n++) {
    const first = LEAST + ((process.pid + n) % PARTS) * PART
    const mark = await listening(first, '127.0.0.1')
    if (mark === undefined) continue
    mark.unref()
    return first
  }
  return undefined
}

/** Undefined when somebody else does. */
function listening(port: number, host: string): Promise<Server | undefined> {
  const server = createServer((caller) => caller.destroy())
  return new Promise((resolve) => {
    server.once('error', () => resolve(undefined))
    server.listen(port, host, () => resolve(server))
  })
}
