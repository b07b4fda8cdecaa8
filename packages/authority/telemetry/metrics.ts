/** Metrics in Prometheus form. Every name is here; docs/metrics.md says what each tells a person on call. */
import { Counter, Gauge, Histogram, Registry } from 'prom-client'

/** What the parts call when something happened. Plain functions, so that no part knows of Prometheus. */
export interface Telemetry {
  /** A token response was sent. `grant` is the grant_type, `seconds` from request to answer. */
  issued(grant: string, seconds: number): void
  /** A refresh ended: `rotated`, `repeated`, `refused` or `reuse`. */
  refreshed(outcome: string): void
  /** A request was refused: which endpoint, which reason (a closed set of words). */
  refused(endpoint: string, reason: string): void
  /** A revocation was acknowledged, `seconds` after it was asked for. */
  revoked(kind: string, seconds: number): void
  /** A batch of the log reached this node's feed, `seconds` after its commit. */
  fedForward(entries: number, seconds: number): void
  /** Entries of the log were learned `seconds` after their commit: from this node's own `commit`, from a `wake_up` or by a `poll`. */
  learned(by: string, seconds: number): void
  /** A batch went to NATS: `kept` by the stream, `known` to it already, or only `told` to those who listen. */
  carried(how: string): void
  /** A request to the door was answered. */
  answered(route: string, method: string, status: number, seconds: number): void
  /** Entries of another region were taken over; of them `covered` came late. */
  takenOver(region: string, entries: number, covered: number): void
  /** A request was passed on to another region: `answered`, `unknown` there, or `failed`. */
  forwarded(region: string, outcome: string): void
  /** A piece of a batch was done: so many targets moved, so many needed nothing. */
  batched(action: string, moved: number, unmoved: number): void
  /** A sign-in ended: `succeeded` or the reason it was refused. */
  signedIn(outcome: string): void
}

/** Values that are read when somebody asks. */
export interface Gauges {
  /** Whether wake-ups of other nodes arrive. */
  busLinked(): boolean
  /** Readers on the feed of this node. */
  feedReaders(): number
  /** Milliseconds that this node's own knowledge of revocations is old. */
  stalenessMs(): number
  /** Entries held. */
  registryEntries(): number
  /** Last sequence number applied here. */
  sequence(): number
  /** The other regions. */
  regions(): readonly { readonly name: string; readonly ageMs: number; readonly clockOffsetMs: number | undefined }[]
  /** Milliseconds since each task of the node ended well. */
  taskAges(): ReadonlyMap<string, number>
  /** Transactions waiting for a commit. */
  storeQueue(): Promise<number>
  /** Seconds since the active signing key became active. */
  keyAgeSeconds(): number
  /** Batches by state. */
  batches(): Promise<Readonly<Record<string, number>>>
  /** What readiness is judged by. */
  checks(): Promise<readonly { readonly name: string; readonly state: string }[]>
  /** This node's clock minus the store's; undefined until it was measured. */
  clockOffsetMs(): number | undefined
}

/** Somebody on call looks at the others while the store, say, answers nobody. */
const READ_WITHIN_MS = 1000

async function readable<T>(read: () => T | Promise<T>): Promise<T | undefined> {
  const late = Promise.withResolvers<undefined>()
  const timer = setTimeout(() => late.resolve(undefined), READ_WITHIN_MS)
  try {
    return await Promise.race([read(), late.promise])
  } catch {
    return undefined
  } finally {
    clearTimeout(timer)
  }
}

const FAST = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5]

