/** Health and metrics of a relay, on an address of their own: for people on call and what alarms them. */
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Validator } from '@signet/validator/index.ts'
import type { RelayStats } from './relayed-feed.ts'

export interface RelayMetricsParts {
  stats(): RelayStats
  readonly validator: Pick<Validator, 'stats'>
  ready(): boolean
}

/** Name, kind, help. Times are seconds, as Prometheus likes them. */
export const RELAY_METRICS = [
  ['signet_relay_staleness_seconds', 'gauge', 'How old the knowledge of the relay is; +Inf when it never was complete'],
  ['signet_relay_sequence', 'gauge', 'Last number of the revocation log that was applied'],
  ['signet_relay_hops', 'gauge', 'Relays between its readers and the authority, itself included'],
  ['signet_relay_readers', 'gauge', 'Streams that are open'],
  ['signet_relay_readers_dropped_total', 'counter', 'Streams that were ended because their reader was too slow'],
  ['signet_relay_registry_entries', 'gauge', 'Revocations held'],
  ['signet_relay_upstream_streams_total', 'counter', 'Streams opened to the upstream'],
  ['signet_relay_upstream_resyncs_total', 'counter', 'Times the place in the upstream was lost'],
] as const

export function relayMetrics(parts: RelayMetricsParts): (request: IncomingMessage, response: ServerResponse) => void {
  return (request, response) => {
    const path = request.url?.split('?', 1)[0]
    if (path === '/metrics') return void response.writeHead(200, { 'content-type': 'text/plain; version=0.0.4' }).end(text(parts))
    if (path === '/healthz') return void response.writeHead(200, JSON_TYPE).end('{"status":"ok"}')
    if (path !== '/readyz') return void response.writeHead(404).end()
    const { position, stalenessMs, hops } = parts.stats()
    const isReady = parts.ready()
    const about = { status: isReady ? 'ready' : 'unready', position, staleness_ms: finite(stalenessMs), hops }
    response.writeHead(isReady ? 200 : 503, JSON_TYPE).end(JSON.stringify(about))
  }
}

const JSON_TYPE = { 'content-type': 'application/json' }
const finite = (milliseconds: number): number | null => (Number.isFinite(milliseconds) ? Math.round(milliseconds) : null)

function text({ stats, validator }: RelayMetricsParts): string {
  const { position, stalenessMs, hops, readers, dropped } = stats()
  const { revocations, streams, resyncs } = validator.stats()
  const seconds = Number.isFinite(stalenessMs) ? stalenessMs / 1000 : '+Inf'
  const values = [seconds, position?.seq ?? 0, hops, readers, dropped, revocations, streams, resyncs]
  return RELAY_METRICS.map(
    ([name, kind, help], i) => `# HELP ${name} ${help}\n# TYPE ${name} ${kind}\n${name} ${values[i]}\n`,
  ).join('')
}
