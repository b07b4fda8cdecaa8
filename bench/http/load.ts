/** What a load generator is asked for and what it tells. It runs in a process of its own: load-process.ts. */
import { fileURLToPath } from 'node:url'
import { type Child, startChild } from '../child.ts'

/** Which requests to send. Connections work in parallel, each one request at a time. */
export type Plan =
  /** The same requests over and over, for the whole time. */
  | { readonly kind: 'cycle'; readonly requests: readonly string[] }
  /** Each request once; it ends when they are used up or the time is over. */
  | { readonly kind: 'once'; readonly requests: readonly string[] }
  /** Each connection refreshes with what the answer before gave it. `head` and `form` come before the token and its length. */
  | { readonly kind: 'refresh'; readonly head: string; readonly form: string; readonly tokens: readonly string[] }

export interface LoadQuestion {
  readonly port: number
  readonly connections: number
  readonly milliseconds: number
  readonly plan: Plan
  /** What every answer must contain, so that a quick "no" is not taken for a quick "yes". */
  readonly expect: string
}

export interface LoadReport {
  readonly requests: number
  readonly perSecond: number
  /** Milliseconds. */
  readonly p50: number
  readonly p99: number
  /** Where a chain of refreshes stands, so that the next turn can go on with it. */
  readonly tokens: readonly string[]
}

export type LoadAnswers = {
  /** Every answer must be 200 and as expected; anything else makes the figures worthless and is reported as an error. */
  run(question: LoadQuestion): Promise<LoadReport>
}

export type LoadGenerator = Child<LoadAnswers>

export const startLoadGenerator = (): Promise<LoadGenerator> =>
  startChild<LoadAnswers>(fileURLToPath(new URL('load-process.ts', import.meta.url)))
