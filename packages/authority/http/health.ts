/**
 * Liveness, readiness with reasons, and metrics. Liveness says that the process answers at all; readiness says that it can
 * do its job, and if not, why. Details and metrics are on the operations address only: they are for people on call.
 */
import type { FastifyInstance } from 'fastify'
import type { Registry } from 'prom-client'

/** One thing that a node needs. `ok: false` makes the node unready; `warn` only asks for attention. */
export interface Check {
  readonly name: string
  readonly state: 'ok' | 'warn' | 'failed'
  /** What is wrong and what to do, without personal data. */
  readonly detail?: string
  readonly value?: number | string
}

export interface HealthParts {
  /** Runs every check; bounded in time by the caller's patience of 2 s. */
  checks(): Promise<readonly Check[]>
  readonly metrics: Registry
}

/** On the public address: yes or no, nothing else. */
export function publicHealthRoutes(app: FastifyInstance, parts: HealthParts): void {
  app.get('/healthz', async (_request, reply) => reply.header('cache-control', 'no-store').send({ status: 'ok' }))
  app.get('/readyz', async (_request, reply) => {
    const ready = isReady(await patient(parts.checks()))
    if (!ready) reply.header('retry-after', '1')
    return reply
      .code(ready ? 200 : 503)
      .header('cache-control', 'no-store')
      .send({ status: ready ? 'ready' : 'unready' })
  })
}

/** On the operations address: reasons and metrics too. */
export function operationsRoutes(app: FastifyInstance, parts: HealthParts): void {
  app.get('/healthz', async () => ({ status: 'ok' }))
  app.get('/readyz', async (_request, reply) => {
    const checks = await patient(parts.checks())
    const ready = isReady(checks)
    return reply.code(ready ? 200 : 503).send({ status: ready ? 'ready' : 'unready', checks })
  })
  app.get('/metrics', async (_request, reply) => reply.type(parts.metrics.contentType).send(await parts.metrics.metrics()))
}

export const isReady = (checks: readonly Check[]): boolean => checks.every((check) => check.state !== 'failed')

const PATIENCE_MS = 2000

/** A check that hangs is a check that failed. */
export async function patient(checks: Promise<readonly Check[]>): Promise<readonly Check[]> {
  const { promise, resolve } = Promise.withResolvers<readonly Check[]>()
  const timer = setTimeout(
    () => resolve([{ name: 'checks', state: 'failed', detail: `no answer within ${PATIENCE_MS} ms` }]),
    PATIENCE_MS,
  )
  try {
    return await Promise.race([checks, promise])
  } catch {
    return [{ name: 'checks', state: 'failed', detail: 'could not be run' }]
  } finally {
    clearTimeout(timer)
  }
}
