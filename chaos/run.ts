/** Faults on one store, mostly one: a cluster of its own under load, round after round, then everything that must still be true, and the verdict. */
import { chmod, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { ApiError } from '@signet/api/errors.ts'
import { type Breach, check } from './checker.ts'
import { ageOf, type Cluster, type Engine, startCluster } from './cluster.ts'
import type { Fact } from './facts.ts'
import type { Fault, Prepared } from './faults/fault.ts'
import { type Figures, measure } from './figures.ts'
import { insist } from './insist.ts'
import { startJanitor } from './janitor.ts'
import { createRecorder, machineMs } from './recorder.ts'
import { within } from './within.ts'
import { startWorkload, type Workload } from './workload.ts'

export interface Run {
  readonly name: string
  /** In turn, round by round. */
  readonly faults: readonly Fault[]
  readonly engine: Engine
  /** At most. */
  readonly rounds: number
  /** By `performance.now()`: no round but the first begins later. */
  readonly untilMs?: number
  readonly validators: number
  /** Everybody has at least so long to be well again, milliseconds, whatever the fault says: where it is not measured how long that takes. */
  readonly wellWithinMs?: number
  /** The history also of a run without a breach. */
  readonly keep?: boolean
}

export interface RunResult {
  readonly fault: string
  readonly engine: Engine
  /** Those that were gone through. */
  readonly rounds: number
  readonly breaches: readonly Breach[]
  readonly figures: Figures
  /** Rounds of which nothing is known, since the harness itself failed. */
  readonly failures: readonly Failure[]
  /** Where the histories lie that were kept. */
  readonly histories: readonly string[]
  /** Milliseconds: to set clusters up, to go through the rounds, to look at the end and tear down. */
  readonly tookMs: { readonly setUp: number; readonly rounds: number; readonly end: number }
}

export interface Failure {
  readonly round: number
  readonly reason: string
}

/** Unless a fault says otherwise. */
const WELL_WITHIN_MS = 10_000
/** A validator that is well has proven so much of its knowledge. */
const FRESH_MS = 1500
const ROUNDING_MS = 2
/** A harness that fails so often with one fault leaves it at that. */
const MAX_FAILURES = 3
/** No step takes as long, on whatever machine. */
const SET_UP_WITHIN_MS = 120_000
const STEP_WITHIN_MS = 60_000

/** A round in which the harness fails ends its cluster, and the next begins with a new one. */
export async function runFaults(run: Run): Promise<RunResult> {
  const stretches: Stretch[] = []
  const failures: Failure[] = []
  let round = 0
  while (round < run.rounds && failures.length < MAX_FAILURES && (round === 0 || performance.now() < (run.untilMs ?? Infinity))) {
    const stretch = await runStretch(run, round)
    stretches.push(stretch)
    round += stretch.rounds
    if (stretch.failed === undefined) continue
    failures.push({ round, reason: stretch.failed })
    round++
  }
  const sum = (of: (stretch: Stretch) => number) => stretches.reduce((total, stretch) => total + of(stretch), 0)
  return {
    fault: run.name,
    engine: run.engine,
    rounds: sum(({ rounds }) => rounds),
    breaches: stretches.flatMap(({ breaches }) => breaches),
    figures: {
      rounds: stretches.flatMap(({ figures }) => figures.rounds),
      requests: sum(({ figures }) => figures.requests),
      errors: sum(({ figures }) => figures.errors),
      revocations: sum(({ figures }) => figures.revocations),
      verdicts: sum(({ figures }) => figures.verdicts),
      startMs: stretches.flatMap(({ figures }) => figures.startMs),
    },
    failures,
    histories: stretches.flatMap(({ history }) => history ?? []),
    tookMs: { setUp: sum(({ setUpMs }) => setUpMs), rounds: sum(({ roundsMs }) => roundsMs), end: sum(({ endMs }) => endMs) },
  }
}

/** What one cluster went through. */
interface Stretch {
  readonly rounds: number
  /** Why the harness could not go on. */
  readonly failed: string | undefined
  readonly breaches: readonly Breach[]
  readonly figures: Figures
  readonly history: string | undefined
  readonly setUpMs: number
  readonly roundsMs: number
  readonly endMs: number
}

async function runStretch(
  { faults, engine, rounds, untilMs = Infinity, validators, wellWithinMs = 0, keep = false }: Run,
  first: number,
): Promise<Stretch> {
  const began = performance.now()
  const janitor = startJanitor() // One for each, so that nothing of this cluster is left for the next, however it ends.
  const directory = await mkdtemp(join(tmpdir(), 'signet-chaos-'))
  const forget = janitor.add('directory', directory)
  await chmod(directory, 0o711) // PostgreSQL, which does not run as root, may have its files within.
  const recorder = createRecorder(join(directory, 'history.jsonl'))
  recorder.note({ is: 'begun', roundingMs: ROUNDING_MS, mintStalenessMs: 1000 })
  const prepared: Prepared[] = []
  let starting: Promise<Cluster> | undefined
  let cluster: Cluster | undefined
  let workload: Workload | undefined
  let failed: string | undefined
  let round = first
  let setAt: number | undefined
  let endedAt: number | undefined
  try {
    for (const { prepare } of faults) if (prepare !== undefined) prepared.push(await prepare({ directory, engine, janitor }))
    const options = Object.assign({}, ...prepared.map((one) => one.options)) as Prepared['options']
    starting = startCluster({ engine, validators, recorder, janitor, directory, ...options })
    cluster = await within(SET_UP_WITHIN_MS, 'to start a cluster', starting)
    workload = await within(SET_UP_WITHIN_MS, 'to start the load', startWorkload(cluster))
    const { missing } = await untilWell(cluster, workload, SET_UP_WITHIN_MS)
    if (missing !== '') throw new Error(`not well before the first fault: ${missing}`)
    for (const { begin } of faults) await within(STEP_WITHIN_MS, 'to begin', begin?.(cluster))
    setAt = performance.now()
    for (; round < rounds && (round === 0 || performance.now() < untilMs); round++)
      await runRound(cluster, workload, faults[round % faults.length] as Fault, { round, kinds: faults.length, wellWithinMs })
    endedAt = performance.now()
    await within(STEP_WITHIN_MS, 'to end the load', workload.stop())
    await within(SET_UP_WITHIN_MS, 'to look at the end', lookAtTheEnd(cluster, workload))
  } catch (error) {
    failed = reasonOf(error)
    recorder.note({ is: 'fault', round, phase: 'abandoned', name: failed })
    if (cluster === undefined) void starting?.then((late) => late.close()).catch(() => {})
  }
  endedAt ??= performance.now()
  const clearUp = async (close: () => unknown) =>
    within(STEP_WITHIN_MS, 'to clear up', close()).catch((error) => {
      failed ??= reasonOf(error)
    })
  await clearUp(() => workload?.stop())
  await clearUp(() => cluster?.close())
  for (const one of prepared) await clearUp(() => one.close?.())
  await clearUp(() => recorder.close())
  const breaches = check(recorder.facts)
  const isKept = breaches.length > 0 || failed !== undefined || keep
  if (isKept) forget()
  else await rm(directory, { recursive: true, force: true })
  await clearUp(() => janitor.close())
  return {
    rounds: round - first,
    failed,
    breaches,
    figures: measure(recorder.facts, cluster?.nodes.flatMap((node) => node.starts) ?? []),
    history: isKept ? directory : undefined,
    setUpMs: (setAt ?? endedAt) - began,
    roundsMs: endedAt - (setAt ?? endedAt),
    endMs: performance.now() - endedAt,
  }
}

/** What went wrong in the harness, in one line. */
export function reasonOf(error: unknown): string {
  const { message = String(error), why } = error as Partial<ApiError>
  return [message, why]
    .filter((part) => part !== undefined)
    .join(': ')
    .replace(/\s+/g, ' ')
    .slice(0, 300)
}

interface Turn {
  readonly round: number
  /** Of faults, which come in turn. */
  readonly kinds: number
  readonly wellWithinMs: number
}

async function runRound(cluster: Cluster, workload: Workload, fault: Fault, { round, kinds, wellWithinMs }: Turn): Promise<void> {
  const turn = Math.floor(round / kinds)
  const { recorder } = cluster.surroundings
  await wait(50 + Math.random() * 200)
  recorder.note({ is: 'fault', round, phase: 'injected', name: fault.name })
  await within(STEP_WITHIN_MS, `to inject ${fault.name}`, fault.inject(cluster, turn))
  const [least, most] = fault.lastsMs
  await wait(least + Math.random() * (most - least))
  await within(STEP_WITHIN_MS, `to end ${fault.name}`, fault.heal(cluster, turn))
  const healedAt = recorder.note({ is: 'fault', round, phase: 'healed', name: fault.name })
  const withinMs = Math.max(wellWithinMs, fault.wellWithinMs ?? WELL_WITHIN_MS)
  const { missing, last } = await untilWell(cluster, workload, withinMs)
  recorder.note({ is: 'well', round, tookMs: Math.round(recorder.now() - healedAt), withinMs, missing, last })
  await within(STEP_WITHIN_MS, `to make ready after ${fault.name}`, fault.after?.(cluster))
  if (workload.broke !== undefined) throw workload.broke
}

const wait = (milliseconds: number) => new Promise<void>((resolve) => setTimeout(resolve, milliseconds))

/**
 * Every node does its job, every validator knows all that was acknowledged, tokens are issued. Who is not when the time is over, or was the last.
 * `sinceMs`, by the machine's clock: validators also know all that was acknowledged without a number by then.
 */
async function untilWell(
  cluster: Cluster,
  workload: Workload,
  withinMs: number,
  sinceMs = Number.NEGATIVE_INFINITY,
): Promise<{ missing: string; last: string }> {
  let last = ''
  const until = performance.now() + withinMs
  const lacking = new Set<string>(['issuing', ...cluster.nodes.map(({ proc }) => proc.name)])
  const head = lastAcknowledged(cluster.surroundings.recorder.facts)
  for (;;) {
    for (const node of cluster.nodes) if (lacking.has(node.proc.name) && (await node.ready())) lacking.delete(node.proc.name)
    if (lacking.has('issuing') && (await workload.requests.machine(workload.machine)).status === 200) lacking.delete('issuing')
    const behind = cluster.watchers.filter(({ proc }, index) => !proc.running || !isCurrent(cluster, index, head, sinceMs))
    if (lacking.size === 0 && behind.length === 0) return { missing: '', last }
    last = [...lacking, ...behind.map(({ proc }) => proc.name)].join(', ')
    if (performance.now() > until) return { missing: last, last }
    await wait(30)
  }
}

function isCurrent(cluster: Cluster, index: number, head: { epoch: string; seq: number } | undefined, sinceMs: number): boolean {
  const watcher = cluster.watchers[index] as Cluster['watchers'][number]
  const age = ageOf(watcher)
  if (age > FRESH_MS || machineMs() - age < sinceMs) return false
  return head === undefined || watcher.latest?.epoch !== head.epoch || watcher.latest.seq >= head.seq
}

function lastAcknowledged(facts: readonly Fact[]): { epoch: string; seq: number } | undefined {
  const last = facts.findLast((fact) => fact.is === 'revoked' && fact.seq !== undefined)
  return last?.is === 'revoked' ? { epoch: last.epoch as string, seq: last.seq as number } : undefined
}

const LAST_TOKENS = 400
const LAST_REFRESHES = 25
const LINEAGES = 10

/** Everybody is asked once more about everything, and the store about its log and its record. */
async function lookAtTheEnd(cluster: Cluster, workload: Workload): Promise<void> {
  const { recorder } = cluster.surroundings
  const { admin } = cluster
  await untilWell(cluster, workload, STEP_WITHIN_MS, machineMs())
  const tokens = [...workload.tokens].slice(-LAST_TOKENS).map(([name, { token }]) => ({ name, token }))
  await Promise.all(cluster.watchers.map((watcher) => watcher.lastWords(tokens)))
  for (const holding of workload.ended.slice(-LAST_REFRESHES)) await workload.requests.refresh(workload.shop, holding, 'revoked')

  const entries: { seq: number; kind: string; target: string }[] = []
  let head: { epoch: string; floor: number } | undefined
  for (let after: number | undefined = 0; after !== undefined; ) {
    const query = { after, limit: 500 }
    const page: {
      items: readonly { seq: number; kind: string; target: string }[]
      next?: number | undefined
      head: typeof head
    } = await insist(() => admin.call('listRevocations', { query }))
    head = page.head
    entries.push(...page.items.map(({ seq, kind, target }) => ({ seq, kind, target })))
    after = page.next
  }
  recorder.note({ is: 'log', epoch: head?.epoch ?? '', floor: head?.floor ?? 0, entries })
  const verified = await insist(async () => {
    let last: { sound?: boolean } = {}
    for await (const line of admin.stream('verifyAudit')) last = line as typeof last
    return last
  })
  recorder.note({ is: 'audit', sound: verified.sound === true, detail: JSON.stringify(verified) })
  for (const [token] of [...workload.tokens].slice(-LINEAGES)) {
    const found = await insist(() =>
      admin.call('showLineage', { params: { id: token } }).then(
        () => true,
        (error: ApiError) => {
          if (error.kind === 'not_found') return false
          throw error
        },
      ),
    )
    recorder.note({ is: 'lineage', token, found })
  }
}
