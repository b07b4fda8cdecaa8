/**
 * One-time links that let someone set up how they sign in: the first administrator, an invited user, or someone who has lost
 * every way in. The link is the only secret; looking at it spends nothing, setting up spends it together with what it makes.
 */
import { toBase64Url } from '@signet/kernel/bytes.ts'
import { newId, type SubjectId } from '@signet/kernel/ids.ts'
import { decodeOpaque, encodeOpaque } from '@signet/kernel/opaque-token.ts'
import { Secret } from '@signet/kernel/secret.ts'
import { type Chance, type Clock, epochSeconds, type Sha256 } from '@signet/kernel/surroundings.ts'
import { type AuditActor, audited } from '../audit/events.ts'
import { ISSUER_REVOKED, issuerStanding } from '../revocation/standing.ts'
import type { SubjectRecord } from '../store/ports/subjects.ts'
import type { Store, Tx } from '../store/store.ts'
import { ACR_PASSKEY, ACR_PASSWORD, AMR_PASSWORD } from './acr.ts'
import { type Browser, browserCookie } from './browser.ts'
import { describeBrowser } from './device.ts'
import { type Established, establish, prepareSession } from './establish.ts'
import type { SigninParts } from './parts.ts'
import { type NewPasskey, verifyNewPasskey } from './passkey.ts'
import { judgePassword, type PasswordFlaw } from './password-rules.ts'
import { normalizeUsername } from './username.ts'
import { knownDevices, type Visitor } from './visitor.ts'

/** Whom the link is for. */
export interface SetupOffer {
  /** `first`: of all links of this kind one works, whichever is used first. `recovery` is for `subject`, who exists. */
  readonly kind: 'first' | 'invitation' | 'recovery'
  readonly roles: readonly string[]
  /** Given, it is fixed; else the person chooses one. */
  readonly username?: string
  readonly claims?: Readonly<Record<string, unknown>>
  /** Of a recovery. */
  readonly subject?: SubjectId
}

export interface SetupLink {
  readonly handle: string
  readonly url: string
  readonly expiresAt: number
}

/** A day, so that an invitation sent in the evening works in the morning. Cap: a week. */
export const SETUP_SECONDS = 86_400
const MAX_SETUP_SECONDS = 7 * 86_400
const HANDLE_BYTES = 32

interface SetupPayload extends SetupOffer {
  /** Whom it will make, decided now, since a passkey is made for an id. */
  readonly subject: SubjectId
  /** What is revoked at or after this moment takes the link with it: another link used, an act on the whole issuer, a restored backup. */
  readonly madeAtMs: number
}

/** Makes a link in the caller's transaction. The handle is not kept; show it now or never. */
export async function createSetupLink(
  tx: Tx,
  offer: SetupOffer,
  by: { readonly actor: AuditActor; readonly seconds?: number },
  parts: { readonly issuer: string; readonly clock: Clock; readonly chance: Chance; readonly sha256: Sha256 },
): Promise<SetupLink> {
  const { issuer, clock, chance, sha256 } = parts
  const username = offer.username === undefined ? undefined : normalizeUsername(offer.username)
  if (offer.username !== undefined && username === undefined) throw new Error('not a username')
  if ((offer.kind === 'recovery') !== (offer.subject !== undefined))
    throw new Error('a recovery, and nothing else, is for a subject who exists')
  const secret = chance.bytes(HANDLE_BYTES)
  const subject = offer.subject ?? newId<SubjectId>(tx.nowMs, chance)
  const expiresAt = epochSeconds(tx.nowMs) + Math.min(by.seconds ?? SETUP_SECONDS, MAX_SETUP_SECONDS)
  const madeAtMs = Math.max(tx.nowMs, 1 + (await revokedMsFor(tx, offer.subject)))
  const payload: SetupPayload = { ...offer, ...(username === undefined ? {} : { username }), subject, madeAtMs }
  await tx.codes.create({ hash: sha256(secret), purpose: 'setup', payload: JSON.stringify(payload), expiresAt })
  tx.audit(audited(clock, chance, 'setup.offered', by.actor, { subject }, { kind: offer.kind, roles: offer.roles }))
  const handle = encodeOpaque('setup', secret)
  return { handle, url: `${issuer}/setup/${handle}`, expiresAt }
}

/** Since when everything that such a link could rest on has ended, as this transaction sees it. */
async function revokedMsFor(tx: Tx, recovered: SubjectId | undefined): Promise<number> {
  const ofAll = Number((await tx.meta.get(ISSUER_REVOKED)) ?? 0)
  return recovered === undefined ? ofAll : Math.max(ofAll, (await tx.subjects.find(recovered))?.revokedMs ?? 0)
}

