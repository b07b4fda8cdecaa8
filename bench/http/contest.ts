/** Turns of HTTP load on servers, and what one turn tells. */
import type { LoadGenerator, LoadReport, Plan } from './load.ts'
import type { Description, Server, StockKind } from './server.ts'

export interface Turn extends LoadReport {
  /** Microseconds of the server's processor time per request. */
  readonly cpuMicroseconds: number
  /** Of its main thread alone: what bounds the requests per second when there are processors to spare. */
  readonly threadMicroseconds: number
}

export interface Contestant {
  readonly server: Server
  readonly description: Description
}

export interface Contest {
  readonly generator: LoadGenerator
  readonly connections: number
  /** What every answer must contain. */
  readonly expect: string
}

/** One turn: the load for so long, with the server's processor time beside it. */
export async function turn(
  contest: Contest,
  { server, description }: Contestant,
  plan: Plan,
  milliseconds: number,
): Promise<Turn> {
  const before = await server.ask('cpu')
  const report = await contest.generator.ask('run', {
    port: description.port,
    connections: contest.connections,
    expect: contest.expect,
    milliseconds,
    plan,
  })
  const after = await server.ask('cpu')
  return {
    ...report,
    cpuMicroseconds: (after.whole - before.whole) / report.requests,
    threadMicroseconds: (after.thread - before.thread) / report.requests,
  }
}

/**
 * Refreshing, turn after turn: each connection has a family of its own and goes on where it stopped. Fresh families come in when
 * there are none yet.
 */
export function refreshTurns(
  contest: Contest,
  contestant: Contestant,
  head: string,
  form: string,
): (milliseconds: number) => Promise<Turn> {
  let tokens: readonly string[] = []
  return async (milliseconds) => {
    if (tokens.length === 0) tokens = await contestant.server.ask('stock', { kind: 'refresh', count: contest.connections })
    const result = await turn(contest, contestant, { kind: 'refresh', head, form, tokens }, milliseconds)
    tokens = result.tokens
    return result
  }
}

/** Things that work once, such as codes: each turn makes its own beforehand, enough for its time at the rate of the turn before. */
export function stockTurns(
  contest: Contest,
  contestant: Contestant,
  kind: StockKind,
  request: (token: string) => string,
): (milliseconds: number) => Promise<Turn> {
  let perSecond = FIRST_GUESS
  return async (milliseconds) => {
    const count = Math.ceil((perSecond * 1.3 * milliseconds) / 1000)
    const stock = await contestant.server.ask('stock', { kind, count })
    const result = await turn(contest, contestant, { kind: 'once', requests: stock.map(request) }, milliseconds)
    perSecond = result.perSecond
    return result
  }
}

const FIRST_GUESS = 3000
