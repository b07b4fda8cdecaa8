/** Subjects, and the passkeys they sign in with. */
import type { SubjectId } from '@signet/kernel/ids.ts'
import type { Page } from './page.ts'
import type { Standing, StandingChange } from './standing.ts'

export interface SubjectRecord extends Standing {
  readonly id: SubjectId
  /** What the person types to sign in; unique, lower-cased. Personal data: never in logs, audit, tokens. */
  readonly username: string
  /** argon2id in PHC form; absent when the person has passkeys only. */
  readonly passwordHash?: string
  /** OpenID claims (name, email, …) for userinfo and ID tokens. Personal data. */
  readonly claims: Readonly<Record<string, unknown>>
  /** Roles in Signet itself: `admin` may use the admin API. */
  readonly roles: readonly string[]
  readonly createdAt: number
}

export interface PasskeyRecord {
  /** Credential id, base64url. */
  readonly id: string
  readonly subject: SubjectId
  readonly publicKey: Uint8Array
  readonly counter: number
  readonly transports: readonly string[]
  readonly name: string
  readonly createdAt: number
  readonly lastUsedAt?: number
}

/** Passkeys that one subject may have: more than anyone needs; the list is sent to the browser whenever one is added. */
export const MAX_PASSKEYS = 20

export interface SubjectLookups {
  find(id: SubjectId): Promise<SubjectRecord | undefined>
  findByUsername(username: string): Promise<SubjectRecord | undefined>
  list(page: Page): Promise<readonly SubjectRecord[]>
  count(): Promise<number>
  passkeys(id: SubjectId): Promise<readonly PasskeyRecord[]>
  passkey(credentialId: string): Promise<PasskeyRecord | undefined>
}

export interface SubjectTransitions {
  find(id: SubjectId): Promise<SubjectRecord | undefined>
  /** False when the id or the username is taken. */
  create(subject: SubjectRecord): Promise<boolean>
  /**
   * Replaces username, claims and roles. False when there is none, when the username is taken or, given `before`, when what it
   * replaces is not as it stood there.
   */
  update(subject: SubjectRecord, before?: SubjectRecord): Promise<boolean>
  setPassword(id: SubjectId, passwordHash: string | undefined): Promise<boolean>
  changeStanding(id: SubjectId, change: StandingChange): Promise<boolean>
  /** Undoes a revocation: `revokedMs` goes back from `made` to `before`. False unless it is `made`: a later one stands. */
  withdraw(id: SubjectId, made: number, before: number): Promise<boolean>
  delete(id: SubjectId): Promise<boolean>
  /** As this transaction sees them. */
  passkeys(id: SubjectId): Promise<readonly PasskeyRecord[]>
  /** `taken`: somebody has this credential already. One at a time for each subject, whichever nodes add at once. */
  addPasskey(passkey: PasskeyRecord): Promise<'added' | 'taken' | 'too_many' | 'no_subject'>
  /** Records a use; false when the counter did not rise although it must (WebAuthn §6.1.1). */
  usePasskey(id: string, counter: number, usedAt: number): Promise<boolean>
  deletePasskey(subject: SubjectId, id: string): Promise<boolean>
}
