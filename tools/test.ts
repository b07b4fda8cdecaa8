/**
 * `npm test [-- part-of-a-file-name …]`: the whole suite, or the files whose path contains one of the given texts. Each
 * file runs in a process of its own and must end in time. The last line says how many tests passed, failed and were skipped.
 */
import { globSync, readFileSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { availableParallelism, tmpdir } from 'node:os'
import { join } from 'node:path'
import { styleText } from 'node:util'
import { providePrograms } from './debian.ts'
import { readFlags, refuseUsage } from './flags.ts'
import { type FileResult, killRunningTests, runTestFile, type TestResult } from './test-file.ts'

const PATTERNS = [
  'packages/**/*.test.ts',
  'examples/**/*.test.ts',
  'tools/**/*.test.ts',
  'bench/**/*.test.ts',
  'e2e/**/*.test.ts',
  'sim/**/*.test.ts',
  'chaos/**/*.test.ts',
]
const USAGE = `Usage: npm test [-- part-of-a-path …]

Runs every test file, or those whose path has one of these texts in it: npm test -- store/sqlite e2e/
SIGNET_TEST_JOBS says how many files at once; default one for each core, and fewer for those that start many processes.
`
/** Against what hangs alone: a machine five times slower than ours still ends in time. */
const SECONDS = { light: 900, heavy: 1800 }

process.chdir(join(import.meta.dirname, '..'))
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  process.on(signal, () => {
    killRunningTests()
    process.exit(signal === 'SIGINT' ? 130 : 143)
  })
}
process.exitCode = await main()

async function main(): Promise<number> {
  const { positionals: filters } = readFlags(USAGE, {}, true)
  const files = findTestFiles(filters)
  if (files.length === 0) refuseUsage(`no test file has ${filters.map((filter) => `"${filter}"`).join(' or ')} in its path`)
  const env = await environment(files)
  const scratch = await mkdtemp(join(tmpdir(), 'signet-test-'))
  const began = performance.now()
  const results: FileResult[] = []
  const runAll = (heavy: boolean) =>
    inLanes(
      files.filter((file) => isHeavy(file) === heavy),
      lanes(heavy),
      async (file, index) => {
        const seconds = heavy ? SECONDS.heavy : SECONDS.light
        const events = join(scratch, `${heavy ? 'heavy' : 'light'}-${index}.ndjson`)
        const result = await runTestFile({ file, env, milliseconds: seconds * 1000, events })
        results.push(result)
        printFile(result)
      },
    )
  try {
    await runAll(false)
    await runAll(true)
  } finally {
    await rm(scratch, { recursive: true, force: true })
  }
  return printSummary(results, performance.now() - began)
}

function findTestFiles(filters: readonly string[]): readonly string[] {
  const files = globSync(PATTERNS, { exclude: (path) => path.includes('node_modules') }).map((path) => path.replaceAll('\\', '/'))
  return files.filter((file) => filters.length === 0 || filters.some((filter) => file.includes(filter))).sort()
}

/** Stories with real processes, databases and browsers, and what takes all cores by itself: little may run beside them. */
function isHeavy(file: string): boolean {
  return file.startsWith('e2e/') || file.startsWith('sim/')
}

function lanes(heavy: boolean): number {
  const asked = Number(process.env.SIGNET_TEST_JOBS)
  if (asked >= 1) return Math.floor(asked)
  return heavy ? Math.max(1, Math.floor(availableParallelism() / 4)) : availableParallelism()
}

/** What tests find in their environment. A program is looked for only when a chosen file names it. */
async function environment(files: readonly string[]): Promise<NodeJS.ProcessEnv> {
  const { paths, missing } = await providePrograms(files.map((file) => readFileSync(file, 'utf8')))
  for (const what of missing) console.log(`Tests that need it are skipped: ${what}`)
  return { ...process.env, ...paths }
}

/** Runs `work` on every item, at most `count` at a time, in order of beginning. */
async function inLanes<T>(items: readonly T[], count: number, work: (item: T, index: number) => Promise<void>): Promise<void> {
  let next = 0
  const lane = async () => {
    while (next < items.length) {
      const index = next++
      await work(items[index] as T, index)
    }
  }
  await Promise.all(Array.from({ length: count }, lane))
}

// ── Telling ────────────────────────────────────────────────────────────────────────────────────────────────────────

function count(tests: readonly TestResult[], outcome: TestResult['outcome']): number {
  return tests.filter((test) => test.outcome === outcome).length
}

function printFile({ file, tests, milliseconds }: FileResult): void {
  const failed = count(tests, 'failed')
  const skipped = count(tests, 'skipped')
  const mark = failed > 0 ? styleText('red', '✖') : styleText('green', '✔')
  const counts = [`${count(tests, 'passed')} passed`]
  if (failed > 0) counts.push(styleText('red', `${failed} failed`))
  if (skipped > 0) counts.push(styleText('yellow', `${skipped} skipped`))
  console.log(`${mark} ${file}  ${counts.join(', ')}  ${styleText('dim', `${(milliseconds / 1000).toFixed(1)} s`)}`)
}

/** The exit code. */
function printSummary(results: readonly FileResult[], milliseconds: number): number {
  const all = results.flatMap(({ file, tests }) => tests.map((test) => ({ file, ...test })))
  for (const test of all.filter(({ outcome }) => outcome === 'failed')) {
    console.log(`\n${styleText('red', '✖')} ${test.file} › ${test.name}\n${indent(test.detail ?? '')}`)
  }
  for (const { file, output } of results.filter(({ tests, output }) => output !== '' && count(tests, 'failed') > 0)) {
    console.log(`\n${styleText('dim', `What ${file} printed, its end:`)}\n${indent(output)}`)
  }
  const skips = all.filter(({ outcome }) => outcome === 'skipped')
  if (skips.length > 0) console.log('')
  for (const { file, name, detail } of skips) console.log(`skipped: ${file} › ${name} (${detail ?? 'no reason given'})`)
  for (const { file } of results.filter(({ leftovers }) => leftovers)) console.log(`left processes behind, now ended: ${file}`)

  const [passed, failed, skipped] = [count(all, 'passed'), count(all, 'failed'), skips.length]
  if (all.length === 0) console.log('\nNo test ran.')
  console.log(`\n${results.length} files in ${(milliseconds / 1000).toFixed(0)} s`)
  console.log(`${passed} passed, ${failed} failed, ${skipped} skipped`)
  return failed > 0 || passed === 0 ? 1 : 0
}

function indent(text: string): string {
  return text.replace(/^/gm, '    ')
}
