/** A small service, to weigh: `host-process.ts [issuer module]`, with a validator of that issuer in it, made by that module, or without one. */
import { createServer } from 'node:http'
import { flushCompileCache } from 'node:module'
import type * as Validators from '@signet/validator/index.ts'
import { processorTime, serveParent } from './child.ts'

export type HostAnswers = {
  /** Resident bytes after collecting garbage. */
  rss(): Promise<number>
  cpu(): number
}

const [issuer, module] = process.argv.slice(2)
const server = createServer((_, response) => response.end('hello'))
await new Promise<void>((resolve) => server.listen(0, resolve))
if (issuer !== undefined && module !== undefined) {
  const { createValidator } = (await import(module)) as typeof Validators
  await createValidator({ issuer, audience: 'https://orders.example' }).ready()
}

serveParent({
  async rss() {
    await new Promise((resolve) => setTimeout(resolve, SETTLE_MS))
    globalThis.gc?.()
    const bytes = process.memoryUsage.rss()
    flushCompileCache() // A host is stopped by a signal, which ends it without.
    return bytes
  },
  cpu: () => processorTime().whole,
} satisfies HostAnswers)

const SETTLE_MS = 1500
