/** A relay in a process of its own, open to everyone: `relay.ts issuer scratch`. */
import { mkdtempSync } from 'node:fs'
import { join } from 'node:path'
import { startRelay } from '@signet/gateway/relay.ts'
import { serveParent } from '../child.ts'

export type RelayAnswers = {
  url(): string
  /** Resident bytes. */
  rss(): number
}

const [issuer, scratch] = process.argv.slice(2) as [string, string]
const relay = await startRelay(
  {
    issuer,
    host: 'localhost',
    port: 0,
    operations: undefined,
    stateDirectory: mkdtempSync(join(scratch, 'relay-')),
    upstream: undefined,
    authorityKeys: undefined,
    credentials: undefined,
    open: true,
    validatorId: undefined,
    probeMilliseconds: 500,
    readySeconds: 10,
    allowInsecureHttp: false,
  },
  { trouble: (what, cause) => console.error(what, cause) },
)
await relay.validator.ready()
serveParent({ url: () => `http://localhost:${relay.port}`, rss: () => process.memoryUsage.rss() } satisfies RelayAnswers)
process.once('SIGTERM', () => void relay.close().finally(() => process.exit(0)))
