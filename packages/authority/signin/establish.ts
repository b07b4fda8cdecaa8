/** The end of every sign-in: a session in this browser, on a device of the account, with secrets that nobody has seen before. */
import { newId, type SessionId, type SubjectId } from '@signet/kernel/ids.ts'
import { epochSeconds } from '@signet/kernel/surroundings.ts'
import { ISSUER_CUTOFF, ISSUER_REVOKED } from '../revocation/standing.ts'
import type { SubjectRecord } from '../store/ports/subjects.ts'
import type { Tx } from '../store/store.ts'
import { type DeviceKey, describeBrowser, deviceOf, type KnownDevice, newDeviceKey, rememberDevice } from './device.ts'
import type { SigninParts } from './parts.ts'
import { nextIdle, SESSION_SECRET_BYTES, type SessionKey } from './session.ts'
import type { Visitor } from './visitor.ts'

export interface Proof {
  /** When, if it was not just now. */
  readonly authAt?: number
  readonly acr: string
  readonly amr: readonly string[]
}

/** What the browser gets. */
export interface Established {
  readonly session: SessionKey
  readonly devices: readonly DeviceKey[]
}

/** `devices` are those this browser can prove to be. Ids and secrets for what may have to be made, drawn before the transaction, whose work may run more than once. */
export function prepareSession(
  subject: SubjectId,
  visitor: Visitor,
  devices: readonly KnownDevice[],
  parts: Pick<SigninParts, 'clock' | 'chance' | 'sha256'>,
) {
  const nowMs = parts.clock.now()
  const known = deviceOf(devices, subject)
  const secret = parts.chance.bytes(SESSION_SECRET_BYTES)
  const device = known?.key ?? newDeviceKey(nowMs, parts.chance)
  return {
    known: known?.record,
    device,
    deviceHash: parts.sha256(device.secret),
    sessionId: newId<SessionId>(nowMs, parts.chance),
    secret,
    secretHash: parts.sha256(secret),
    // Keys that open nothing any more are dropped from the cookie on this occasion.
    devices: rememberDevice(
      devices.map(({ key }) => key),
      device,
    ),
    browserName: describeBrowser(visitor.userAgent),
  }
}
export type Prepared = ReturnType<typeof prepareSession>

/** Why nobody may sign in although the proof was right. */
export type NotNow = 'suspended' | 'device_suspended'

/**
 * Writes session and device; says why when the account, or this account in this browser, may not sign in. Who is signed in here already and proves it again
 * keeps the session, so their apps go on, but under a new secret; anyone else gets a new one, and the old one here ends.
 *
 * `subject` is as this transaction read it before it looked whether the proof is still good: the session begins past the cutoffs that stood then, so
 * whoever changes the credentials after that ends it, whichever of the two commits first.
 */
export async function establish(
  tx: Tx,
  subject: SubjectRecord | undefined,
  proof: Proof,
  prepared: Prepared,
  visitor: Visitor,
  { settings, revoker }: Pick<SigninParts, 'settings' | 'revoker'>,
): Promise<Established | NotNow> {
  if (subject?.status !== 'active') return 'suspended'
  const nowAt = epochSeconds(tx.nowMs)
  const { secret, secretHash, device, devices } = prepared
  const proved = { authAt: proof.authAt ?? nowAt, acr: proof.acr, amr: proof.amr }

  const current = visitor.signedIn?.session
  const isTheirs = current?.subject === subject.id && current.createdAtMs > subject.revokedMs
  if (isTheirs && (await tx.sessions.reauthenticate(current.id, { ...proved, secretHash }))) {
    await tx.sessions.touch(current.id, nextIdle(current, nowAt, settings.sessionIdleSeconds))
    await tx.devices.touch(current.device, nowAt)
    return { session: { id: current.id, secret }, devices: visitor.deviceKeys }
  }

  if (prepared.known !== undefined) {
    // A suspension is for the browser until it is lifted, not until somebody signs in there again.
    if (!(await tx.devices.changeStanding(device.id, { from: ['active'], to: 'active' }))) return 'device_suspended'
    await tx.devices.touch(device.id, nowAt)
  } else {
    const standing = { status: 'active', cutoffMs: 0, revokedMs: 0 } as const
    const record = { id: device.id, subject: subject.id, secretHash: prepared.deviceHash, name: prepared.browserName }
    await tx.devices.create({ ...record, ...standing, createdAt: nowAt, lastSeenAt: nowAt })
  }
  // One browser, one session: who signs in as someone else has signed the other out.
  if (current !== undefined) {
    await revoker.within(tx, { kind: 'session', id: current.id }, { reason: 'replaced', actor: `subject:${current.subject}` })
  }
  const expiresAt = nowAt + settings.sessionMaxSeconds
  await tx.sessions.create({
    id: prepared.sessionId,
    subject: subject.id,
    device: device.id,
    secretHash,
    ...proved,
    status: 'active',
    cutoffMs: 0,
    revokedMs: 0,
    // A cutoff may lie a guard's length ahead: what begins after the revocation must begin after its cutoff too.
    createdAtMs:
      1 + Math.max(tx.nowMs - 1, subject.cutoffMs, subject.revokedMs, prepared.known?.cutoffMs ?? 0, await issuerFloor(tx)),
    idleExpiresAt: Math.min(nowAt + settings.sessionIdleSeconds, expiresAt),
    expiresAt,
  })
  return { session: { id: prepared.sessionId, secret }, devices }
}

const issuerFloor = async (tx: Tx): Promise<number> =>
  Math.max(Number((await tx.meta.get(ISSUER_CUTOFF)) ?? 0), Number((await tx.meta.get(ISSUER_REVOKED)) ?? 0))
