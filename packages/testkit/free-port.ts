import { createServer } from 'node:net'

const LEAST = 20_000
const MOST = 32_000
/** Each process has a part of its own, so that two at once hardly come upon one port between its being found and its being taken. */
const PART = 200
const OWN = LEAST + (process.pid % ((MOST - LEAST) / PART)) * PART
const given = new Set<number>()

/**
 * A port of this machine that nobody listens on and that this process has not given away yet. It lies below those which the system lends to outgoing
 * connections: one of these would take the port of a server that is down for a moment.
 */
export async function freePort(host: '127.0.0.1' | 'localhost' = '127.0.0.1'): Promise<number> {
  for (;;) {
    const [from, count] = given.size < PART / 2 ? [OWN, PART] : [LEAST, MOST - LEAST]
    const port = from + Math.floor(Math.random() * count)
    if (given.has(port)) continue
    const probe = createServer()
    const isFree = await new Promise<boolean>((resolve) => {
      probe.once('error', () => resolve(false))
      probe.listen(port, host, () => resolve(true))
    })
    if (!isFree) continue
    given.add(port)
    await new Promise((resolve) => probe.close(resolve))
    return port
  }
}
