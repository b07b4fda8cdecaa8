/** A way that a drill can cut: a TCP proxy on loopback before the store or the bus. */
import { connect, createServer, type Socket } from 'node:net'
import type { ScratchOptions } from './scratch.ts'

export interface Gate {
  /** What nodes are told, with the proxy in its place. */
  readonly database: string
  readonly bus: string | undefined
  cut(): void
  heal(): void
  close(): Promise<void>
}

export async function openGate({ database, bus, gated }: ScratchOptions): Promise<Gate> {
  const given = gated === 'database' ? database : gated === 'bus' ? bus : undefined
  if (given === undefined) return { database, bus, cut: () => {}, heal: () => {}, close: async () => {} }
  const target = new URL(given)
  const defaultPort = gated === 'database' ? 5432 : 4222
  const sockets = new Set<Socket>()
  let isCut = false
  const server = createServer((near) => {
    near.on('error', () => {})
    if (isCut) return void near.destroy()
    const far = connect(wayTo(target, defaultPort))
    for (const [from, to] of [
      [near, far],
      [far, near],
    ] as const) {
      sockets.add(from)
      from.pipe(to)
      from.on('error', () => to.destroy())
      from.on('close', () => {
        sockets.delete(from)
        to.destroy()
      })
    }
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const through = new URL(given.replace(/@[^/]*\//, '@127.0.0.1/'))
  through.hostname = '127.0.0.1'
  through.port = String((server.address() as { port: number }).port)
  const drop = () => {
    for (const socket of sockets) socket.destroy()
  }
  return {
    database: gated === 'database' ? through.href : database,
    bus: gated === 'bus' ? `nats://127.0.0.1:${through.port}` : bus,
    cut() {
      isCut = true
      drop()
    },
    heal() {
      isCut = false
    },
    async close() {
      drop()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}

/** A host and port, or the socket in the folder that stands in the place of the host. */
function wayTo(target: URL, defaultPort: number): { path: string } | { host: string; port: number } {
  const host = decodeURIComponent(target.hostname)
  const port = Number(target.port || defaultPort)
  return host.startsWith('/') ? { path: `${host}/.s.PGSQL.${port}` } : { host, port }
}
