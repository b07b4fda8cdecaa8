/**
 * Sessions: that someone is signed in in one browser. The cookie names the row and proves it with a secret; the row says
 * who, how and since when, so a session can be taken back at any moment. It ends when idle for long, when old, when ended, or
 * when what it hangs on (subject, device) was taken back after it began.
 */
import { concat, equalBytes } from '@signet/kernel/bytes.ts'
import { idFromBytes, idToBytes, isUuidV7, type SessionId } from '@signet/kernel/ids.ts'
import { decodeOpaque, encodeOpaque } from '@signet/kernel/opaque-token.ts'
import { epochSeconds, type Sha256 } from '@signet/kernel/surroundings.ts'
import { ISSUER_REVOKED, issuerStanding } from '../revocation/standing.ts'
import type { DeviceRecord, SessionRecord } from '../store/ports/sessions.ts'
import type { Standing } from '../store/ports/standing.ts'
import type { SubjectRecord } from '../store/ports/subjects.ts'
import type { Store, Tx } from '../store/store.ts'

export interface SessionKey {
  readonly id: SessionId
  readonly secret: Uint8Array
}

/** Someone who is signed in in this browser. */
export interface SignedIn {
  readonly session: SessionRecord
  readonly subject: SubjectRecord
  readonly device: DeviceRecord
}

export const SESSION_SECRET_BYTES = 32

export const formatSessionCookie = ({ id, secret }: SessionKey): string => encodeOpaque('session', concat(idToBytes(id), secret))

export function parseSessionCookie(cookie: string | undefined): SessionKey | undefined {
  const payload = cookie === undefined ? undefined : decodeOpaque('session', cookie)
  if (payload?.length !== 16 + SESSION_SECRET_BYTES) return undefined
  const id = idFromBytes<SessionId>(payload.subarray(0, 16))
  return isUuidV7(id) ? { id, secret: payload.slice(16) } : undefined
}

/** Who is signed in, if the session behind the cookie is alive. */
export async function findSignedIn(
  key: SessionKey | undefined,
  store: Pick<Store, 'sessions' | 'subjects' | 'devices' | 'meta'>,
  nowMs: number,
  sha256: Sha256,
): Promise<SignedIn | undefined> {
  if (key === undefined) return undefined
  const session = await store.sessions.find(key.id)
  if (session === undefined || !equalBytes(sha256(key.secret), session.secretHash)) return undefined
  const [subject, device, issuer] = await Promise.all([
    store.subjects.find(session.subject),
    store.devices.find(session.device),
    issuerStanding(store),
  ])
  return judgeSession(session, { subject, device, issuer }, nowMs) === 'alive'
    ? { session, subject: subject as SubjectRecord, device: device as DeviceRecord }
    : undefined
}

export type SessionState = 'alive' | 'ended' | 'idle' | 'expired' | 'subject_gone' | 'device_gone' | 'issuer_gone'

/** How the things stand that a session hangs on. */
export interface SessionStandings {
  readonly subject: Standing | undefined
  readonly device: Standing | undefined
  /** Everything of this issuer may be ended at once. */
  readonly issuer: Pick<Standing, 'revokedMs'>
}

export function judgeSession(session: SessionRecord, { subject, device, issuer }: SessionStandings, nowMs: number): SessionState {
  const nowAt = epochSeconds(nowMs)
  if (session.status !== 'active' || session.revokedMs >= session.createdAtMs) return 'ended'
  if (nowAt >= session.expiresAt) return 'expired'
  if (nowAt >= session.idleExpiresAt) return 'idle'
  if (subject?.status !== 'active' || subject.revokedMs >= session.createdAtMs) return 'subject_gone'
  if (device?.status !== 'active' || device.revokedMs >= session.createdAtMs) return 'device_gone'
  return issuer.revokedMs >= session.createdAtMs ? 'issuer_gone' : 'alive'
}

/**
 * Whether the session is alive still, inside the transaction that goes by it: seconds may have passed since the request came. Writes to
 * the account's row first, so that whoever ends its sessions at this moment comes wholly before or wholly after.
 */
export async function isAliveStill(tx: Tx, { session, subject, device }: SignedIn): Promise<boolean> {
  const asItIs = { from: ['active'], to: 'active' } as const
  if (!(await tx.subjects.changeStanding(subject.id, asItIs))) return false
  if (!(await tx.sessions.changeStanding(session.id, asItIs)) || !(await tx.devices.changeStanding(device.id, asItIs)))
    return false
  const person = await tx.subjects.find(subject.id)
  const issuerRevokedMs = Number((await tx.meta.get(ISSUER_REVOKED)) ?? 0)
  return person !== undefined && Math.max(person.revokedMs, issuerRevokedMs) < session.createdAtMs
}

/** Writing each use down would be a commit per page; once in this time is close enough for an idle limit of hours. */
export const TOUCH_SECONDS = 60

export const nextIdle = (session: SessionRecord, nowAt: number, idleSeconds: number): number =>
  Math.min(nowAt + idleSeconds, session.expiresAt)

export const needsTouch = (session: SessionRecord, nowAt: number, idleSeconds: number): boolean =>
  nextIdle(session, nowAt, idleSeconds) - session.idleExpiresAt >= Math.min(TOUCH_SECONDS, idleSeconds / 4)
