/** The load generator's process. */
import { serveParent } from '../child.ts'
import { quantile } from '../rounds.ts'
import { type Answer, type Connection, openConnection } from './connection.ts'
import type { LoadAnswers, LoadQuestion, LoadReport, Plan } from './load.ts'

serveParent({ run } satisfies LoadAnswers)

async function run({ port, connections, milliseconds, plan, expect }: LoadQuestion): Promise<LoadReport> {
  const lanes = await Promise.all(Array.from({ length: connections }, () => openConnection(port)))
  const sources = requestSources(plan, connections)
  const times: number[] = []
  const began = performance.now()
  const until = began + milliseconds
  try {
    await Promise.all(lanes.map((connection, lane) => drive(connection, sources[lane] as Source, expect, until, times)))
  } finally {
    for (const connection of lanes) connection.close()
  }
  const elapsed = performance.now() - began
  const tokens = sources.map(({ token }) => token()).filter((token) => token !== undefined)
  return {
    requests: times.length,
    perSecond: times.length / (elapsed / 1000),
    p50: quantile(times, 0.5),
    p99: quantile(times, 0.99),
    tokens,
  }
}

async function drive(connection: Connection, source: Source, expect: string, until: number, times: number[]): Promise<void> {
  for (;;) {
    const sent = performance.now()
    const request = sent < until ? source.next() : undefined
    if (request === undefined) return
    const answer = await connection.exchange(request)
    times.push(performance.now() - sent)
    if (answer.status !== 200 || !answer.body.includes(expect))
      throw new Error(`answered ${answer.status}: ${answer.body.slice(0, 500)}\nto ${request.slice(0, 700)}`)
    source.learn(answer)
  }
}

/** Where one connection gets its requests from. */
interface Source {
  next(): string | undefined
  learn(answer: Answer): void
  token(): string | undefined
}

function requestSources(plan: Plan, connections: number): readonly Source[] {
  if (plan.kind === 'refresh')
    return Array.from({ length: connections }, (_, lane) => refreshChain(plan, plan.tokens[lane] as string))
  let at = 0
  const shared: Source = {
    next: () => (plan.kind === 'cycle' ? plan.requests[at++ % plan.requests.length] : plan.requests[at++]),
    learn: () => {},
    token: () => undefined,
  }
  return Array.from({ length: connections }, () => shared)
}

function refreshChain({ head, form }: Extract<Plan, { kind: 'refresh' }>, first: string): Source {
  let token = first
  return {
    next() {
      const body = form + encodeURIComponent(token)
      return `${head}Content-Length: ${body.length}\r\n\r\n${body}`
    },
    learn(answer) {
      token = (JSON.parse(answer.body) as { refresh_token: string }).refresh_token
    },
    token: () => token,
  }
}
