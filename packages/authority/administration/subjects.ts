/** Looking after people: creating, inviting, changing and removing them; their passwords and passkeys. */
import { newId, type SubjectId } from '@signet/kernel/ids.ts'
import type { Secret } from '@signet/kernel/secret.ts'
import { type Chance, type Clock, epochSeconds, type Sha256 } from '@signet/kernel/surroundings.ts'
import { audited } from '../audit/events.ts'
import type { Revoker } from '../revocation/revoke.ts'
import type { Passwords } from '../signin/password.ts'
import { judgePassword, type PasswordFlaw } from '../signin/password-rules.ts'
import { createSetupLink, type SetupLink } from '../signin/setup.ts'
import { normalizeUsername } from '../signin/username.ts'
import type { SubjectRecord } from '../store/ports/subjects.ts'
import type { Store } from '../store/store.ts'
import type { Administrator, Asker } from './actor.ts'
import { once } from './once.ts'
import { invalid, refuse } from './reasons.ts'

export interface SubjectParts {
  readonly store: Store
  readonly revoker: Pick<Revoker, 'within'>
  readonly passwords: Pick<Passwords, 'hash'>
  readonly issuer: string
  readonly clock: Clock
  readonly chance: Chance
  readonly sha256: Sha256
}
export type { SubjectRecord }

export interface SubjectDraft {
  readonly username: string
  readonly claims: Readonly<Record<string, unknown>>
  readonly roles: readonly string[]
}

export async function findSubject(id: string, { store }: Pick<SubjectParts, 'store'>): Promise<SubjectRecord> {
  const subject = await store.subjects.find(id as SubjectId)
  if (subject === undefined) throw refuse('not_found', 'unknown_subject')
  return subject
}

export async function findByUsername(text: string, { store }: Pick<SubjectParts, 'store'>): Promise<SubjectRecord | undefined> {
  const username = normalizeUsername(text)
  return username === undefined ? undefined : store.subjects.findByUsername(username)
}

export async function createSubject(
  draft: SubjectDraft,
  password: Secret | undefined,
  actor: Administrator,
  parts: SubjectParts,
): Promise<SubjectRecord> {
  const { store, clock, chance } = parts
  const username = readUsername(draft.username)
  const subject: SubjectRecord = {
    ...draft,
    id: newId<SubjectId>(clock.now(), chance),
    username,
    ...(password === undefined ? {} : { passwordHash: await hash(password, username, parts) }),
    status: 'active',
    cutoffMs: 0,
    revokedMs: 0,
    createdAt: epochSeconds(clock.now()),
  }
  await store.transact(async (tx) => {
    if (!(await tx.subjects.create(subject))) throw refuse('conflict', 'username_taken')
    const detail = { roles: draft.roles, password: password !== undefined }
    tx.audit(audited(clock, chance, 'subject.created', actor, { subject: subject.id }, detail))
  })
  return subject
}

/** New roles or claims start a claims epoch: what tokens say is renewed everywhere, and nobody has to sign in again. */
export async function changeSubject(
  id: SubjectId,
  change: Partial<SubjectDraft>,
  actor: Administrator,
  parts: SubjectParts,
): Promise<SubjectRecord> {
  const { store, revoker, clock, chance } = parts
  const username = change.username === undefined ? {} : { username: readUsername(change.username) }
  return store.transact(async (tx) => {
    const before = await tx.subjects.find(id)
    if (before === undefined) throw refuse('not_found', 'unknown_subject')
    const after = { ...before, ...change, ...username }
    if (!(await tx.subjects.update(after, before))) {
      const now = await tx.subjects.find(id)
      throw refuse('conflict', JSON.stringify(now) === JSON.stringify(before) ? 'username_taken' : 'changed_meanwhile')
    }
    tx.audit(
      audited(clock, chance, 'subject.updated', actor, { subject: id }, { changed: Object.keys(change), roles: after.roles }),
    )
    if (change.roles !== undefined || change.claims !== undefined) {
      await revoker.within(tx, { kind: 'subject', id }, { reason: 'claims_changed', actor, keepGrants: true })
    }
    return after
  })
}

