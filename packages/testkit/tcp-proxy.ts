/** A TCP proxy on loopback whose connections can be cut and healed: a network that fails when the story says so. */
import { connect, createServer, type Socket } from 'node:net'
import { freePort } from './free-port.ts'

export interface TcpProxy {
  readonly port: number
  /** Drops every connection and refuses new ones. */
  cut(): void
  /** Keeps connections open but lets nothing through: what a firewall that forgets does. */
  freeze(): void
  heal(): void
  close(): Promise<void>
}

/** Listens on `port` (a free one unless it is given) and forwards to `target` on 127.0.0.1. */
export async function startTcpProxy(target: number, port?: number): Promise<TcpProxy> {
  const own = port ?? (await freePort())
  let state: 'open' | 'cut' | 'frozen' = 'open'
  const pairs = new Set<readonly [Socket, Socket]>()
  const server = createServer((near) => {
    if (state === 'cut') return void near.destroy()
    const far = connect(target, '127.0.0.1')
    const pair = [near, far] as const
    pairs.add(pair)
    for (const [from, to] of [
      [near, far],
      [far, near],
    ] as const) {
      from.on('data', (chunk) => {
        if (state === 'open' && !to.write(chunk)) from.pause()
      })
      to.on('drain', () => from.resume())
      from.on('error', () => to.destroy())
      from.on('close', () => {
        to.destroy()
        pairs.delete(pair)
      })
    }
  })
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(own, '127.0.0.1', resolve)
  })
  const drop = () => {
    for (const pair of pairs) for (const socket of pair) socket.destroy()
  }
  return {
    port: own,
    cut() {
      state = 'cut'
      drop()
    },
    freeze() {
      state = 'frozen'
    },
    heal() {
      if (state === 'frozen') drop() // Bytes were lost on the way: those connections are of no use any more.
      state = 'open'
    },
    async close() {
      drop()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}
