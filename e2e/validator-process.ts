/**
 * A service's validator in a process of its own, for stories that need one. Options come as JSON in the first argument; then it reads a line of
 * JSON at a time, `{"id":1,"token":"…","needs":["…"]}`, and answers each with its verdict.
 */
import { createInterface } from 'node:readline'
import { createValidator } from '@signet/validator'

const validator = createValidator(JSON.parse(process.argv[2] as string))
await validator.ready()
process.stdout.write(`${JSON.stringify({ ready: true })}\n`)
for await (const line of createInterface({ input: process.stdin })) {
  const { id, stats, token, needs, untilDenied } = JSON.parse(line) as {
    id: number
    stats?: true
    token: string
    needs?: string[]
    untilDenied?: number
  }
  if (stats) {
    process.stdout.write(`${JSON.stringify({ id, stats: validator.stats() })}\n`)
    continue
  }
  const began = performance.now()
  let verdict = validator.validateSync(token, { needs: needs ?? [] })
  while (untilDenied !== undefined && verdict.allowed && performance.now() - began < untilDenied) {
    await new Promise((resolve) => setImmediate(resolve))
    verdict = validator.validateSync(token, { needs: needs ?? [] })
  }
  process.stdout.write(`${JSON.stringify({ id, atMs: performance.timeOrigin + performance.now(), verdict })}\n`)
}
await validator.close()
