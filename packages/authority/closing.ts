/** How a node ends: what was opened is closed the other way round, load balancers are given time, requests a last moment. */
import type { Timers } from '@signet/kernel/surroundings.ts'
import type { FastifyInstance } from 'fastify'

/** What was opened, closed the other way round. */
export function createClosing() {
  const closers: (() => unknown)[] = []
  const closing = {
    begun: false,
    add: (close: () => unknown) => void closers.push(close),
    async run(): Promise<void> {
      closing.begun = true
      for (let close = closers.pop(); close !== undefined; close = closers.pop()) await close()
    },
  }
  return closing
}

/** A request has so long to end when the node stops; then its connection is cut. */
const LAST_REQUEST_MS = 10_000

export async function closeInTime(app: FastifyInstance, timers: Timers): Promise<void> {
  const late = timers.after(LAST_REQUEST_MS, () => app.server.closeAllConnections())
  await app.close()
  late.cancel()
}

export async function drained(milliseconds: number, timers: Timers, now?: AbortSignal): Promise<void> {
  if (milliseconds === 0 || now?.aborted === true) return
  await new Promise<void>((resolve) => {
    const timer = timers.after(milliseconds, resolve)
    now?.addEventListener('abort', () => {
      timer.cancel()
      resolve()
    })
  })
}
