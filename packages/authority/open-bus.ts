/**
 * The bus as configured and, on NATS, the stream that the feed is carried to. A driver is loaded where it is used, not to weigh on every
 * node.
 */
import { readFileSync } from 'node:fs'
import type { Bus } from '@signet/bus/bus.ts'
import { createInProcessBus } from '@signet/bus/in-process.ts'
import { natsNames } from '@signet/kernel/nats.ts'
import type { Surroundings } from '@signet/kernel/surroundings.ts'
import type { Config } from './config.ts'
import type { CarrierStream } from './revocation/feed-carrier.ts'
import type { Log } from './telemetry/log.ts'

export async function openBus(
  config: Pick<Config, 'bus' | 'issuer'>,
  surroundings: Surroundings,
  log: Log,
): Promise<{ readonly bus: Bus; readonly feedStream?: CarrierStream; close(): Promise<void> }> {
  const told = (up: boolean, cause?: unknown) =>
    up ? log.info('the bus is up') : log.warn({ err: cause }, 'the bus is down; the log is polled')
  if (config.bus.engine === 'in-process') return owned(createInProcessBus(surroundings))
  if (config.bus.engine === 'postgres') {
    const { createPostgresBus } = await import('@signet/bus/postgres.ts')
    return owned(createPostgresBus({ url: config.bus.url, surroundings, observe: { link: told } }))
  }
  const [{ createNatsBus }, { openNatsLink }, { createNatsFeedStream }] = await Promise.all([
    import('@signet/bus/nats.ts'),
    import('@signet/bus/nats-link.ts'),
    import('@signet/bus/nats-feed.ts'),
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
  const names = natsNames(config.issuer)
  const bus = createNatsBus({ link, name: names.wake, ...surroundings })
  const kept = {
    kept: () => log.info('NATS keeps the feed'),
    notKept: (cause: unknown) => log.warn({ err: cause }, 'NATS does not keep the feed; who misses a batch takes it over HTTP'),
  }
  const stream = createNatsFeedStream({ link, names, surroundings, observe: kept })
  const listeners = new Set<{ readonly committed: () => void }>()
  return {
    bus: {
      ...bus,
      publish(subject, along) {
        bus.publish(subject, along)
        if (subject === 'revocations') for (const { committed } of listeners) committed()
      },
    },
    feedStream: {
      ...stream,
      onCommitted(committed) {
        const listener = { committed }
        listeners.add(listener)
        return { stop: () => void listeners.delete(listener) }
      },
    },
    async close() {
      await bus.close()
      await link.close()
    },
  }
}

const owned = (bus: Bus) => ({ bus, close: () => bus.close() })
