/** Relays and readers in the test's process, over real HTTP, behind the test's own authority. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createValidator, type Validator, type ValidatorOptions } from '@signet/validator/index.ts'
import type { TestIssuer } from '@signet/validator/issuer.testkit.ts'
import { type Relay, type RelayConfig, startRelay } from './relay.ts'

export const READER_API = 'https://api.example'

export interface RunningRelay extends Relay {
  readonly url: string
  readonly directory: string
  readonly troubles: { readonly what: string; readonly cause: unknown }[]
}

/** What is to be closed when a test is over, the last first. */
export class Undoing {
  readonly #steps: (() => unknown)[] = []
  add(step: () => unknown): void {
    this.#steps.push(step)
  }
  async run(): Promise<void> {
    for (let step = this.#steps.pop(); step !== undefined; step = this.#steps.pop()) await step()
  }
}

export async function relayOf(
  undoing: Undoing,
  issuer: TestIssuer,
  upstream?: { readonly url: string; readonly jwks: Relay['jwks'] },
  over: Partial<RelayConfig> = {},
): Promise<RunningRelay> {
  const directory = over.stateDirectory ?? (await mkdtemp(join(tmpdir(), 'signet-relay-')))
  if (over.stateDirectory === undefined) undoing.add(() => rm(directory, { recursive: true, force: true }))
  const troubles: RunningRelay['troubles'] = []
  const relay = await startRelay(
    {
      issuer: issuer.issuer,
      host: '127.0.0.1',
      port: 0,
      operations: undefined,
      stateDirectory: directory,
      upstream: upstream && { url: upstream.url, keys: upstream.jwks },
      authorityKeys: { keys: [issuer.feedKey.jwk] },
      credentials: undefined,
      open: true,
      validatorId: undefined,
      probeMilliseconds: 50,
      readySeconds: 10,
      allowInsecureHttp: false,
      ...over,
    },
    { trouble: (what, cause) => void troubles.push({ what, cause }) },
  )
  undoing.add(() => relay.close())
  return { ...relay, url: `http://127.0.0.1:${relay.port}`, directory, troubles }
}

/** A validator that knows the relay and the authority's first feed key, and has no way to the authority. */
export function readerOf(
  undoing: Undoing,
  issuer: TestIssuer,
  relay: { readonly url: string; readonly jwks: Relay['jwks'] },
  over: Partial<ValidatorOptions> = {},
): Validator {
  const origin = new URL(issuer.issuer).origin
  const validator = createValidator({
    issuer: issuer.issuer,
    audience: READER_API,
    permissions: { write: { maxStalenessSeconds: 2 }, read: { maxStalenessSeconds: 3600 } },
    feed: { url: relay.url, relayKeys: relay.jwks, authorityKeys: { keys: [issuer.feedKey.jwk] } },
    fetch: (input, init) => {
      if (String(input).startsWith(origin)) throw new Error('a reader of a relay asked the authority')
      return fetch(input, init)
    },
    ...over,
  })
  undoing.add(() => validator.close())
  return validator
}
