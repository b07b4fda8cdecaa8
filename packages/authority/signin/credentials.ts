/**
 * Changing how one signs in: password and passkeys. Each change needs a fresh proof of who it is, at the highest level the
 * account has, for else whoever got hold of a password could add a passkey of his own. Taking a way in away, or replacing it,
 * ends everything that was begun by the old ones; this browser goes on in a session begun after it.
 */

import type { SessionId } from '@signet/kernel/ids.ts'
import { Secret } from '@signet/kernel/secret.ts'
import { epochSeconds } from '@signet/kernel/surroundings.ts'
import { audited } from '../audit/events.ts'
import { MAX_PASSKEYS, type PasskeyRecord, type SubjectRecord } from '../store/ports/subjects.ts'
import type { Tx } from '../store/store.ts'
import { ACR_PASSKEY, ACR_PASSWORD, type Acr, reaches } from './acr.ts'
import { describeBrowser } from './device.ts'
import { type Established, establish, prepareSession } from './establish.ts'
import { finishInteraction, type Interaction, type Undertaking } from './interaction.ts'
import type { SignInReason } from './judge.ts'
import type { SigninParts } from './parts.ts'
import { verifyNewPasskey } from './passkey.ts'
import { judgePassword, type PasswordFlaw } from './password-rules.ts'
import { isAliveStill, type SignedIn } from './session.ts'
import { knownDevices, type Visitor } from './visitor.ts'

/** A proof of who it is may be so old for a change of credentials. */
export const RECENT_SECONDS = 600

type Parts = Pick<
  SigninParts,
  'store' | 'settings' | 'clock' | 'chance' | 'sha256' | 'passwords' | 'site' | 'revoker' | 'triggers'
>

/** The proof that is asked for before a change; undefined when there is one. */
export async function missingProof(
  { session, subject }: SignedIn,
  { store, clock, site }: Pick<Parts, 'store' | 'clock' | 'site'>,
): Promise<{ readonly atLeast: Acr; readonly maxAge: number } | undefined> {
  const hasPasskey = site !== undefined && (await store.subjects.passkeys(subject.id)).length > 0
  const atLeast = hasPasskey ? ACR_PASSKEY : ACR_PASSWORD
  const isFresh = epochSeconds(clock.now()) - session.authAt <= RECENT_SECONDS
  return isFresh && reaches(session.acr, atLeast) ? undefined : { atLeast, maxAge: RECENT_SECONDS }
}

/** What the way to an own page asks for next: pure. */
export function judgeAccountStep(
  { atLeast = ACR_PASSWORD, maxAge }: Extract<Undertaking, { kind: 'account' }>,
  signedIn: SignedIn | undefined,
  proved: SessionId | undefined,
  nowAt: number,
): { readonly kind: 'sign_in'; readonly why: SignInReason; readonly atLeast: Acr } | { readonly kind: 'ready' } {
  if (signedIn === undefined) return { kind: 'sign_in', why: 'nobody', atLeast }
  if (!reaches(signedIn.session.acr, atLeast)) return { kind: 'sign_in', why: 'too_weak', atLeast }
  const isOld = maxAge !== undefined && nowAt - signedIn.session.authAt > maxAge
  return isOld && proved !== signedIn.session.id ? { kind: 'sign_in', why: 'too_old', atLeast } : { kind: 'ready' }
}

export type CredentialFlaw = PasswordFlaw | 'passwords_differ' | 'passkey_failed' | 'too_many_passkeys' | 'last_way_in' | 'gone'

export async function changePassword(
  given: { readonly password: string; readonly repeated: string },
  visitor: Visitor,
  signedIn: SignedIn,
  parts: Parts,
): Promise<Established | CredentialFlaw> {
  const { subject } = signedIn
  const flaw = judgePassword(given.password, subject.username)
  if (flaw !== undefined) return flaw
  if (given.password !== given.repeated) return 'passwords_differ'
  const hash = await parts.passwords.hash(new Secret(given.password))
  return renew(visitor, signedIn, parts, async (tx) => {
    if (!(await tx.subjects.setPassword(subject.id, hash))) return false
    tx.audit(audited(parts.clock, parts.chance, 'password.changed', `subject:${subject.id}`, { subject: subject.id }))
    return true
  })
}

