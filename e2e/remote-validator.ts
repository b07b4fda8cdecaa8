/** The test's side of validator-process.ts. */
import { spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import type { Verdict } from '@signet/kernel/verdict.ts'
import type { ValidatorStats } from '@signet/validator'

export interface RemoteValidator {
  check(token: string, needs?: readonly string[]): Promise<Verdict>
  /** Asks over and over inside that process until the token is refused, at most `withinMs`. `atMs` is wall time of the answer. */
  untilDenied(token: string, withinMs: number): Promise<{ verdict: Verdict; atMs: number }>
  stats(): Promise<ValidatorStats>
  stop(): Promise<void>
}

interface Answer {
  readonly id: number
  readonly atMs: number
  readonly verdict: Verdict
  readonly stats: ValidatorStats
}

export async function startValidator(options: Readonly<Record<string, unknown>>): Promise<RemoteValidator> {
  const script = fileURLToPath(new URL('validator-process.ts', import.meta.url))
  const child = spawn(process.execPath, [script, JSON.stringify(options)], { stdio: ['pipe', 'pipe', 'inherit'] })
  const waiting = new Map<number, (answer: Answer) => void>()
  const { promise: ready, resolve: isReady, reject: failed } = Promise.withResolvers<void>()
  const exited = new Promise<void>((resolve) => child.once('exit', () => resolve()))
  child.once('exit', (code) => failed(new Error(`the validator's process ended with ${code}`)))
  createInterface({ input: child.stdout }).on('line', (line) => {
    const answer = JSON.parse(line) as Answer | { ready: true }
    if ('ready' in answer) return isReady()
    waiting.get(answer.id)?.(answer)
    waiting.delete(answer.id)
  })
  let asked = 0
  const ask = (question: Record<string, unknown>): Promise<Answer> => {
    const id = ++asked
    return new Promise((resolve) => {
      waiting.set(id, resolve)
      child.stdin.write(`${JSON.stringify({ id, ...question })}\n`)
    })
  }
  await ready
  return {
    check: async (token, needs) => (await ask({ token, needs })).verdict,
    untilDenied: (token, withinMs) => ask({ token, untilDenied: withinMs }),
    stats: async () => (await ask({ stats: true })).stats,
    async stop() {
      child.stdin.end()
      child.kill()
      await exited
    },
  }
}
