/**
 * The words between regions (docs/regions.md). They are plain, unlike the feed's: the other region makes digests of its own and ends what
 * stands behind them. So they are told only to clients with the scope `signet:region`.
 */
import { fromBase64Url, toBase64Url } from '@signet/kernel/bytes.ts'
import type { KeyId } from '@signet/kernel/ids.ts'
import { KEY_KINDS } from '@signet/kernel/revocation.ts'
import { z } from 'zod'
import type { KeyRecord } from '../store/ports/keys.ts'
import type { LogEntry } from '../store/ports/revocations.ts'

export const REGION_SCOPE = 'signet:region'
/** Under which client a region comes to the others. So whose word it is follows from the token, not from what the request says. */
export const regionClient = (region: string): string => `region-${region}`
export const REGION_NAME = /^[a-z0-9][a-z0-9-]{0,31}$/

/** Entries in one page, at most: one transaction of the region that takes them over. */
export const PAGE_ENTRIES = 200
/** How long a question may wait for something new. It makes the answer that much older, so it is short. */
export const LONGEST_WAIT_MS = 250

const whole = z.int().min(0)
/** Nothing that we store has a control character, and PostgreSQL takes no NUL. */
const text = z
  .string()
  .max(1024)
  .regex(/^[^\x00-\x1f\x7f]+$/)
const place = z.object({ epoch: z.string().regex(/^[\w-]{1,64}$/), seq: whole })

const wireEntry = z.object({
  kind: z.enum(KEY_KINDS),
  issuer: text,
  target: text,
  cutoff_ms: whole,
  drop_after: whole,
  reason: text,
  actor: text,
  act: z.enum(['revoke', 'renew', 'suspend', 'cover']),
})
export type WireEntry = z.output<typeof wireEntry>

export const logPage = z.object({
  region: z.string().regex(REGION_NAME),
  issuer: text,
  /** The entries are all of this region's own after the place asked for, up to here. */
  to: place,
  /** Whether that was the head when the question was being answered. */
  complete: z.boolean(),
  /** Entries were forgotten that had not been taken over yet, or the place asked for lies past the log. */
  gap: z.boolean(),
  /** The store's clock, and for how long the question had waited before. */
  now_ms: whole,
  held_ms: z.number().min(0),
  /** Changes when the public keys do. */
  keys: z.string().max(64),
  entries: z.array(wireEntry).max(PAGE_ENTRIES),
})
export type LogPage = z.output<typeof logPage>

const wireKey = z.object({
  id: z.uuid(),
  purpose: z.enum(['token', 'feed']),
  alg: text,
  state: z.enum(['next', 'active', 'retiring', 'retired', 'compromised']),
  version: whole,
  public_jwk: z.string().max(4096),
  /** The public part, sealed under the master key that all regions have: nobody else can add one. */
  wrapped: z.string().max(8192),
  created_at: whole,
  active_at: whole,
  retiring_at: whole.optional(),
  retired_at: whole.optional(),
})
export const keyList = z.object({ digest: z.string().max(64), keys: z.array(wireKey).max(500) })
export type WireKey = z.output<typeof wireKey>

/** What entries of before there were regions have not: two reasons say that grants went on, of the rest the worst is assumed. */
const actOf = ({ act, reason }: LogEntry): WireEntry['act'] =>
  act ?? (reason === 'superseded_by_refresh' || reason === 'claims_changed' ? 'renew' : 'revoke')

export const writeEntry = (entry: LogEntry): WireEntry => ({
  kind: entry.kind,
  issuer: entry.issuer,
  target: entry.target,
  cutoff_ms: entry.cutoffMs,
  drop_after: entry.dropAfter,
  reason: entry.reason,
  actor: entry.actor,
  act: actOf(entry),
})

export const writeKey = (key: KeyRecord): WireKey => ({
  id: key.id,
  purpose: key.purpose as WireKey['purpose'],
  alg: key.alg,
  state: key.state,
  version: key.version,
  public_jwk: key.publicJwk ?? '',
  wrapped: toBase64Url(key.wrapped),
  created_at: key.createdAt,
  active_at: key.activeAt,
  ...(key.retiringAt !== undefined && { retiring_at: key.retiringAt }),
  ...(key.retiredAt !== undefined && { retired_at: key.retiredAt }),
})

/** Keys as the store keeps them for a peer. */
export function readKeys(stored: string): readonly KeyRecord[] {
  return z
    .array(wireKey)
    .parse(JSON.parse(stored))
    .map(({ public_jwk, created_at, active_at, retiring_at, retired_at, ...key }) => ({
      ...key,
      id: key.id as KeyId,
      publicJwk: public_jwk,
      wrapped: fromBase64Url(key.wrapped) ?? new Uint8Array(0),
      createdAt: created_at,
      activeAt: active_at,
      ...(retiring_at !== undefined && { retiringAt: retiring_at }),
      ...(retired_at !== undefined && { retiredAt: retired_at }),
    }))
}
