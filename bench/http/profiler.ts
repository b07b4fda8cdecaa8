/** Where a server's processor time goes: V8's sampling profiler, switched on from outside while the load is there. */
import type { Profiler as Inspected } from 'node:inspector'
import { Session } from 'node:inspector/promises'

export type ProfilerAnswers = {
  startProfile(): Promise<void>
  /** The busiest functions since the start. */
  stopProfile(): Promise<Profile>
}

export interface Profile {
  /** Share of the samples in which the thread had nothing to do. */
  readonly idle: number
  readonly functions: readonly Hot[]
}

export interface Hot {
  /** `name file:line`. */
  readonly name: string
  /** Shares of the busy time: in the function itself, and in all that it called. */
  readonly self: number
  readonly inclusive: number
}

const INTERVAL_MICROSECONDS = 200

export function createProfiler(): ProfilerAnswers {
  const session = new Session()
  return {
    async startProfile() {
      session.connect()
      await session.post('Profiler.enable')
      await session.post('Profiler.setSamplingInterval', { interval: INTERVAL_MICROSECONDS })
      await session.post('Profiler.start')
    },
    async stopProfile() {
      const { profile } = await session.post('Profiler.stop')
      session.disconnect()
      return summarise(profile)
    },
  }
}

type RawProfile = Inspected.StopReturnType['profile']

function summarise({ nodes, samples = [], timeDeltas = [] }: RawProfile): Profile {
  const byId = new Map(nodes.map((node) => [node.id, node]))
  const parents = new Map(nodes.flatMap((node) => (node.children ?? []).map((child) => [child, node.id] as const)))
  const self = new Map<string, number>()
  const inclusive = new Map<string, number>()
  const add = (to: Map<string, number>, name: string, time: number) => to.set(name, (to.get(name) ?? 0) + time)
  let idle = 0
  let busy = 0
  samples.forEach((id, n) => {
    const time = timeDeltas[n] as number
    const node = byId.get(id)
    if (node === undefined) return
    if (node.callFrame.functionName === '(idle)') {
      idle += time
      return
    }
    busy += time
    add(self, nameOf(node), time)
    const seen = new Set<string>()
    for (let at: number | undefined = id; at !== undefined; at = parents.get(at)) {
      const ancestor = byId.get(at)
      if (ancestor !== undefined) seen.add(nameOf(ancestor))
    }
    for (const name of seen) add(inclusive, name, time)
  })
  const functions = [...inclusive].map(([name, time]) => ({
    name,
    self: (self.get(name) ?? 0) / busy,
    inclusive: time / busy,
  }))
  return { idle: idle / (idle + busy), functions }
}

function nameOf({ callFrame }: RawProfile['nodes'][number]): string {
  const { functionName, url, lineNumber } = callFrame
  const file = url.replace(/^file:.*?\/(?=(packages|node_modules|bench)\/)/, '').replace(/^file:.*\//, '')
  return `${functionName || '(anonymous)'}${file === '' ? '' : ` ${file}:${lineNumber + 1}`}`
}
