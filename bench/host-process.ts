/** A small service, to weigh: `host-process.ts [issuer]`, with a validator of that issuer in it or without one. */
import { createServer } from 'node:http'
import { cpuMicroseconds, serveParent } from './child.ts'

export type HostAnswers = {
  /** Resident bytes after collecting garbage. */
  rss(): Promise<number>
  cpu(): number
}

const issuer = process.argv[2]
const server = createServer((_, response) => response.end('hello'))
await new Promise<void>((resolve) => server.listen(0, resolve))
if (issuer !== undefined) {
  const { createValidator } = await import('@signet/validator/index.ts')
  await createValidator({ issuer, audience: 'https://orders.example' }).ready()
}

serveParent({
  async rss() {
    await new Promise((resolve) => setTimeout(resolve, SETTLE_MS))
    globalThis.gc?.()
    return process.memoryUsage.rss()
  },
  cpu: cpuMicroseconds,
} satisfies HostAnswers)

const SETTLE_MS = 1500
