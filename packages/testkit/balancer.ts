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
  close(): Promise<void>
}

const LOOK_MS = 100

export async function startBalancer(nodes: readonly number[], port = 0): Promise<Balancer> {
  const served = nodes.map(() => 0)
  const ready = nodes.map(() => true)
  let turn = 0
  let looking = true
  const state = { only: undefined as number | undefined }

  function pick(): number {
    if (state.only !== undefined) return state.only
    for (let tries = 0; tries < nodes.length; tries++) {
      turn = (turn + 1) % nodes.length
      if (ready[turn]) break
    }
    return turn
  }

  const server = createServer((incoming, answer) => {
    const node = pick()
    served[node] = (served[node] ?? 0) + 1
    pass(incoming, answer, nodes[node] as number)
  })
  async function look(): Promise<void> {
    while (looking) {
      await Promise.all(
        nodes.map(async (node, n) => {
          ready[n] = await isReady(node)
        }),
      )
      await new Promise((resolve) => setTimeout(resolve, LOOK_MS))
    }
  }
  await new Promise<void>((resolve) => server.listen(port, 'localhost', resolve))
  const looks = look()
  return {
    port: (server.address() as AddressInfo).port,
    served,
    ready,
    get only() {
      return state.only
    },
    set only(node) {
      state.only = node
    },
    async close() {
      looking = false
      await looks
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

async function isReady(port: number): Promise<boolean> {
  return fetch(`http://127.0.0.1:${port}/readyz`, { signal: AbortSignal.timeout(1000) }).then(
    async (answer) => {
      await answer.arrayBuffer()
      return answer.ok
    },
    () => false,
  )
}