export async function removeSubject(
  id: SubjectId,
  asker: Asker,
  { store, revoker, clock, chance, sha256 }: SubjectParts,
): Promise<void> {
  const { actor } = asker
  const deletion = once(['subject.delete', id], asker, sha256)
  await store.transact(async (tx) => {
    if (await deletion.wasDoneElseClaim(tx)) return
    if ((await tx.subjects.find(id)) === undefined) throw refuse('not_found', 'unknown_subject')
    await revoker.within(tx, { kind: 'subject', id }, { reason: 'subject_deleted', actor })
    if (!(await tx.subjects.delete(id))) throw refuse('not_found', 'unknown_subject')
    tx.audit(audited(clock, chance, 'subject.deleted', actor, { subject: id }))
  })
}

/** Undefined takes the password away. Whoever knew the old one may have used it, so sessions and grants end. */
export async function setPassword(
  id: SubjectId,
  password: Secret | undefined,
  actor: Administrator,
  parts: SubjectParts,
): Promise<void> {
  const { store, revoker, clock, chance } = parts
  const { username } = await findSubject(id, parts)
  const passwordHash = password === undefined ? undefined : await hash(password, username, parts)
  await store.transact(async (tx) => {
    if (!(await tx.subjects.setPassword(id, passwordHash))) throw refuse('not_found', 'unknown_subject')
    const detail = { by: 'administrator', removed: password === undefined }
    tx.audit(audited(clock, chance, 'password.changed', actor, { subject: id }, detail))
    await revoker.within(tx, { kind: 'subject', id }, { reason: 'credential_changed', actor })
  })
}

/** For somebody new. The account is made when they open the link. */
export async function invite(
  offer: Omit<SubjectDraft, 'username'> & { readonly username?: string },
  actor: Administrator,
  parts: SubjectParts,
): Promise<SetupLink> {
  const { store } = parts
  const username = offer.username === undefined ? {} : { username: readUsername(offer.username) }
  // Better said now than when they open the link. It may be taken until then all the same.
  if (username.username !== undefined && (await store.subjects.findByUsername(username.username)) !== undefined) {
    throw refuse('conflict', 'username_taken')
  }
  return store.transact((tx) => createSetupLink(tx, { ...offer, ...username, kind: 'invitation' }, { actor }, parts))
}

/** For somebody who has lost every way in: what they set up replaces what they had. */
export async function recover(id: SubjectId, actor: Administrator, parts: SubjectParts): Promise<SetupLink> {
  const { roles } = await findSubject(id, parts)
  return parts.store.transact((tx) => createSetupLink(tx, { kind: 'recovery', roles, subject: id }, { actor }, parts))
}

/** Whoever holds it may have used it, so sessions and grants end. */
export async function removePasskey(
  subject: SubjectId,
  passkey: string,
  asker: Asker,
  { store, revoker, clock, chance, sha256 }: SubjectParts,
): Promise<void> {
  const { actor } = asker
  const removal = once(['passkey.remove', subject, passkey], asker, sha256)
  await store.transact(async (tx) => {
    if (await removal.wasDoneElseClaim(tx)) return
    if (!(await tx.subjects.deletePasskey(subject, passkey))) throw refuse('not_found', 'unknown_passkey')
    tx.audit(audited(clock, chance, 'passkey.removed', actor, { subject, credential: passkey }, { by: 'administrator' }))
    await revoker.within(tx, { kind: 'subject', id: subject }, { reason: 'credential_changed', actor })
  })
}

/** Outside any transaction: it takes tens of milliseconds. */
async function hash(password: Secret, username: string, { passwords }: SubjectParts): Promise<string> {
  const flaw = judgePassword(password.reveal(), username)
  if (flaw !== undefined) throw invalid({ path: 'password', message: FLAWS[flaw] })
  return passwords.hash(password)
}

function readUsername(text: string): string {
  const username = normalizeUsername(text)
  if (username === undefined)
    throw invalid({ path: 'username', message: 'must be letters, digits and ._+@- and begin with a letter or digit' })
  return username
}

const FLAWS: Readonly<Record<PasswordFlaw, string>> = {
  too_short: 'is too short',
  too_long: 'is too long',
  too_common: 'is one that everybody tries',
  contains_username: 'contains the username',
}
