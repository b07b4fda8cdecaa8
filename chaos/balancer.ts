/**
 * What stands before the nodes: a TCP load balancer that asks each for its readiness and leads new connections to ready ones, round robin. When a
 * node stops being ready while another is, its connections end, so that their clients come to the other.
 */
import { connect, createServer, type Socket } from 'node:net'

const LOOK_MS = 200
const PATIENCE_MS = 800

export interface Balancer {
  readonly port: number
  close(): Promise<void>
}

export async function startBalancer(targets: readonly { host: string; port: number }[]): Promise<Balancer> {
  const nodes = targets.map((target) => ({ ...target, ready: false, sockets: new Set<Socket>() }))
  let turn = 0
  let closed = false
  const server = createServer({ noDelay: true }, (near) => {
    near.on('error', () => {})
    const ready = nodes.filter((node) => node.ready)
    const able = ready.length > 0 ? ready : nodes
    const first = ++turn
    lead(
      near,
      able.map((_, index) => able[(first + index) % able.length] as (typeof nodes)[number]),
    )
  })
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(0, '127.0.0.1', resolve)
  })

  /** To the first that takes the connection. */
  function lead(near: Socket, able: readonly (typeof nodes)[number][]): void {
    const [node, ...others] = able
    if (node === undefined) return void near.destroy()
    const far = connect({ port: node.port, host: node.host, noDelay: true })
    let linked = false
    far.once('connect', () => {
      linked = true
      node.sockets.add(near)
      near.pipe(far)
      far.pipe(near)
    })
    far.on('error', () => {
      if (linked) return near.destroy()
      node.ready = false
      lead(near, others)
    })
    far.on('close', () => {
      node.sockets.delete(near)
      if (linked) near.destroySoon()
    })
    near.on('close', () => far.destroy())
  }

  async function look(node: (typeof nodes)[number]): Promise<void> {
    const ready = await fetch(`http://${node.host}:${node.port}/readyz`, { signal: AbortSignal.timeout(PATIENCE_MS) }).then(
      async (answer) => {
        await answer.arrayBuffer()
        return answer.status === 200
      },
      () => false,
    )
    const fell = node.ready && !ready
    node.ready = ready
    if (fell && nodes.some((other) => other.ready)) for (const socket of [...node.sockets]) socket.destroy()
  }

  const loops = nodes.map(async (node) => {
    while (!closed) {
      await look(node)
      await new Promise((resolve) => setTimeout(resolve, LOOK_MS))
    }
  })
  return {
    port: (server.address() as { port: number }).port,
    async close() {
      closed = true
      for (const { sockets } of nodes) for (const socket of [...sockets]) socket.destroy()
      server.close()
      await Promise.all(loops)
    },
  }
}
