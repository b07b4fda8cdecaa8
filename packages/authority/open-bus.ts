/** The bus as configured, with the link it may stand on. A driver is loaded where it is used, not to weigh on every node. */
import { readFileSync } from 'node:fs'
import type { Bus } from '@signet/bus/bus.ts'
import { createInProcessBus } from '@signet/bus/in-process.ts'
import { natsNames } from '@signet/kernel/nats.ts'
import type { Surroundings } from '@signet/kernel/surroundings.ts'
import type { Config } from './config.ts'
import type { Log } from './telemetry/log.ts'

export async function openBus(
  config: Pick<Config, 'bus' | 'issuer'>,
  surroundings: Surroundings,
  log: Log,
): Promise<{ readonly bus: Bus; close(): Promise<void> }> {
  const told = (up: boolean, cause?: unknown) =>
    up ? log.info('the bus is up') : log.warn({ err: cause }, 'the bus is down; the log is polled')
  if (config.bus.engine === 'in-process') return owned(createInProcessBus(surroundings))
  if (config.bus.engine === 'postgres') {
    const { createPostgresBus } = await import('@signet/bus/postgres.ts')
    return owned(createPostgresBus({ url: config.bus.url, surroundings, observe: { link: told } }))
  }
  const [{ createNatsBus }, { openNatsLink }] = await Promise.all([
    import('@signet/bus/nats.ts'),
    import('@signet/bus/nats-link.ts'),
  ])
  const { servers, credentialsFile, caFile } = config.bus
  const link = openNatsLink(
    {
      servers,
      ...(credentialsFile === undefined ? {} : { credentials: () => readFileSync(credentialsFile, 'utf8') }),
      ...(caFile === undefined ? {} : { ca: readFileSync(caFile, 'utf8') }),
    },
    surroundings,
  )
  link.follow((connection, cause) => told(connection !== undefined, cause))
  const bus = createNatsBus({ link, name: natsNames(config.issuer).wake, timers: surroundings.timers })
  return {
    bus,
    async close() {
      await bus.close()
      await link.close()
    },
  }
}

const owned = (bus: Bus) => ({ bus, close: () => bus.close() })
