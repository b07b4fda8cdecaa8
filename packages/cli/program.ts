/** Programs of other packages that a command starts, with the Node that runs this. */
import { spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import { EXIT, type ExitCode } from './trouble.ts'

/** Under a supervisor the program takes this process over, so that signals reach it with nobody between. Elsewhere this returns. */
export function handOver(program: string, args: readonly string[]): void {
  if (process.stdout.isTTY || process.execve === undefined || process.platform === 'win32') return
  process.execve(process.execPath, [process.execPath, program, ...args], process.env as Record<string, string>)
}

/** Runs the program; its log goes to our standard error, each line of its standard output to `onLine`. */
export async function runProgram(program: string, args: readonly string[], onLine: (line: string) => void): Promise<ExitCode> {
  const child = spawn(process.execPath, [program, ...args], { stdio: ['inherit', 'pipe', 'inherit'] })
  const forward = (signal: NodeJS.Signals) => child.kill(signal)
  const signals: readonly NodeJS.Signals[] = ['SIGINT', 'SIGTERM', 'SIGHUP']
  for (const signal of signals) process.on(signal, forward)
  createInterface({ input: child.stdout }).on('line', onLine)
  const code = await new Promise<number | null>((resolve, reject) => {
    child.once('error', reject)
    child.once('close', resolve)
  })
  for (const signal of signals) process.off(signal, forward)
  return code === 0 ? EXIT.done : code === 2 ? EXIT.usage : EXIT.refused
}

/** What a line of a program says, when it is JSON. */
export function objectOf(line: string): unknown {
  try {
    return JSON.parse(line)
  } catch {
    return undefined
  }
}
