/** A reporter for node:test that writes one JSON line per test, for test-file.ts to read. Suites are not counted, nor is a parent whose subtests failed. */
import type { TestEvent } from 'node:test/reporters'
import { inspect } from 'node:util'
import type { TestResult } from './test-file.ts'

export default async function* report(source: AsyncIterable<TestEvent>): AsyncGenerator<string> {
  const titles: string[] = []
  for await (const event of source) {
    if (event.type === 'test:start') {
      titles.length = event.data.nesting
      titles.push(event.data.name)
    }
    if (event.type !== 'test:pass' && event.type !== 'test:fail') continue
    const result = resultOf(event)
    if (result === undefined) continue
    const name = [...titles.slice(0, event.data.nesting), event.data.name].join(' › ')
    yield `${JSON.stringify({ name, ...result } satisfies TestResult)}\n`
  }
}

type Ending = Extract<TestEvent, { type: 'test:pass' | 'test:fail' }>

function resultOf({ type, data }: Ending): Omit<TestResult, 'name'> | undefined {
  const reason = data.skip ?? data.todo
  if (reason !== undefined && reason !== false) {
    return { outcome: 'skipped', ...(typeof reason === 'string' && { detail: reason }) }
  }
  if (type === 'test:pass') return data.details.type === 'suite' ? undefined : { outcome: 'passed' }
  const error = data.details.error as Error & { failureType?: string; cause?: unknown }
  if (error.failureType === 'subtestsFailed') return undefined
  return { outcome: 'failed', detail: inspect(error.cause ?? error, { depth: 4, breakLength: 120, maxStringLength: 4000 }) }
}
