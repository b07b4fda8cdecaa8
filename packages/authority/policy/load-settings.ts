/** Reads policy settings from a file's or a caller's plain object: unknown names, wrong types and values beyond their caps are refused by name. */
import { ConfigError, type ConfigProblem, problemsOf } from '@signet/kernel/config-sources.ts'
import type { Sha256 } from '@signet/kernel/surroundings.ts'
import { z } from 'zod'
import { defaultSettings, type PolicySettings } from './settings.ts'

const seconds = (least: number, most: number) => z.int().min(least).max(most)
const rate = z.strictObject({ perSecond: z.number().positive().max(1_000_000), burst: z.int().min(1).max(10_000_000) })

/** Above this an access token is long-lived, whatever the reason: it needs `allowLongAccessTokens`. */
export const SHORT_ACCESS_TOKEN_SECONDS = 600

const algorithm = z.enum(['ES256', 'EdDSA', 'RS256', 'PS256'])
const DAY = 86_400
const schema = z
  .strictObject({
    accessTokenSeconds: seconds(10, 3600),
    /** Says in so many words that access tokens may live longer than ten minutes. */
    allowLongAccessTokens: z.boolean(),
    idTokenSeconds: seconds(10, 3600),
    authorizationCodeSeconds: seconds(5, 600),
    refreshIdleSeconds: seconds(60, 400 * DAY),
    refreshMaxSeconds: seconds(60, 400 * DAY),
    graceSeconds: seconds(0, 300),
    graceSecondsWithProof: seconds(0, DAY),
    graceLimit: z.int().min(1).max(100_000),
    graceRunLimit: z.int().min(1).max(1_000_000),
    graceForeignRunLimit: z.int().min(1).max(1000),
    retirePriorAccessTokenAfterSeconds: seconds(0, 3600),
    sessionIdleSeconds: seconds(60, 400 * DAY),
    sessionMaxSeconds: seconds(60, 400 * DAY),
    clockOffsetMilliseconds: z.int().min(0).max(10_000),
    mintStalenessMilliseconds: z.int().min(200).max(10_000),
    commitAllowanceMilliseconds: z.int().min(50).max(10_000),
    leewaySeconds: seconds(0, 300),
    clientRate: rate,
    addressRate: rate,
    familyRate: rate,
    feedOpen: z.boolean(),
    batchWarnGrants: z.int().min(0).max(1_000_000_000),
    batchWarnShare: z.number().min(0).max(1),
    signingAlgorithm: algorithm,
    feedSigningAlgorithm: algorithm,
    keyPublishSeconds: seconds(0, 30 * DAY),
    keyActiveSeconds: seconds(60, 400 * DAY),
    jwksCacheSeconds: seconds(0, DAY),
  })
  .partial()

/** The settings with defaults filled in. Throws a ConfigError. */
export function loadSettings(input: unknown): PolicySettings {
  const parsed = schema.safeParse(input ?? {})
  if (!parsed.success) {
    throw new ConfigError(problemsOf(parsed.error.issues, schema, 'policy'))
  }
  const { allowLongAccessTokens, ...given } = parsed.data
  const settings = { ...defaultSettings, ...dropUndefined(given) } as PolicySettings
  const wrong = contradictions(settings, allowLongAccessTokens === true)
  if (wrong.length > 0) throw new ConfigError(wrong)
  return settings
}

function contradictions(s: PolicySettings, allowLong: boolean): ConfigProblem[] {
  const wrong: ConfigProblem[] = []
  if (s.accessTokenSeconds > SHORT_ACCESS_TOKEN_SECONDS && !allowLong) {
    const most = `${s.accessTokenSeconds} is above ${SHORT_ACCESS_TOKEN_SECONDS}`
    wrong.push({
      path: 'policy.accessTokenSeconds',
      message: `${most}; set policy.allowLongAccessTokens to true if you mean it`,
    })
  }
  if (s.refreshIdleSeconds > s.refreshMaxSeconds)
    wrong.push({ path: 'policy.refreshIdleSeconds', message: 'must not be above policy.refreshMaxSeconds' })
  if (s.sessionIdleSeconds > s.sessionMaxSeconds)
    wrong.push({ path: 'policy.sessionIdleSeconds', message: 'must not be above policy.sessionMaxSeconds' })
  if (s.keyPublishSeconds < s.jwksCacheSeconds) {
    wrong.push({
      path: 'policy.keyPublishSeconds',
      message: 'must be at least policy.jwksCacheSeconds, or validators meet tokens of keys they have not seen',
    })
  }
  return wrong
}

/** The first 12 hexadecimal digits of the hash over all settings: the policy version that tokens carry as `pv`. */
export function policyVersion(settings: PolicySettings, sha256: Sha256): string {
  const names = Object.keys(settings).sort() as (keyof PolicySettings)[]
  const text = JSON.stringify(names.map((name) => [name, settings[name] ?? null]))
  return Buffer.from(sha256(text)).toString('hex').slice(0, 12)
}

function dropUndefined<T extends object>(value: T): T {
  return Object.fromEntries(Object.entries(value).filter(([, v]) => v !== undefined)) as T
}