/** Adds what the authenticator made for this interaction's challenge; each interaction adds one. */
export async function addPasskey(
  given: { readonly response: string; readonly name: string },
  interaction: Interaction,
  visitor: Visitor,
  signedIn: SignedIn,
  { store, clock, chance, sha256, site }: Parts,
): Promise<'added' | CredentialFlaw> {
  const { subject } = signedIn
  const existing = await store.subjects.passkeys(subject.id)
  if (existing.length >= MAX_PASSKEYS) return 'too_many_passkeys'
  const made = site === undefined ? 'passkey_malformed' : await verifyNewPasskey(given.response, interaction.challenge, site)
  if (typeof made === 'string') return 'passkey_failed'
  const { amr: _, ...credential } = made
  const name = given.name.trim().slice(0, 64) || describeBrowser(visitor.userAgent)
  const record: PasskeyRecord = { ...credential, subject: subject.id, name, createdAt: epochSeconds(clock.now()) }
  const event = audited(clock, chance, 'passkey.added', `subject:${subject.id}`, {
    subject: subject.id,
    credential: credential.id,
  })
  return store
    .transact(async (tx) => {
      if (!(await finishInteraction(tx, interaction, sha256))) return 'gone'
      const added = await tx.subjects.addPasskey(record)
      if (added !== 'added') throw new NotAdded(FLAWS[added])
      // Last: a recovery that drops all passkeys at this moment either is seen here, or sees this one.
      if (!(await isAliveStill(tx, signedIn))) throw new NotAdded('gone')
      tx.audit(event)
      return 'added' as const
    })
    .catch((error: unknown) => {
      if (error instanceof NotAdded) return error.flaw
      throw error
    })
}

/** Undoes what was written. */
class NotAdded extends Error {
  readonly flaw: CredentialFlaw
  constructor(flaw: CredentialFlaw) {
    super(flaw)
    this.flaw = flaw
  }
}

const FLAWS = { taken: 'passkey_failed', too_many: 'too_many_passkeys', no_subject: 'gone' } as const

export async function removePasskey(
  id: string,
  visitor: Visitor,
  signedIn: SignedIn,
  parts: Parts,
): Promise<Established | CredentialFlaw> {
  const { subject } = signedIn
  const passkeys = await parts.store.subjects.passkeys(subject.id)
  if (!passkeys.some((one) => one.id === id)) return 'gone'
  if (!hasOtherWay(subject, passkeys, id)) return 'last_way_in'
  return renew(visitor, signedIn, parts, async (tx) => {
    if (!(await tx.subjects.deletePasskey(subject.id, id))) return false
    tx.audit(
      audited(parts.clock, parts.chance, 'passkey.removed', `subject:${subject.id}`, { subject: subject.id, credential: id }),
    )
    return true
  })
}

export const hasOtherWay = (subject: SubjectRecord, passkeys: readonly PasskeyRecord[], without: string): boolean =>
  subject.passwordHash !== undefined || passkeys.some(({ id }) => id !== without)

/** The change, the end of everything begun before it (one write, whatever there is of it), and this browser's new session. */
async function renew(
  visitor: Visitor,
  signedIn: SignedIn,
  parts: Parts,
  change: (tx: Tx) => Promise<boolean>,
): Promise<Established | 'gone'> {
  const { store, triggers } = parts
  const { subject, session } = signedIn
  const prepared = prepareSession(subject.id, visitor, await knownDevices(visitor, parts), parts)
  const proof = { acr: session.acr, amr: session.amr, authAt: session.authAt }
  return store.transact(async (tx) => {
    // A session that was ended while the password was being hashed must not change it, and live on in a new one.
    if (!(await isAliveStill(tx, signedIn)) || !(await change(tx))) return 'gone'
    await triggers.credentialChanged(tx, subject.id, `subject:${subject.id}`)
    const established = await establish(
      tx,
      await tx.subjects.find(subject.id),
      proof,
      prepared,
      { ...visitor, signedIn: undefined },
      parts,
    )
    return typeof established === 'string' ? 'gone' : established
  })
}
