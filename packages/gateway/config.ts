/**
 * Configuration of a relay: a flag beats an environment variable beats the file beats the default. Checked at start; an error
 * names the setting.
 */
import { readFileSync } from 'node:fs'
import { hostname } from 'node:os'
import { resolve } from 'node:path'
import {
  ADDRESS_FORM,
  ConfigError,
  type ConfigSource,
  gatherConfig,
  isAddress,
  readConfigText,
  readJsonObject,
  splitAddress,
} from '@signet/kernel/config-sources.ts'
import type { PinnedKeys } from '@signet/validator/index.ts'
import { readPrivateText } from '@signet/validator/private-file.ts'
import { z } from 'zod'
import type { RelayConfig } from './relay.ts'

const SOURCES = [
  ['issuer', 'SIGNET_ISSUER', 'issuer'],
  ['listen', 'SIGNET_RELAY_LISTEN', 'listen'],
  ['operations', 'SIGNET_RELAY_OPERATIONS', 'operations'],
  ['state', 'SIGNET_RELAY_STATE', 'state'],
  ['upstream', 'SIGNET_RELAY_UPSTREAM', 'upstream'],
  ['upstreamKeys', 'SIGNET_RELAY_UPSTREAM_KEYS', 'upstream-keys'],
  ['authorityKeys', 'SIGNET_RELAY_AUTHORITY_KEYS', 'authority-keys'],
  ['clientId', 'SIGNET_RELAY_CLIENT_ID', 'client-id'],
  ['clientSecretFile', 'SIGNET_RELAY_CLIENT_SECRET_FILE', 'client-secret-file'],
  ['openToEveryone', 'SIGNET_RELAY_OPEN_TO_EVERYONE', 'open-to-everyone'],
  ['validatorId', 'SIGNET_RELAY_ID', 'id'],
  ['logLevel', 'SIGNET_LOG_LEVEL', 'log-level'],
] as const satisfies readonly ConfigSource[]

const isTrue = z.union([z.boolean(), z.enum(['true', 'false']).transform((text) => text === 'true')], 'must be true or false')

const schema = z.strictObject({
  issuer: z.url({ protocol: /^https?$/ }),
  listen: z.string().refine(isAddress, `must be ${ADDRESS_FORM}`).default('127.0.0.1:4810'),
  operations: z
    .string()
    .refine((text) => text === 'off' || isAddress(text), `must be "off" or ${ADDRESS_FORM}`)
    .default('off'),
  state: z.string().min(1).default('.signet-relay'),
  upstream: z.url({ protocol: /^https?$/ }).optional(),
  /** A file with a JWKS, or the URL where the upstream relay publishes it. */
  upstreamKeys: z.string().min(1).optional(),
  authorityKeys: z.string().min(1).optional(),
  clientId: z.string().min(1).optional(),
  clientSecretFile: z.string().min(1).optional(),
  openToEveryone: isTrue.default(false),
  validatorId: z
    .string()
    .regex(/^[\x21-\x7e]{1,128}$/, 'must be 1 to 128 printable characters without spaces')
    .optional(),
  probeMilliseconds: z.number().int().min(50).max(5000).default(500),
  readySeconds: z.number().min(1).max(3600).default(10),
  /** Says in so many words that plain http over a network is wanted. */
  insecureHttp: z.boolean().default(false),
  logLevel: z.enum(['fatal', 'error', 'warn', 'info', 'debug', 'silent']).default('info'),
})

export type RelayProcessConfig = RelayConfig & { readonly logLevel: string }

/** Throws a ConfigError; its message lists every problem, one to a line. */
export function loadRelayConfig(
  flags: Readonly<Record<string, string | undefined>>,
  env: Readonly<Record<string, string | undefined>>,
): RelayProcessConfig {
  const { settings, where } = gatherConfig(schema, SOURCES, { fileVariable: 'SIGNET_RELAY_CONFIG', env, flags, readText })
  return build(settings, env.SIGNET_RELAY_CLIENT_SECRET || undefined, where)
}

function build(given: z.infer<typeof schema>, secret: string | undefined, where: (path: string) => string): RelayProcessConfig {
  const { upstream, upstreamKeys, clientId, clientSecretFile } = given
  const refuse = (path: string, message: string) => new ConfigError([{ path: where(path), message }])
  if (upstream !== undefined && upstreamKeys === undefined)
    throw refuse('upstream', 'needs upstreamKeys too: whose word on freshness is to be taken?')
  if (upstreamKeys !== undefined && upstream === undefined) throw refuse('upstreamKeys', 'is of use only with upstream')
  const clientSecret =
    secret ??
    (clientSecretFile === undefined ? undefined : readConfigText(where('clientSecretFile'), clientSecretFile, readSecret))
  if (clientId !== undefined && clientSecret === undefined)
    throw refuse('clientId', 'needs its secret too: SIGNET_RELAY_CLIENT_SECRET, or clientSecretFile')
  if (clientId === undefined && clientSecret !== undefined)
    throw refuse(
      secret === undefined ? 'clientSecretFile' : 'SIGNET_RELAY_CLIENT_SECRET',
      'needs clientId too: whose secret is it?',
    )
  const keysIn = (name: string, path: string) => readKeys(where(name), path)
  return {
    issuer: given.issuer.replace(/\/+$/, ''),
    ...splitAddress(given.listen),
    operations: given.operations === 'off' ? undefined : splitAddress(given.operations),
    stateDirectory: resolve(given.state),
    upstream:
      upstream === undefined || upstreamKeys === undefined
        ? undefined
        : { url: upstream, keys: /^https?:\/\//.test(upstreamKeys) ? upstreamKeys : keysIn('upstreamKeys', upstreamKeys) },
    authorityKeys: given.authorityKeys === undefined ? undefined : keysIn('authorityKeys', given.authorityKeys),
    credentials: clientId === undefined || clientSecret === undefined ? undefined : { clientId, clientSecret },
    open: given.openToEveryone,
    validatorId: given.validatorId ?? `relay@${hostname()}`,
    probeMilliseconds: given.probeMilliseconds,
    readySeconds: given.readySeconds,
    allowInsecureHttp: given.insecureHttp,
    logLevel: given.logLevel,
  }
}

/** `setting` with the place where it was given. */
function readKeys(setting: string, path: string): PinnedKeys {
  const value = readJsonObject(setting, path, readText)
  if (!Array.isArray(value.keys) || value.keys.length === 0)
    throw new ConfigError([{ path: setting, message: `${path} is not a set of keys ({ "keys": [ … ] })` }])
  return value as unknown as PinnedKeys
}

const readSecret = (path: string): string => readPrivateText(path).trim()
const readText = (path: string): string => readFileSync(path, 'utf8').trim()
