/**
 * A load balancer as people have them: HTTP on loopback, each request to the next node in turn whatever came before, nodes that say
 * they are not ready left out. It retries nothing: what a node breaks, the caller sees.
 */
import { request as ask, createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'

export interface Balancer {
  readonly port: number
  /** Node that gets the next requests, by its place in the list, until it is undefined again: then all in turn. */
  only: number | undefined
  /** Requests that each node has got. */
  readonly served: readonly number[]
  /** Nodes that are ready, as seen last. */
  readonly ready: readonly boolean[]
  /** Nodes that could not be reached at all, as seen last. */
  readonly gone: readonly boolean[]
  close(): Promise<void>
}

const LOOK_MS = 100
/** Longer than a machine stands still. */
const ANSWER_WITHIN_MS = 10_000

export async function startBalancer(nodes: readonly number[], port = 0): Promise<Balancer> {
  const served = nodes.map(() => 0)
  const ready = nodes.map(() => true)
  const gone = nodes.map(() => false)
  let turn = 0
  const closing = new AbortController()
  const state = { only: undefined as number | undefined }

  function pick(): number {
    if (state.only !== undefined) return state.only
    for (let tries = 0; tries < nodes.length; tries++) {
      turn = (turn + 1) % nodes.length
      if (ready[turn]) return turn
    }
    // The machine stood still, and none is ready until it has looked: the one that was last goes on, unless it is gone.
    for (let tries = 0; tries < nodes.length && gone[turn]; tries++) turn = (turn + 1) % nodes.length
    return turn
  }

  const server = createServer((incoming, answer) => {
    const node = pick()
    served[node] = (served[node] ?? 0) + 1
    pass(incoming, answer, nodes[node] as number)
  })
  server.keepAliveTimeout = 0 // Whoever closes a connection may do so in the moment in which it is used again.
  async function look(node: number, n: number): Promise<void> {
    while (!closing.signal.aborted) {
      const seen = await lookAt(node, closing.signal)
      ready[n] = seen === 'ready'
      gone[n] = seen === 'gone'
      await new Promise((resolve) => setTimeout(resolve, LOOK_MS))
    }
  }
  await new Promise<void>((resolve) => server.listen(port, 'localhost', resolve))
  const looks = nodes.map(look)
  return {
    port: (server.address() as AddressInfo).port,
    served,
    ready,
    gone,
    get only() {
      return state.only
    },
    set only(node) {
      state.only = node
    },
    async close() {
      closing.abort()
      await Promise.all(looks)
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}

function pass(incoming: IncomingMessage, answer: ServerResponse, port: number): void {
  const { method, url: path, headers } = incoming
  const outgoing = ask({ host: '127.0.0.1', port, method, path, headers, agent: false }, (got) => {
    answer.writeHead(got.statusCode ?? 502, got.headers)
    got.pipe(answer)
    got.on('error', () => answer.destroy())
  })
  outgoing.on('error', () => (answer.headersSent ? answer.destroy() : answer.writeHead(502).end()))
  answer.on('close', () => outgoing.destroy())
  incoming.pipe(outgoing)
}

async function lookAt(port: number, closing: AbortSignal): Promise<'ready' | 'unready' | 'gone'> {
  const signal = AbortSignal.any([closing, AbortSignal.timeout(ANSWER_WITHIN_MS)])
  try {
    const answer = await fetch(`http://127.0.0.1:${port}/readyz`, { signal })
    await answer.arrayBuffer()
    return answer.ok ? 'ready' : 'unready'
  } catch {
    return signal.aborted ? 'unready' : 'gone'
  }
}
