/**
 * What the audit record is made of: the closed list of event types, and the one way to make an event. Every flow adds its
 * event to the transaction that does the act, so neither is ever there without the other. docs/audit-events.md is this list
 * for readers.
 */
import type { AuditEvent } from '@signet/kernel/audit-entry.ts'
import { newId } from '@signet/kernel/ids.ts'
import type { Chance, Clock } from '@signet/kernel/surroundings.ts'

export const AUDIT_EVENT_TYPES = [
  'token.issued',
  'token.refreshed',
  'token.repeated',
  'token.refused',
  'apikey.issued',
  'apikey.replaced',
  'code.issued',
  'signin.succeeded',
  'signin.refused',
  'signout',
  'setup.offered',
  'consent.given',
  'consent.refused',
  'consent.withdrawn',
  'revocation.made',
  'suspension.made',
  'suspension.lifted',
  'region.revocations_taken_over',
  'batch.planned',
  'batch.started',
  'batch.paused',
  'batch.resumed',
  'batch.cancelled',
  'batch.piece',
  'batch.ended',
  'batch.failed',
  'batch.undone',
  'region.taken_over',
  'region.returned',
  'region.families_ended',
  'region.relinked',
  'refresh.reuse_detected',
  'leak.reported',
  'key.created',
  'key.scheduled',
  'key.activated',
  'key.retired',
  'key.compromised',
  'key.forgotten',
  'client.created',
  'client.updated',
  'client.deleted',
  'resource.put',
  'resource.deleted',
  'subject.created',
  'subject.updated',
  'subject.deleted',
  'password.changed',
  'passkey.added',
  'passkey.removed',
  'store.restored',
  'store.promoted',
  'checkpoint.made',
] as const
/** `admin.*` is open: one per act of the admin API that none of the others names. */
export type AuditEventType = (typeof AUDIT_EVENT_TYPES)[number] | `admin.${string}`

/** Who did it. `system` is the authority by itself: a schedule, a limit, a rule. */
export type AuditActor = 'system' | `client:${string}` | `subject:${string}` | `operator:${string}`

/** What an id is the id of. `token` is an access token or an API key; `parent` what it was derived from; `heir` what replaces it. */
export const AUDIT_ID_ROLES = [
  'subject',
  'client',
  'family',
  'session',
  'device',
  'token',
  'parent',
  'heir',
  'key',
  'issuer',
  'scope',
  'resource',
  'credential',
  'batch',
  'request',
] as const
export type AuditIdRole = (typeof AUDIT_ID_ROLES)[number]
export type AuditIds = Readonly<Partial<Record<AuditIdRole, string | undefined>>>
export type AuditDetail = Readonly<Record<string, string | number | boolean | readonly string[] | undefined>>

/**
 * One event. Ids and codes only: what is undefined is left out, what is too long is cut, and what looks like a token is
 * blotted out, because ids and codes can come from a request that put something else there.
 */
export function audited(
  clock: Pick<Clock, 'now'>,
  chance: Chance,
  type: AuditEventType,
  actor: AuditActor,
  ids: AuditIds,
  detail: AuditDetail = {},
): AuditEvent {
  const atMs = clock.now()
  const named: Record<string, string> = {}
  for (const [role, id] of Object.entries(ids)) if (id !== undefined) named[role] = printable(id)
  const details: Record<string, string | number | boolean | readonly string[]> = {}
  for (const [name, value] of Object.entries(detail)) if (value !== undefined) details[name] = plain(value)
  const event = { id: newId<string>(atMs, chance), atMs, type, actor: printable(actor), ids: named }
  return Object.keys(details).length === 0 ? event : { ...event, detail: details }
}

/** The length of one value and of one list, so that an event is at most a few kilobytes whatever a request contained. */
const MAX_VALUE_LENGTH = 256
const MAX_LIST_LENGTH = 64

function plain(value: string | number | boolean | readonly string[]): string | number | boolean | readonly string[] {
  if (typeof value === 'string') return printable(value)
  if (typeof value === 'number') return Number.isFinite(value) ? value : String(value) // JSON has no other numbers.
  if (typeof value === 'boolean') return value
  return value.slice(0, MAX_LIST_LENGTH).map(printable)
}

/** Opaque tokens of Signet (kernel/opaque-token.ts), and anything in the shape of a JWS or JWE. */
const SECRET = /sg[a-z]_[\w-]{16,}|eyJ[\w-]{6,}(?:\.[\w-]*){1,4}/g
const UNPRINTABLE = /[\u0000-\u001f\u007f-\u009f\u2028\u2029\u202a-\u202e\u2066-\u2069]|\p{Surrogate}/gu

/** Most values are ids and numbers of ours, in which there is nothing to cut or blot out. */
const PLAIN = /^[0-9a-f-]{0,64}$/

/** Cut before it is searched, so that no request decides how long that takes. */
function printable(text: string): string {
  if (PLAIN.test(text)) return text
  const blotted = text
    .slice(0, 4 * MAX_VALUE_LENGTH)
    .replace(SECRET, '[secret]')
    .replace(UNPRINTABLE, '\ufffd')
  if (blotted.length <= MAX_VALUE_LENGTH) return blotted
  return `${blotted.slice(0, MAX_VALUE_LENGTH - 1).replace(/[\ud800-\udbff]$/, '')}…` // Never half a character.
}
