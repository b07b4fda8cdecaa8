/** Programs of other packages that a command starts, with the Node that runs this. */
import { type ChildProcess, spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import type { Readable } from 'node:stream'
import { EXIT, type ExitCode, Trouble } from './trouble.ts'

/** Under a supervisor the program takes this process over, so that signals reach it with nobody between. Elsewhere this returns. */
export function handOver(program: string, args: readonly string[]): void {
  if (process.stdout.isTTY || process.execve === undefined || process.platform === 'win32') return
  process.execve(process.execPath, [process.execPath, program, ...args], process.env as Record<string, string>)
}

/** Runs the program; its log goes to our standard error, each line of its standard output to `onLine`. */
export function runProgram(program: string, args: readonly string[], onLine: (line: string) => void): Promise<ExitCode> {
  return ended(spawn(process.execPath, [program, ...args], { stdio: ['inherit', 'pipe', 'inherit'] }), onLine)
}

/** The same for a program that does one thing and ends. What it says when it can't is the trouble of our command. */
export async function runJob(
  program: string,
  args: readonly string[],
  failed: { readonly what: string; readonly advice: string; readonly code: string },
  onLine: (line: string) => void,
): Promise<void> {
  const child = spawn(process.execPath, [program, ...args, '--json'], { stdio: ['inherit', 'pipe', 'pipe'] })
  const said: string[] = []
  createInterface({ input: child.stderr }).on('line', (line) => said.push(line))
  const exit = await ended(child, onLine)
  if (exit === EXIT.done) return
  const told = objectOf(said.at(-1) ?? '') as { error: { why: string; details?: Trouble['details'] } } | undefined
  const { why, details = [] } = told?.error ?? { why: said.join(' ') || 'it ended without a word' }
  throw new Trouble({ ...failed, why: details.length === 0 ? why : `${why}:`, details, exit })
}

async function ended(child: ChildProcess & { readonly stdout: Readable }, onLine: (line: string) => void): Promise<ExitCode> {
  const forward = (signal: NodeJS.Signals) => child.kill(signal)
  const signals: readonly NodeJS.Signals[] = ['SIGINT', 'SIGTERM', 'SIGHUP']
  for (const signal of signals) process.on(signal, forward)
  createInterface({ input: child.stdout }).on('line', onLine)
  const code = await new Promise<number | null>((resolve, reject) => {
    child.once('error', reject)
    child.once('close', resolve)
  })
  for (const signal of signals) process.off(signal, forward)
  return Object.values(EXIT).find((exit) => exit === code) ?? EXIT.refused
}

/** What a line of a program says, when it is JSON. */
export function objectOf(line: string): unknown {
  try {
    return JSON.parse(line)
  } catch {
    return undefined
  }
}
