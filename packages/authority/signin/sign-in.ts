/**
 * Proving who you are, by password or by passkey, on the page of an interaction. Whatever is wrong, a stranger gets one
 * answer after the same work.
 */
import type { SessionId, SubjectId } from '@signet/kernel/ids.ts'
import type { Secret } from '@signet/kernel/secret.ts'
import { epochSeconds } from '@signet/kernel/surroundings.ts'
import { type AuditIds, audited } from '../audit/events.ts'
import type { SubjectRecord } from '../store/ports/subjects.ts'
import type { Tx } from '../store/store.ts'
import { ACR_PASSKEY, ACR_PASSWORD, AMR_PASSWORD } from './acr.ts'
import { deviceOf, type KnownDevice } from './device.ts'
import { type Established, establish, type NotNow, type Proof, prepareSession } from './establish.ts'
import { changeInteraction, type Interaction, newChallenge } from './interaction.ts'
import { type Attempt, giveBackTries, takePasskeyTry, takeTry } from './lockout.ts'
import type { SigninParts } from './parts.ts'
import { verifyPasskey } from './passkey.ts'
import { normalizeUsername } from './username.ts'
import { knownDevices, type Visitor } from './visitor.ts'

/** What the person is told. `no_match` covers everything that would tell a stranger whether an account exists. */
export type SignInRefusal =
  | { readonly kind: 'refused'; readonly reason: 'no_match' | 'passkey_failed' | NotNow; readonly interaction: Interaction }
  | {
      readonly kind: 'refused'
      readonly reason: 'throttled'
      readonly retryAfterSeconds: number
      readonly interaction: Interaction
    }
  | { readonly kind: 'over' }

export interface SignedInHere {
  readonly kind: 'signed_in'
  readonly established: Established
  readonly subject: SubjectId
  readonly interaction: Interaction
}

type Parts = Pick<
  SigninParts,
  'store' | 'settings' | 'clock' | 'chance' | 'sha256' | 'passwords' | 'site' | 'revoker' | 'signedIn'
>

export async function signInWithPassword(
  given: { readonly username: string; readonly password: Secret },
  interaction: Interaction,
  visitor: Visitor,
  parts: Parts,
): Promise<SignedInHere | SignInRefusal> {
  const { store, passwords, sha256 } = parts
  // What can't be a username still goes the whole way, as nobody's.
  const username = normalizeUsername(given.username) ?? ''
  const [subject, devices] = await Promise.all([store.subjects.findByUsername(username), knownDevices(visitor, parts)])
  const known = deviceOf(devices, subject?.id)
  const attempt: Attempt = { username, knownDevice: known?.record.id, address: visitor.address }

  const leave = await store.transact((tx) => takeTry(tx, attempt, sha256))
  if (!leave.allowed) return throttled(leave.retryAfterSeconds, interaction, parts)

  const { genuine, outdated } = await passwords.verify(given.password, subject?.passwordHash)
  if (!genuine || subject === undefined) {
    await refuse(parts, interaction, 'password', 'no_match', { subject: subject?.id, device: known?.record.id })
    return { kind: 'refused', reason: 'no_match', interaction }
  }
  const rehashed = outdated ? await passwords.hash(given.password) : undefined
  const isStillGood = async (tx: Tx, person: SubjectRecord): Promise<boolean> => {
    // Writes to the account first, so that nobody changes the password until this commits.
    const mayRehash = rehashed !== undefined && (await tx.subjects.changeStanding(subject.id, { from: ['active'], to: 'active' }))
    const now = mayRehash ? await tx.subjects.find(subject.id) : person
    // Hashing takes a while: whoever changed the password meanwhile has shut out those who know the old one.
    if (now?.passwordHash !== subject.passwordHash) return false
    await giveBackTries(tx, attempt, sha256)
    if (mayRehash) await tx.subjects.setPassword(subject.id, rehashed)
    return true
  }
  return finish(subject.id, { acr: ACR_PASSWORD, amr: AMR_PASSWORD }, devices, isStillGood, interaction, visitor, parts)
}

