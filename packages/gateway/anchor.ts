/**
 * The first of the authority's feed keys, with which everything begins: asked for once at the issuer, over the same way that every
 * validator trusts, and kept. From then on each set of keys is vouched for by the one before.
 */
import { readFile, stat } from 'node:fs/promises'
import type { Surroundings } from '@signet/kernel/surroundings.ts'
import { createDiscovery } from '@signet/validator/discovery.ts'
import { fetchJson, nodeTransport } from '@signet/validator/http.ts'
import type { PinnedKeys } from '@signet/validator/index.ts'
import { createFile, isOwnersToWrite } from '@signet/validator/private-file.ts'
import { holdingProcess } from '@signet/validator/surroundings.ts'

const BOUNDS = { timeoutMs: 5000, maxBytes: 256 * 1024 }

export async function anchorKeys(parts: {
  readonly issuer: string
  readonly file: string
  readonly surroundings: Surroundings
  readonly allowInsecureHttp: boolean
}): Promise<PinnedKeys> {
  const kept = await readKeysFile(parts.file).catch((cause: NodeJS.ErrnoException) => {
    if (cause.code === 'ENOENT') return undefined
    throw cause
  })
  return kept ?? holdingProcess(ask(parts)) // Its sockets alone would let the process end.
}

async function ask(parts: Parameters<typeof anchorKeys>[0]): Promise<PinnedKeys> {
  const { issuer, surroundings, allowInsecureHttp } = parts
  const transport = nodeTransport()
  const { signal } = new AbortController()
  const { feed } = await createDiscovery({ issuer, transport, surroundings, allowInsecureHttp, signal }).metadata()
  if (feed === undefined) throw new Error('the issuer has no revocation feed: it is not Signet')
  const request = { url: feed.jwksUri, method: 'GET', headers: { accept: 'application/json' } } as const
  const { value } = await fetchJson({ transport, timers: surroundings.timers }, request, BOUNDS)
  await createFile(parts.file, (file) => file.writeFile(JSON.stringify(value)))
  return readKeysFile(parts.file) // Another's, where two began at once.
}

/** A JWKS from a file that others cannot write to: everything follows from it. */
async function readKeysFile(path: string): Promise<PinnedKeys> {
  if (!isOwnersToWrite(await stat(path))) throw new Error(`${path} may be written by others; make it mode 0600`)
  const value = JSON.parse(await readFile(path, 'utf8')) as { keys?: unknown }
  if (!Array.isArray(value.keys) || value.keys.length === 0) throw new Error(`${path} is not a set of keys ({ "keys": [ … ] })`)
  return value as PinnedKeys
}
