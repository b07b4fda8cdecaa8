/**
 * Two regions of one issuer in this process, each with a store of its own, linked both ways through networks that can be cut. `west` is
 * where the story begins; `east` is the other.
 */
import type { ClientId } from '@signet/kernel/ids.ts'
import { Secret } from '@signet/kernel/secret.ts'
import { startTestAuthority, TEST_SECRET, type TestAuthority, type TestAuthorityOptions } from './authority.ts'
import { freePort } from './free-port.ts'
import { startTcpProxy, type TcpProxy } from './tcp-proxy.ts'
import { until } from './until.ts'

export interface TwoRegions {
  readonly west: TestAuthority
  readonly east: TestAuthority
  /** The network over which `east` reaches `west`, and the other way round. */
  readonly toWest: TcpProxy
  readonly toEast: TcpProxy
  cut(): void
  heal(): void
  /** Resolves when each knows all that the other had when this was called. */
  settled(): Promise<void>
  /** Stops `east` and starts it again on what it kept. */
  restartEast(meanwhile?: () => Promise<void>): Promise<void>
  close(): Promise<void>
}

export interface RegionsOptions {
  readonly west?: TestAuthorityOptions
  readonly east?: TestAuthorityOptions
  readonly insecureIgnorePeerStaleness?: boolean
  /** Whether to wait until the regions follow each other; default true. */
  readonly linked?: boolean
}

const ISSUER = 'https://auth.example'

export async function startTwoRegions(options: RegionsOptions = {}): Promise<TwoRegions> {
  const masterKey = new Uint8Array(32).fill(7)
  const ports = { west: await freePort('localhost'), east: await freePort('localhost') }
  const toWest = await startTcpProxy(ports.west)
  const toEast = await startTcpProxy(ports.east)
  const start = (name: 'west' | 'east', other: 'west' | 'east', proxy: TcpProxy, own: TestAuthorityOptions | undefined) =>
    startTestAuthority({
      issuer: ISSUER,
      masterKey,
      port: ports[name],
      ...own,
      region: {
        name,
        peers: [
          {
            name: other,
            url: `http://localhost:${proxy.port}`,
            clientSecret: new Secret(TEST_SECRET),
          },
        ],
        insecureIgnorePeerStaleness: options.insecureIgnorePeerStaleness ?? false,
      },
    })
  const west = await start('west', 'east', toEast, options.west)
  let east = await start('east', 'west', toWest, options.east)
  const link = {
    platform: 'service',
    scopes: ['signet:region'],
    resources: [ISSUER],
    grantTypes: ['client_credentials'],
  } as const
  await west.addClient({ ...link, id: 'region-east' as ClientId })
  await east.addClient({ ...link, id: 'region-west' as ClientId })

  const two: TwoRegions = {
    west,
    get east() {
      return east
    },
    toWest,
    toEast,
    cut() {
      toWest.cut()
      toEast.cut()
    },
    heal() {
      toWest.heal()
      toEast.heal()
    },
    async settled() {
      await Promise.all([knowsAll(west), knowsAll(east)])
    },
    async restartEast(meanwhile) {
      await east.close()
      await meanwhile?.()
      east = await start('east', 'west', toWest, options.east)
    },
    async close() {
      await Promise.all([west.close(), east.close()])
      await Promise.all([toWest.close(), toEast.close()])
    },
  }
  if (options.linked !== false) await two.settled()
  return two
}

/** Waits for a whole answer to a question that was asked after now. */
export async function knowsAll(region: TestAuthority): Promise<void> {
  const since = performance.now()
  await until(() => {
    const age = region.regions?.ageMs() ?? 0
    return performance.now() - age > since
  })
  await region.registry.lookNow()
}