export async function signInWithPasskey(
  response: string,
  interaction: Interaction,
  visitor: Visitor,
  parts: Parts,
): Promise<SignedInHere | SignInRefusal> {
  const { store, clock, chance, sha256, site } = parts
  const challenge = newChallenge(chance)
  const leave = await store.transact(async (tx) => {
    const leave = await takePasskeyTry(tx, visitor.address, sha256)
    // The challenge is spent by being answered, rightly or not.
    return leave.allowed && !(await changeInteraction(tx, interaction, { challenge }, sha256)) ? undefined : leave
  })
  if (leave === undefined) return { kind: 'over' }
  if (!leave.allowed) return throttled(leave.retryAfterSeconds, interaction, parts)
  const next: Interaction = { ...interaction, challenge, version: interaction.version + 1 }

  const proof =
    site === undefined ? 'passkey_malformed' : await verifyPasskey(response, interaction.challenge, site, store.subjects)
  if (typeof proof === 'string') {
    await refuse(parts, next, 'passkey', proof, {})
    return { kind: 'refused', reason: 'passkey_failed', interaction: next }
  }
  const { passkey, counter, amr } = proof
  const devices = await knownDevices(visitor, parts)
  // WebAuthn §6.1.1: a counter that does not rise may mean that the key was copied.
  const isStillGood = (tx: Tx) => tx.subjects.usePasskey(passkey.id, counter, epochSeconds(clock.now()))
  return finish(passkey.subject, { acr: ACR_PASSKEY, amr }, devices, isStillGood, next, visitor, parts)
}

/** One transaction: what the method wants to look at and write, the session, and that this interaction was proved in it. */
async function finish(
  subject: SubjectId,
  proof: Proof,
  devices: readonly KnownDevice[],
  isStillGood: (tx: Tx, person: SubjectRecord) => Promise<boolean>,
  interaction: Interaction,
  visitor: Visitor,
  parts: Parts,
): Promise<SignedInHere | SignInRefusal> {
  const { store, clock, chance, sha256 } = parts
  const prepared = prepareSession(subject, visitor, devices, parts)
  const method = proof.acr === ACR_PASSKEY ? 'passkey' : 'password'
  const outcome = await store
    .transact(async (tx): Promise<Established | NotNow | 'over' | 'unproven'> => {
      const person = await tx.subjects.find(subject)
      if (person === undefined || !(await isStillGood(tx, person))) return 'unproven'
      const established = await establish(tx, person, proof, prepared, visitor, parts)
      if (typeof established === 'string') return established
      const proved: SessionId = established.session.id
      if (!(await changeInteraction(tx, interaction, { proved }, sha256))) throw new Overtaken()
      const ids = { subject, session: proved, client: clientOf(interaction) }
      tx.audit(audited(clock, chance, 'signin.succeeded', `subject:${subject}`, ids, { method, acr: proof.acr, amr: proof.amr }))
      return established
    })
    .catch((error: unknown) => {
      if (error instanceof Overtaken) return 'over' as const
      throw error
    })
  if (outcome === 'over') return { kind: 'over' }
  if (outcome === 'suspended' || outcome === 'device_suspended') {
    await refuse(parts, interaction, method, outcome, { subject })
    return { kind: 'refused', reason: outcome, interaction }
  }
  if (outcome === 'unproven') {
    await refuse(parts, interaction, method, method === 'passkey' ? 'passkey_counter' : 'no_match', { subject })
    return { kind: 'refused', reason: method === 'passkey' ? 'passkey_failed' : 'no_match', interaction }
  }
  parts.signedIn('succeeded')
  const { id } = outcome.session
  return {
    kind: 'signed_in',
    established: outcome,
    subject,
    interaction: { ...interaction, proved: id, version: interaction.version + 1 },
  }
}

/** Something else went on with the interaction first: what this one wrote is undone. */
class Overtaken extends Error {}

function throttled(retryAfterSeconds: number, interaction: Interaction, parts: Parts): SignInRefusal {
  parts.signedIn('throttled') // Counted, not audited: the record must not be for anyone to fill.
  return { kind: 'refused', reason: 'throttled', retryAfterSeconds, interaction }
}

async function refuse(parts: Parts, interaction: Interaction, method: string, reason: string, ids: AuditIds): Promise<void> {
  parts.signedIn(reason)
  const event = audited(
    parts.clock,
    parts.chance,
    'signin.refused',
    'system',
    { ...ids, client: clientOf(interaction) },
    { method, reason },
  )
  await parts.store.transact(async (tx) => tx.audit(event))
}

const clientOf = ({ undertaking }: Interaction): string | undefined =>
  undertaking.kind === 'authorize' ? undertaking.request.client : undefined