/** What a person who opens the link is to be shown. */
export interface Setup {
  readonly handle: string
  readonly kind: SetupOffer['kind']
  readonly subject: SubjectId
  /** Fixed by the link or, in a recovery, by the account. */
  readonly username: string | undefined
  /** What a new passkey signs; this browser's for this link. */
  readonly challenge: string
}

type LookParts = Pick<SigninParts, 'store' | 'clock' | 'sha256'>

/** Looks at the link without spending it. `over`: unknown, too old or used. */
export async function findSetup(handle: string, browser: Browser, parts: LookParts): Promise<Setup | 'over'> {
  const secret = decodeOpaque('setup', handle)
  if (secret?.length !== HANDLE_BYTES) return 'over'
  const found = await parts.store.codes.find(parts.sha256(secret), 'setup', epochSeconds(parts.clock.now()))
  if (found === undefined || found.spent) return 'over'
  const payload = JSON.parse(found.code.payload) as SetupPayload
  const account = payload.kind === 'recovery' ? await parts.store.subjects.find(payload.subject) : undefined
  if (payload.kind === 'recovery' && account?.status !== 'active') return 'over'
  const { revokedMs } = await issuerStanding(parts.store)
  if (Math.max(revokedMs, account?.revokedMs ?? 0) >= payload.madeAtMs) return 'over'
  const { kind, subject } = payload
  return {
    handle,
    kind,
    subject,
    username: account?.username ?? payload.username,
    challenge: challengeOf(handle, browser, parts.sha256),
  }
}

/** Nobody who lacks both the link and the browser's cookie can foresee it, and with the link it is spent. */
const challengeOf = (handle: string, browser: Browser, sha256: Sha256): string =>
  toBase64Url(sha256(`signet/setup-challenge\u0000${handle}\u0000${browserCookie(browser)}`))

export type SetupFlaw =
  | 'username_malformed'
  | 'username_taken'
  | 'passwords_differ'
  | 'nothing_chosen'
  | 'passkey_failed'
  | PasswordFlaw

export interface Chosen {
  readonly username: string
  /** Empty when only a passkey is wanted. */
  readonly password: string
  readonly repeated: string
  /** The authenticator's answer, when a passkey is wanted. */
  readonly passkey: string | undefined
}

type SetUpParts = Pick<
  SigninParts,
  'store' | 'settings' | 'clock' | 'chance' | 'sha256' | 'passwords' | 'site' | 'revoker' | 'triggers'
>

/** Makes the account, or new ways into it, and signs in. Whatever is wrong with what was chosen, the link still works. */
export async function setUp(
  setup: Setup,
  chosen: Chosen,
  visitor: Visitor,
  parts: SetUpParts,
): Promise<
  | { readonly kind: 'flaw'; readonly flaw: SetupFlaw }
  | { readonly kind: 'over' }
  | { readonly kind: 'done'; readonly established: Established; readonly subject: SubjectId }
> {
  const { store, clock, chance, sha256 } = parts
  const username = setup.username ?? normalizeUsername(chosen.username)
  if (username === undefined) return { kind: 'flaw', flaw: 'username_malformed' }
  const ways = await judgeWays(setup, chosen, username, parts)
  if (typeof ways === 'string') return { kind: 'flaw', flaw: ways }
  const passwordHash = ways.password === undefined ? undefined : await parts.passwords.hash(ways.password)
  const prepared = prepareSession(setup.subject, visitor, await knownDevices(visitor, parts), parts)
  const secret = decodeOpaque('setup', setup.handle) as Uint8Array

  const outcome = await store
    .transact(async (tx): Promise<Established | 'over'> => {
      const nowAt = epochSeconds(tx.nowMs)
      const spent = await tx.codes.consume(sha256(secret), 'setup', nowAt)
      if (spent?.outcome !== 'won') return 'over'
      const offer = JSON.parse(spent.code.payload) as SetupPayload
      const subject = offer.subject
      if ((await revokedMsFor(tx, offer.kind === 'recovery' ? subject : undefined)) >= offer.madeAtMs) throw new Flawed('over')
      if (offer.kind === 'recovery') await dropOldWays(tx, subject, passwordHash, parts)
      else await createAccount(tx, offer, username, passwordHash, nowAt, parts)
      if (ways.passkey !== undefined)
        await addPasskey(tx, subject, ways.passkey, describeBrowser(visitor.userAgent), nowAt, parts)
      const proof =
        ways.passkey === undefined ? { acr: ACR_PASSWORD, amr: AMR_PASSWORD } : { acr: ACR_PASSKEY, amr: ways.passkey.amr }
      const established = await establish(tx, await tx.subjects.find(subject), proof, prepared, visitor, parts)
      if (typeof established === 'string') throw new Flawed('over')
      const ids = { subject, session: established.session.id }
      tx.audit(
        audited(clock, chance, 'signin.succeeded', `subject:${subject}`, ids, {
          method: 'setup',
          acr: proof.acr,
          amr: proof.amr,
        }),
      )
      return established
    })
    .catch((error: unknown) => {
      if (error instanceof Flawed) return error.flaw
      throw error
    })
  if (outcome === 'over') return { kind: 'over' }
  if (typeof outcome === 'string') return { kind: 'flaw', flaw: outcome }
  return { kind: 'done', established: outcome, subject: setup.subject }
}

