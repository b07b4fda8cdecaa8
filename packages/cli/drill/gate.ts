/** A way that a drill can cut: TCP proxies on loopback before the store or the bus. */
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net'

/** A host and port, or a socket in the file system. */
export type Place = { readonly host: string; readonly port: number } | { readonly path: string }

export interface Gate {
  /** Where each of the places is to be found now, on 127.0.0.1. */
  readonly ports: readonly number[]
  cut(): void
  heal(): void
  close(): Promise<void>
}

export async function openGate(places: readonly Place[]): Promise<Gate> {
  const sockets = new Set<Socket>()
  let isCut = false
  const servers: Server[] = []
  for (const place of places) {
    const server = createServer((near) => {
      near.on('error', () => {})
      if (isCut) return void near.destroy()
      const far = connect(place)
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
    servers.push(server)
  }
  const drop = () => {
    for (const socket of sockets) socket.destroy()
  }
  return {
    ports: servers.map((server) => (server.address() as AddressInfo).port),
    cut() {
      isCut = true
      drop()
    },
    heal() {
      isCut = false
    },
    async close() {
      drop()
      for (const server of servers) await new Promise((resolve) => server.close(resolve))
    },
  }
}
