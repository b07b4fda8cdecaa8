/**
 * What a new authority needs before anybody can use it: credentials for the CLI beside the store, and a link with which
 * the first administrator sets up how to sign in. Nothing has a default password.
 */
import { generateKeyPairSync, type webcrypto } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { ClientId } from '@signet/kernel/ids.ts'
import { epochSeconds, type Sha256, type Surroundings } from '@signet/kernel/surroundings.ts'
import { replaceFile } from '@signet/validator/private-file.ts'
import { audited } from './audit/events.ts'
import { createSetupLink } from './signin/setup.ts'
import type { ClientRecord } from './store/ports/clients.ts'
import type { Store } from './store/store.ts'

const CLI_CLIENT = 'signet-cli' as ClientId
/** Name in the store's meta table: when the CLI's client was registered. */
const REGISTERED = 'cli_registered_ms'

interface FirstStartParts {
  readonly store: Store
  readonly issuer: string
  readonly stateDirectory: string
  readonly surroundings: Surroundings
  readonly sha256: Sha256
}

/** Does what is missing. Returns the one-time link while there is no account yet: a new one at each start, the old ones still work until used. */
export async function firstStart(parts: FirstStartParts): Promise<string | undefined> {
  await provideCliCredentials(parts)
  const { store, issuer, surroundings, sha256 } = parts
  if ((await store.subjects.count()) > 0) return undefined
  const link = await store.transact((tx) =>
    createSetupLink(tx, { kind: 'first', roles: ['admin'] }, { actor: 'system' }, { issuer, sha256, ...surroundings }),
  )
  return link.url
}

/**
 * `cli.json`: the private key of a client that may administer. Its public half is in the store, so that the file alone names who may come
 * in, and deleting the client shuts it out for good. Written first and registered last: a crash in between leaves a key that opens nothing.
 */
async function provideCliCredentials({ store, issuer, stateDirectory, surroundings, sha256 }: FirstStartParts): Promise<void> {
  if ((await store.meta.get(REGISTERED)) !== undefined) return // Once: whoever deletes the client means it.
  const file = join(stateDirectory, 'cli.json')
  const publicJwk = (await readPublicHalf(file, issuer)) ?? (await writeCredentials(file, issuer))
  const { clock, chance } = surroundings
  await store.transact(async (tx) => {
    // Once for each key: a key whose client was deleted is shut out, however often we start. Without the file a new key is made.
    if (!(await tx.replay.remember(sha256(`signet/cli-key\u0000${publicJwk.x}\u0000${publicJwk.y}`), FOREVER))) return
    if (await tx.clients.create(cliClient(publicJwk, issuer, epochSeconds(tx.nowMs)))) {
      tx.audit(audited(clock, chance, 'client.created', 'system', { client: CLI_CLIENT }))
    }
  })
}

async function writeCredentials(file: string, issuer: string): Promise<webcrypto.JsonWebKey> {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const credentials = { issuer, client_id: CLI_CLIENT, private_jwk: { ...privateKey.export({ format: 'jwk' }), alg: 'ES256' } }
  await replaceFile(file, (handle) => handle.writeFile(`${JSON.stringify(credentials, null, 2)}\n`))
  return publicKey.export({ format: 'jwk' })
}

/** The public half of credentials that an interrupted first start left behind. */
async function readPublicHalf(file: string, issuer: string): Promise<webcrypto.JsonWebKey | undefined> {
  try {
    const found = JSON.parse(await readFile(file, 'utf8')) as {
      issuer?: string
      client_id?: string
      private_jwk?: webcrypto.JsonWebKey
    }
    const { kty, crv, x, y } = found.private_jwk ?? {}
    if (found.issuer !== issuer || found.client_id !== CLI_CLIENT || kty !== 'EC') return undefined
    return { kty, ...(crv && { crv }), ...(x && { x }), ...(y && { y }) }
  } catch {
    return undefined
  }
}

/** Epoch seconds; a hundred years on. */
const FOREVER = 4_900_000_000

const cliClient = (publicJwk: webcrypto.JsonWebKey, issuer: string, createdAt: number): ClientRecord => ({
  id: CLI_CLIENT,
  name: 'Signet CLI',
  platform: 'service',
  authMethod: 'private_key_jwt',
  secrets: [],
  jwks: [{ ...publicJwk, alg: 'ES256' }],
  redirectUris: [],
  postLogoutRedirectUris: [],
  grantTypes: ['client_credentials'],
  scopes: ['signet:admin', 'signet:read', 'signet:revoke', 'signet:keys', 'signet:feed'],
  resources: [issuer],
  introspects: [],
  dpopBound: false,
  firstParty: true,
  createdAt,
  status: 'active',
  cutoffMs: 0,
  revokedMs: 0,
})
