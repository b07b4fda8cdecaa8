/** Puts the tables together into the port's `Tx`, one for each unit of work, built as far as it is used. */
import type { Tx } from '../store.ts'
import { apiKeyTransitions } from './api-keys.ts'
import { batchTransitions } from './batches.ts'
import { clientTransitions } from './clients.ts'
import { consentTransitions } from './consents.ts'
import { familyTransitions } from './families.ts'
import { idempotencyTransitions, replayTransitions, throttleTransitions } from './guards.ts'
import { codeTransitions, interactionTransitions } from './handles.ts'
import { keyTransitions } from './keys.ts'
import { metaTransitions } from './meta.ts'
import type { News } from './news.ts'
import { peerTransitions } from './peers.ts'
import { resourceTransitions } from './resources.ts'
import { revocationTransitions } from './revocations.ts'
import { deviceTransitions, sessionTransitions } from './sessions.ts'
import type { Work } from './sql.ts'
import { subjectTransitions } from './subjects.ts'
import type { TermsTable } from './terms.ts'

/** What one opened store keeps in memory for its tables. */
export interface Shared {
  readonly terms: TermsTable
  readonly longestFamily: { seconds: number }
  /** Of its own commits; made with the lookups, through which it is followed. */
  news?: News
}

export class Transaction implements Tx {
  readonly #work: Work
  readonly #shared: Shared
  constructor(work: Work, shared: Shared) {
    this.#work = work
    this.#shared = shared
  }
  get nowMs(): number {
    return this.#work.nowMs
  }
  async latestMs(): Promise<number> {
    return Number((await this.#work.readOne('select max(at_ms) as latest from audit_batches', []))?.latest ?? 0)
  }
  get clients(): Tx['clients'] {
    return clientTransitions(this.#work)
  }
  get resources(): Tx['resources'] {
    return resourceTransitions(this.#work)
  }
  get subjects(): Tx['subjects'] {
    return subjectTransitions(this.#work)
  }
  get sessions(): Tx['sessions'] {
    return sessionTransitions(this.#work)
  }
  get devices(): Tx['devices'] {
    return deviceTransitions(this.#work)
  }
  get families(): Tx['families'] {
    return familyTransitions(this.#work, this.#shared.terms, this.#shared.longestFamily)
  }
  get codes(): Tx['codes'] {
    return codeTransitions(this.#work)
  }
  get consents(): Tx['consents'] {
    return consentTransitions(this.#work)
  }
  get apiKeys(): Tx['apiKeys'] {
    return apiKeyTransitions(this.#work)
  }
  get interactions(): Tx['interactions'] {
    return interactionTransitions(this.#work)
  }
  get keys(): Tx['keys'] {
    return keyTransitions(this.#work)
  }
  get peers(): Tx['peers'] {
    return peerTransitions(this.#work)
  }
  get replay(): Tx['replay'] {
    return replayTransitions(this.#work)
  }
  get throttle(): Tx['throttle'] {
    return throttleTransitions(this.#work)
  }
  get idempotency(): Tx['idempotency'] {
    return idempotencyTransitions(this.#work)
  }
  get revocations(): Tx['revocations'] {
    return revocationTransitions(this.#work, this.#shared.news)
  }
  get batches(): Tx['batches'] {
    return batchTransitions(this.#work)
  }
  get meta(): Tx['meta'] {
    return metaTransitions(this.#work)
  }
  audit(event: Parameters<Tx['audit']>[0]): void {
    this.#work.outbox.events.push(JSON.stringify(event))
  }
}
