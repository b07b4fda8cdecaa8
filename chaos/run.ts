/** Faults on one store, mostly one: a cluster of its own under load, round after round, then everything that must still be true, and the verdict. */
import { chmod, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Breach, check } from './checker.ts'
import { ageOf, type Cluster, type Engine, startCluster } from './cluster.ts'
import type { Fact } from './facts.ts'
import type { Fault, Prepared } from './faults/fault.ts'
import { type Figures, measure } from './figures.ts'
import type { Janitor } from './janitor.ts'
import { createRecorder } from './recorder.ts'
import { startWorkload, type Workload } from './workload.ts'

export interface Run {
  readonly name: string
  /** In turn, round by round. */
  readonly faults: readonly Fault[]
  readonly engine: Engine
  readonly rounds: number
  readonly validators: number
  readonly janitor: Janitor
}

export interface RunResult {
  readonly fault: string
  readonly engine: Engine
  readonly rounds: number
  readonly breaches: readonly Breach[]
  readonly figures: Figures
  /** Where the history lies, when something was found. */
  readonly history: string | undefined
}

/** Unless a fault says otherwise. */
const WELL_WITHIN_MS = 10_000
/** A validator that is well has proven so much of its knowledge. */
const FRESH_MS = 1500
const ROUNDING_MS = 2

export async function runFaults({ name, faults, engine, rounds, validators, janitor }: Run): Promise<RunResult> {
  const directory = await mkdtemp(join(tmpdir(), 'signet-chaos-'))
  const forget = janitor.add('directory', directory)
  await chmod(directory, 0o711) // PostgreSQL, which does not run as root, may have its files within.
  const recorder = createRecorder(join(directory, 'history.jsonl'))
  recorder.note({ is: 'begun', roundingMs: ROUNDING_MS, mintStalenessMs: 1000 })
  const prepared: Prepared[] = []
  for (const { prepare } of faults) if (prepare !== undefined) prepared.push(await prepare({ directory, engine, janitor }))
  const options = Object.assign({}, ...prepared.map((one) => one.options)) as Prepared['options']
  const cluster = await startCluster({ engine, validators, recorder, janitor, directory, ...options })
  let workload: Workload | undefined
  try {
    workload = await startWorkload(cluster)
    await untilWell(cluster, workload, 60_000)
    for (const { begin } of faults) await begin?.(cluster)
    for (let round = 0; round < rounds; round++)
      await runRound(cluster, workload, faults[round % faults.length] as Fault, round, faults.length)
    await workload.stop()
    await lookAtTheEnd(cluster, workload)
  } finally {
    await workload?.stop().catch(() => {})
    await cluster.close()
    for (const one of prepared) await one.close?.()
    await recorder.close()
  }
  const breaches = check(recorder.facts)
  if (breaches.length > 0) forget()
  else {
    await rm(directory, { recursive: true, force: true })
    forget()
  }
  const starts = cluster.nodes.flatMap((node) => node.starts)
  return {
    fault: name,
    engine,
    rounds,
    breaches,
    figures: measure(recorder.facts, starts),
    history: breaches.length > 0 ? directory : undefined,
  }
}

async function runRound(cluster: Cluster, workload: Workload, fault: Fault, round: number, kinds: number): Promise<void> {
  const turn = Math.floor(round / kinds)
  const { recorder } = cluster.surroundings
  await wait(50 + Math.random() * 200)
  recorder.note({ is: 'fault', round, phase: 'injected', name: fault.name })
  await fault.inject(cluster, turn)
  const [least, most] = fault.lastsMs
  await wait(least + Math.random() * (most - least))
  await fault.heal(cluster, turn)
  const healedAt = recorder.note({ is: 'fault', round, phase: 'healed', name: fault.name })
  const withinMs = fault.wellWithinMs ?? WELL_WITHIN_MS
  const { missing, last } = await untilWell(cluster, workload, withinMs)
  recorder.note({ is: 'well', round, tookMs: Math.round(recorder.now() - healedAt), withinMs, missing, last })
  await fault.after?.(cluster)
}

const wait = (milliseconds: number) => new Promise<void>((resolve) => setTimeout(resolve, milliseconds))

/** Every node does its job, every validator knows all that was acknowledged, tokens are issued. Who is not when the time is over, or was the last. */
async function untilWell(cluster: Cluster, workload: Workload, withinMs: number): Promise<{ missing: string; last: string }> {
  let last = ''
  const until = performance.now() + withinMs
  const lacking = new Set<string>(['issuing', ...cluster.nodes.map(({ proc }) => proc.name)])
  const head = lastAcknowledged(cluster.surroundings.recorder.facts)
  for (;;) {
    for (const node of cluster.nodes) if (lacking.has(node.proc.name) && (await node.ready())) lacking.delete(node.proc.name)
    if (lacking.has('issuing') && (await workload.requests.machine(workload.machine)).status === 200) lacking.delete('issuing')
    const behind = cluster.watchers.filter(({ proc }, index) => !proc.running || !isCurrent(cluster, index, head))
    if (lacking.size === 0 && behind.length === 0) return { missing: '', last }
    last = [...lacking, ...behind.map(({ proc }) => proc.name)].join(', ')
    if (performance.now() > until) return { missing: last, last }
    await wait(30)
  }
}

function isCurrent(cluster: Cluster, index: number, head: { epoch: string; seq: number } | undefined): boolean {
  const watcher = cluster.watchers[index] as Cluster['watchers'][number]
  if (ageOf(watcher) > FRESH_MS) return false
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
  await untilWell(cluster, workload, WELL_WITHIN_MS)
  const tokens = [...workload.tokens].slice(-LAST_TOKENS).map(([name, { token }]) => ({ name, token }))
  await Promise.all(cluster.watchers.map((watcher) => watcher.lastWords(tokens)))
  for (const holding of workload.ended.slice(-LAST_REFRESHES)) await workload.requests.refresh(workload.shop, holding, 'revoked')

  const entries: { seq: number; kind: string; target: string }[] = []
  let head: { epoch: string; floor: number } | undefined
  for (let after: number | undefined = 0; after !== undefined; ) {
    const page: {
      items: readonly { seq: number; kind: string; target: string }[]
      next?: number | undefined
      head: typeof head
    } = await admin.call('listRevocations', { query: { after, limit: 500 } })
    head = page.head
    entries.push(...page.items.map(({ seq, kind, target }) => ({ seq, kind, target })))
    after = page.next
  }
  recorder.note({ is: 'log', epoch: head?.epoch ?? '', floor: head?.floor ?? 0, entries })
  let verified: { sound?: boolean } = {}
  for await (const line of admin.stream('verifyAudit')) verified = line as typeof verified
  recorder.note({ is: 'audit', sound: verified.sound === true, detail: JSON.stringify(verified) })
  for (const [token] of [...workload.tokens].slice(-LINEAGES)) {
    const found = await admin.call('showLineage', { params: { id: token } }).then(
      () => true,
      () => false,
    )
    recorder.note({ is: 'lineage', token, found })
  }
}
