/** The process in which one benchmark runs. */
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import type { Pace, Row } from './benchmark.ts'
import { BENCHMARKS, type BenchmarkName } from './benchmarks.ts'
import { serveParent } from './child.ts'

export type OneAnswers = {
  run(question: { readonly name: BenchmarkName; readonly pace: Pace; readonly scratch: string }): Promise<readonly Row[]>
}

process.env.NODE_ENV = 'production'
serveParent({
  async run({ name, pace, scratch }) {
    const folder = join(scratch, name)
    mkdirSync(folder)
    const { benchmark } = await BENCHMARKS[name].load()
    return benchmark({ pace, scratch: folder })
  },
} satisfies OneAnswers)
