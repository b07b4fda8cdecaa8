/** People and other principals, and what hangs on them: passkeys, sessions, devices, grants. */
import { z } from 'zod'
import { displayName, listOf, milliseconds, pageQuery, seconds, status, subjectId } from './common.ts'

/** The authority normalises it and judges what may be a name. */
const username = z.string().min(1).max(256).describe('What the person types to sign in; compared without regard to case')

/** Claims that describe a token, not a person: nobody may set them by hand (RFC 7519 §4.1, OpenID Connect Core §2). */
// biome-ignore format: a list of names
const RESERVED_CLAIMS = new Set(['sub', 'iss', 'aud', 'exp', 'iat', 'nbf', 'jti', 'nonce', 'sid', 'did', 'gid', 'acr', 'amr', 'azp', 'act', 'anc', 'auth_time', 'at_hash', 'c_hash', 'cnf', 'client_id', 'scope', 'pv'])
const claimValue = z.union([z.string().max(1000), z.number(), z.boolean(), z.array(z.string().max(200)).max(100)])
const claims = z
  .record(z.string().regex(/^[a-z][a-z0-9_]{0,63}$/, 'claim names are lower-case letters, digits and _'), claimValue)
  .refine((value) => Object.keys(value).length <= 64, 'must be at most 64 claims')
  .refine(
    (value) => !Object.keys(value).some((name) => RESERVED_CLAIMS.has(name)),
    'names a claim that only the authority may set',
  )
  .describe('OpenID claims for userinfo and ID tokens, such as name and email')

const roles = z
  .array(z.enum(['admin']))
  .max(1)
  .describe('`admin` may use this API')

export const subject = z.object({
  id: z.string(),
  username: z.string(),
  status,
  claims: z.record(z.string(), z.unknown()),
  roles: z.array(z.string()),
  has_password: z.boolean(),
  passkeys: z.int(),
  created_at: seconds,
  revoked_ms: milliseconds.describe('Sessions and grants made at or before it have ended; 0: never'),
})
export type Subject = z.output<typeof subject>

/** The authority judges what may be a password; this only bounds it. */
const password = z.string().min(1).max(512)

export const createSubject = z.strictObject({
  username,
  claims: claims.default({}),
  roles: roles.default([]),
  password: password.optional(),
})
/** Somebody who will be: the account is made when they open the link. */
export const inviteSubject = z.strictObject({
  username: username.optional().describe('Fixed by the link when given; else the person chooses'),
  claims: claims.default({}),
  roles: roles.default([]),
})
export const updateSubject = z.strictObject({
  username: username.optional(),
  claims: claims.optional().describe('Replaces all claims'),
  roles: roles.optional(),
})
export const setPassword = z.strictObject({
  password: password.nullable().describe('null takes the password away'),
})
export const setupLink = z.object({ url: z.string().describe('Shown this once; works once'), expires_at: seconds })

/** At most one of the two: a listing, or the one with that name. */
export const subjectQuery = pageQuery.extend({ username: username.optional() })
export const subjectPath = z.strictObject({ id: subjectId })
export const subjectList = listOf(subject)

export const passkey = z.object({
  id: z.string(),
  name: z.string(),
  transports: z.array(z.string()),
  created_at: seconds,
  last_used_at: seconds.optional(),
})
export const passkeyPath = z.strictObject({ id: subjectId, passkey: z.string().regex(/^[\w-]{1,1400}$/) })
export const passkeyList = z.object({ items: z.array(passkey) })

export const session = z.object({
  id: z.string(),
  device: z.string(),
  status,
  created_at: seconds,
  auth_at: seconds,
  acr: z.string(),
  amr: z.array(z.string()),
  idle_expires_at: seconds,
  expires_at: seconds,
})
export const sessionList = listOf(session)

export const device = z.object({
  id: z.string(),
  name: displayName,
  status,
  created_at: seconds,
  last_seen_at: seconds,
})
export const deviceList = listOf(device)

export const grant = z.object({
  id: z.string(),
  client: z.string(),
  status,
  scopes: z.array(z.string()),
  resources: z.array(z.string()),
  session: z.string().optional(),
  device: z.string().optional(),
  generation: z.int().describe('How often its refresh token was rotated'),
  bound: z.boolean().describe('To a DPoP key'),
  created_at: seconds,
  rotated_at: seconds,
  idle_expires_at: seconds,
  expires_at: seconds,
})
export const grantList = listOf(grant)
