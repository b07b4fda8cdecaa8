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

/** The server closes connections that are idle when it is told to; one whose last answer was under way then would stay open, for a next request. */
const LOOK_FOR_IDLE_MS = 50

export async function closeInTime(app: FastifyInstance, timers: Timers): Promise<void> {
  const late = timers.after(LAST_REQUEST_MS, () => app.server.closeAllConnections())
  let look = timers.after(LOOK_FOR_IDLE_MS, function closeIdle() {
    app.server.closeIdleConnections()
    look = timers.after(LOOK_FOR_IDLE_MS, closeIdle)
  })
  await app.close()
  look.cancel()
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
