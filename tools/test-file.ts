/** One test file in a process group of its own: its results, its time limit, and nothing of it left behind. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'

export interface TestResult {
  /** The titles from the outermost suite to the test. */
  readonly name: string
  readonly outcome: 'passed' | 'failed' | 'skipped'
  /** Why it failed, or why it was skipped. */
  readonly detail?: string
}

export interface FileResult {
  readonly file: string
  readonly tests: readonly TestResult[]
  readonly milliseconds: number
  /** The end of what it wrote to standard output and error. */
  readonly output: string
  /** Processes it had started were still there when it ended. */
  readonly leftovers: boolean
}

export interface TestFileRun {
  readonly file: string
  readonly env: NodeJS.ProcessEnv
  readonly milliseconds: number
  /** A scratch file for the reporter's lines. */
  readonly events: string
}

export async function runTestFile({ file, env, milliseconds, events }: TestFileRun): Promise<FileResult> {
  const began = performance.now()
  const reporter = join(import.meta.dirname, 'test-events.ts')
  const args = ['--test-reporter', reporter, '--test-reporter-destination', events, file]
  const child = spawn(process.execPath, args, { env, stdio: ['ignore', 'pipe', 'pipe'], detached: OWN_GROUPS })
  running.add(child)
  const output = keepEnd(child)
  let late = false
  const timer = setTimeout(() => {
    late = true
    killGroup(child)
  }, milliseconds)
  const [code, signal] = (await once(child, 'exit')) as [number | null, NodeJS.Signals | null]
  clearTimeout(timer)
  const leftovers = killGroup(child) && !late
  running.delete(child)

  const tests = await readResults(events)
  const failed = tests.some(({ outcome }) => outcome === 'failed')
  const trouble = late
    ? `It did not end within ${milliseconds / 1000} s.`
    : code !== 0 && !failed
      ? `Its process ended with ${signal ?? `code ${code}`}, though no test had failed.`
      : tests.length === 0
        ? 'There is no test in it.'
        : undefined
  if (trouble !== undefined) tests.push({ name: 'the file', outcome: 'failed', detail: trouble })
  const result = { file, tests, milliseconds: performance.now() - began, output: output(), leftovers }
  for (const stream of [child.stdout, child.stderr]) stream?.destroy() // One that it started elsewhere may hold them, and us with them.
  return result
}

const running = new Set<ChildProcess>()

/** For when the whole run is stopped. */
export function killRunningTests(): void {
  for (const child of running) killGroup(child)
}

const OWN_GROUPS = process.platform !== 'win32'

/** Ends a child and everything it started. Whether anything was still there. */
function killGroup(child: ChildProcess): boolean {
  if (!OWN_GROUPS) return child.exitCode === null && child.kill('SIGKILL')
  try {
    return process.kill(-(child.pid as number), 'SIGKILL')
  } catch {
    return false
  }
}

/** Enough to see what happened; a chatty test does not fill the memory or the terminal. */
const OUTPUT_CHARACTERS = 8_000

function keepEnd(child: ChildProcess): () => string {
  let text = ''
  for (const stream of [child.stdout, child.stderr]) {
    stream?.setEncoding('utf8').on('data', (chunk: string) => {
      text = (text + chunk).slice(-OUTPUT_CHARACTERS)
    })
  }
  return () => text.trimEnd()
}

async function readResults(events: string): Promise<TestResult[]> {
  const text = await readFile(events, 'utf8').catch(() => '')
  // A process that was killed may have left half a line.
  const lines = text.split('\n').slice(0, -1)
  return lines.map((line) => JSON.parse(line) as TestResult)
}