export function createMetrics(): Telemetry & { readonly registry: Registry; bind(gauges: Gauges): void } {
  const registry = new Registry()
  const registers = [registry]
  const issued = new Histogram({
    name: 'signet_issuance_seconds',
    help: 'Time to answer a successful token request.',
    labelNames: ['grant'],
    buckets: FAST,
    registers,
  })
  const refreshed = new Counter({
    name: 'signet_refresh_total',
    help: 'Refresh requests by outcome.',
    labelNames: ['outcome'],
    registers,
  })
  const refused = new Counter({
    name: 'signet_refusals_total',
    help: 'Refused requests by endpoint and reason.',
    labelNames: ['endpoint', 'reason'],
    registers,
  })
  const revoked = new Histogram({
    name: 'signet_revocation_seconds',
    help: 'Time from request to durable acknowledgment of a revocation.',
    labelNames: ['kind'],
    buckets: FAST,
    registers,
  })
  const propagation = new Histogram({
    name: 'signet_propagation_seconds',
    help: 'Time from commit of a revocation to its leaving on the feed of this node.',
    buckets: FAST,
    registers,
  })
  const learned = new Histogram({
    name: 'signet_log_delay_seconds',
    help: 'Time from commit of a revocation to this node knowing it, by what told it: its own commit, a wake-up of the bus, or a poll.',
    labelNames: ['by'],
    buckets: FAST,
    registers,
  })
  const entries = new Counter({ name: 'signet_feed_entries_total', help: 'Revocation entries sent on the feed.', registers })
  const carried = new Counter({
    name: 'signet_feed_carried_total',
    help: 'Batches of the feed published on NATS, by what became of them.',
    labelNames: ['outcome'],
    registers,
  })
  const answered = new Histogram({
    name: 'signet_http_request_seconds',
    help: 'Time to answer a request.',
    labelNames: ['route', 'method', 'status'],
    buckets: FAST,
    registers,
  })
  const batched = new Counter({
    name: 'signet_batch_entries_total',
    help: 'Targets that batches came to on this node, by action and by whether they were moved.',
    labelNames: ['action', 'moved'],
    registers,
  })
  const signedIn = new Counter({ name: 'signet_signin_total', help: 'Sign-ins by outcome.', labelNames: ['outcome'], registers })
  const takenOver = new Counter({
    name: 'signet_region_entries_total',
    help: "Entries of another region's log taken over; `late` ones had to be covered.",
    labelNames: ['region', 'arrived'],
    registers,
  })
  const forwarded = new Counter({
    name: 'signet_region_forwards_total',
    help: 'Requests passed on to the region where their token may live.',
    labelNames: ['region', 'outcome'],
    registers,
  })
  // Looked up by their labels once, since that costs more than to count. Routes, methods and statuses are few.
  const answeredBy = remembered((route: string, method: string, status: number) => answered.labels({ route, method, status }))
  const issuedBy = remembered((grant: string) => issued.labels({ grant }))
  const refreshedBy = remembered((outcome: string) => refreshed.labels({ outcome }))
  return {
    registry,
    forwarded: (region, outcome) => forwarded.inc({ region, outcome }),
    takenOver(region, count, covered) {
      takenOver.inc({ region, arrived: 'in_time' }, count - covered)
      takenOver.inc({ region, arrived: 'late' }, covered)
    },
    issued: (grant, seconds) => issuedBy(grant).observe(seconds),
    refreshed: (outcome) => refreshedBy(outcome).inc(),
    refused: (endpoint, reason) => refused.inc({ endpoint, reason }),
    revoked: (kind, seconds) => revoked.observe({ kind }, seconds),
    fedForward: (count, seconds) => {
      entries.inc(count)
      propagation.observe(seconds)
    },
    learned: (by, seconds) => learned.observe({ by }, seconds),
    carried: (outcome) => carried.inc({ outcome }),
    answered: (route, method, status, seconds) => answeredBy(route, method, status).observe(seconds),
    batched: (action, moved, unmoved) => {
      if (moved > 0) batched.inc({ action, moved: 'yes' }, moved)
      if (unmoved > 0) batched.inc({ action, moved: 'no' }, unmoved)
    },
    signedIn: (outcome) => signedIn.inc({ outcome }),
    bind: (gauges) => {
      const gauge = (name: string, help: string, read: () => number | Promise<number>) => {
        new Gauge({
          name,
          help,
          registers,
          async collect() {
            this.set((await readable(read)) ?? Number.NaN)
          },
        })
      }
      gauge('signet_bus_linked', 'Whether wake-ups of other nodes arrive here: 1 or 0.', () => (gauges.busLinked() ? 1 : 0))
      const ofRegions = (name: string, help: string, read: (region: ReturnType<Gauges['regions']>[number]) => number) => {
        new Gauge({
          name,
          help,
          labelNames: ['region'],
          registers,
          collect() {
            for (const region of gauges.regions()) this.set({ region: region.name }, read(region))
          },
        })
      }
      ofRegions('signet_region_age_seconds', "Age of what is known of another region's log.", ({ ageMs }) => ageMs / 1000)
      ofRegions('signet_region_clock_offset_seconds', "Another region's store clock minus ours.", (region) =>
        region.clockOffsetMs === undefined ? Number.NaN : region.clockOffsetMs / 1000,
      )
      new Gauge({
        name: 'signet_batches',
        help: 'Batches by state.',
        labelNames: ['state'],
        registers,
        async collect() {
          for (const [state, count] of Object.entries((await readable(gauges.batches)) ?? {})) this.set({ state }, count)
        },
      })
      new Gauge({
        name: 'signet_check_failed',
        help: 'Whether this check of readiness fails: 1 or 0.',
        labelNames: ['check'],
        registers,
        async collect() {
          const found = (await readable(gauges.checks)) ?? [{ name: 'checks', state: 'failed' }]
          this.reset()
          for (const { name, state } of found) this.set({ check: name }, state === 'failed' ? 1 : 0)
        },
      })
      new Gauge({
        name: 'signet_task_age_seconds',
        help: 'Time since this task of the node ended well.',
        labelNames: ['task'],
        registers,
        collect() {
          for (const [task, ageMs] of gauges.taskAges()) this.set({ task }, ageMs / 1000)
        },
      })
      gauge(
        'signet_clock_offset_seconds',
        "This node's clock minus the store's.",
        () => (gauges.clockOffsetMs() ?? Number.NaN) / 1000,
      )
      gauge('signet_feed_readers', 'Readers on the feed of this node.', gauges.feedReaders)
      gauge('signet_staleness_seconds', "Age of this node's own knowledge of revocations.", () => gauges.stalenessMs() / 1000)
      gauge('signet_registry_entries', 'Revocations held in memory.', gauges.registryEntries)
      gauge('signet_sequence', 'Last sequence number of the revocation log applied here.', gauges.sequence)
      gauge('signet_store_queue', 'Transactions waiting for a commit.', gauges.storeQueue)
      gauge('signet_signing_key_age_seconds', 'Age of the active signing key.', gauges.keyAgeSeconds)
    },
  }
}

/** The same answer for the same words. */
function remembered<Words extends readonly (string | number)[], T>(find: (...words: Words) => T): (...words: Words) => T {
  const known = new Map<string, T>()
  return (...words) => {
    const name = words.join(' ')
    let found = known.get(name)
    if (found === undefined) {
      found = find(...words)
      known.set(name, found)
    }
    return found
  }
}
