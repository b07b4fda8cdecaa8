/** What a subject allowed a client. */
import type { ClientId, SubjectId } from '@signet/kernel/ids.ts'

export interface ConsentRecord {
  readonly subject: SubjectId
  readonly client: ClientId
  readonly scopes: readonly string[]
  readonly resources: readonly string[]
  readonly grantedAt: number
}

export interface ConsentLookups {
  find(subject: SubjectId, client: ClientId): Promise<ConsentRecord | undefined>
  ofSubject(subject: SubjectId): Promise<readonly ConsentRecord[]>
}

export interface ConsentTransitions {
  put(consent: ConsentRecord): Promise<void>
  /** Whether there is one. It cannot be deleted until this transaction has ended. */
  hold(subject: SubjectId, client: ClientId): Promise<boolean>
  delete(subject: SubjectId, client: ClientId): Promise<boolean>
}