/** Thrown inside the transaction, so that the link is not spent. */
class Flawed extends Error {
  readonly flaw: SetupFlaw | 'over'
  constructor(flaw: SetupFlaw | 'over') {
    super(flaw)
    this.flaw = flaw
  }
}

interface Ways {
  readonly password: Secret | undefined
  readonly passkey: NewPasskey | undefined
}

async function judgeWays(setup: Setup, chosen: Chosen, username: string, { site }: SetUpParts): Promise<Ways | SetupFlaw> {
  const { password, repeated } = chosen
  if (password === '' && chosen.passkey === undefined) return 'nothing_chosen'
  if (password !== '') {
    const flaw = judgePassword(password, username)
    if (flaw !== undefined) return flaw
    if (password !== repeated) return 'passwords_differ'
  }
  const passkey =
    chosen.passkey === undefined ? undefined : site && (await verifyNewPasskey(chosen.passkey, setup.challenge, site))
  if (typeof passkey === 'string' || (chosen.passkey !== undefined && passkey === undefined)) return 'passkey_failed'
  return { password: password === '' ? undefined : new Secret(password), passkey }
}

async function createAccount(
  tx: Tx,
  offer: SetupPayload,
  username: string,
  passwordHash: string | undefined,
  nowAt: number,
  { clock, chance, sha256 }: SetUpParts,
): Promise<void> {
  const { subject, kind, roles, claims = {} } = offer
  // Every start without an administrator prints a link; the first one used makes the others worthless.
  if (kind === 'first' && !(await tx.replay.remember(sha256('signet/first-administrator'), FOREVER))) throw new Flawed('over')
  const record: SubjectRecord = {
    id: subject,
    username,
    ...(passwordHash === undefined ? {} : { passwordHash }),
    claims,
    roles,
    createdAt: nowAt,
    status: 'active',
    cutoffMs: 0,
    revokedMs: 0,
  }
  if (!(await tx.subjects.create(record))) throw new Flawed('username_taken')
  tx.audit(audited(clock, chance, 'subject.created', `subject:${subject}`, { subject }, { kind, roles }))
}
/** Epoch seconds; a hundred years on. */
const FOREVER = 4_900_000_000

/** A recovery is for someone who lost what they had, perhaps to somebody: nothing of before works on. */
async function dropOldWays(
  tx: Tx,
  subject: SubjectId,
  passwordHash: string | undefined,
  { clock, chance, triggers }: SetUpParts,
): Promise<void> {
  if (!(await tx.subjects.setPassword(subject, passwordHash))) throw new Flawed('over')
  tx.audit(audited(clock, chance, 'password.changed', `subject:${subject}`, { subject }, { by: 'recovery' }))
  // Sessions end first: one that adds a passkey at this moment either finds that it has ended, or its passkey is found here.
  await triggers.credentialChanged(tx, subject, `subject:${subject}`)
  for (const { id } of await tx.subjects.passkeys(subject)) {
    await tx.subjects.deletePasskey(subject, id)
    tx.audit(audited(clock, chance, 'passkey.removed', `subject:${subject}`, { subject, credential: id }, { by: 'recovery' }))
  }
}

async function addPasskey(
  tx: Tx,
  subject: SubjectId,
  { amr: _, ...credential }: NewPasskey,
  name: string,
  nowAt: number,
  { clock, chance }: SetUpParts,
): Promise<void> {
  const added = await tx.subjects.addPasskey({ ...credential, subject, name, createdAt: nowAt })
  if (added !== 'added') throw new Flawed('passkey_failed')
  tx.audit(audited(clock, chance, 'passkey.added', `subject:${subject}`, { subject, credential: credential.id }))
}

/** Whether there is nobody yet, so that a link for the first administrator is called for. */
export const needsFirstAdministrator = async (store: Pick<Store, 'subjects'>): Promise<boolean> =>
  (await store.subjects.count()) === 0
