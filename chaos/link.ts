/**
 * A way between two parts that can be broken: a TCP proxy on loopback. It may be cut (connections end, new ones are refused), or swallow
 * what goes one way or both (connections stay open, nothing arrives), or hold it back and deliver it late, as after a link that was down for a moment,
 * or be slow both ways; and it may be led to another target.
 */
import { connect, createServer, type Socket } from 'node:net'

export type Way = 'there' | 'back'

export interface Link {
  readonly port: number
  cut(): void
  swallow(...ways: readonly Way[]): void
  hold(): void
  /** Whatever goes over it takes so much longer, milliseconds. */
  slow(byMs: number): void
  heal(): void
  /** From now on to this port; connections that are there end. */
  lead(target: number): void
  close(): Promise<void>
}

/** To a port on 127.0.0.1; it listens on `host`. */
export async function startLink(first: number, host = '127.0.0.1'): Promise<Link> {
  let target = first
  let isCut = false
  let isHeld = false
  let delayMs = 0
  let swallowed: readonly Way[] = []
  const pairs = new Set<readonly [Socket, Socket]>()
  const server = createServer({ noDelay: true }, (near) => {
    near.on('error', () => {})
    if (isCut) return void near.destroy()
    const far = connect({ port: target, host: '127.0.0.1', noDelay: true })
    const pair = [near, far] as const
    pairs.add(pair)
    for (const [from, to, way] of [
      [near, far, 'there'],
      [far, near, 'back'],
    ] as const) {
      const late = inOrder()
      from.on('data', (chunk) => {
        if (!swallowed.includes(way)) late(delayMs, () => to.writable && !to.write(chunk) && from.pause())
      })
      to.on('drain', () => isHeld || from.resume())
      from.on('end', () => swallowed.includes(way) || late(delayMs, () => to.end()))
      from.on('error', () => to.destroy())
      from.on('close', () => {
        if (!swallowed.includes(way)) late(delayMs, () => to.destroy())
        pairs.delete(pair)
      })
      if (isHeld) from.pause()
    }
  })
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(0, host, resolve)
  })
  const drop = () => {
    for (const pair of [...pairs]) for (const socket of pair) socket.destroy()
  }
  return {
    port: (server.address() as { port: number }).port,
    cut() {
      isCut = true
      drop()
    },
    swallow(...ways) {
      swallowed = ways
    },
    hold() {
      isHeld = true
      for (const pair of pairs) for (const socket of pair) socket.pause()
    },
    slow(byMs) {
      delayMs = byMs
    },
    heal() {
      delayMs = 0
      if (swallowed.length > 0) drop() // Bytes were lost on the way: those connections are of no use any more.
      swallowed = []
      isCut = false
      if (!isHeld) return
      isHeld = false
      for (const pair of pairs) for (const socket of pair) socket.resume()
    },
    lead(next) {
      target = next
      drop()
    },
    async close() {
      isCut = true
      drop()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}

/** Does one thing after the other, each not before its time. */
function inOrder(): (delayMs: number, task: () => void) => void {
  const waiting: { readonly dueMs: number; readonly task: () => void }[] = []
  const next = () => {
    for (let first = waiting[0]; first !== undefined; first = waiting[0]) {
      const leftMs = first.dueMs - performance.now()
      if (leftMs > 0) return void setTimeout(next, leftMs).unref()
      first.task()
      waiting.shift()
    }
  }
  return (delayMs, task) => {
    if (delayMs === 0 && waiting.length === 0) return task()
    waiting.push({ dueMs: performance.now() + delayMs, task })
    if (waiting.length === 1) next()
  }
}
