/** Puts the tables together into the port's `Tx`, one for each unit of work, built as far as it is used. */
import type * as port from '../store.ts'
import { apiKeyTransitions } from './api-keys.ts'
import { batchTransitions } from './batches.ts'
import { clientTransitions } from './clients.ts'
import { consentTransitions } from './consents.ts'
import { familyTransitions } from './families.ts'
import { idempotencyTransitions, replayTransitions, throttleTransitions } from './guards.ts'
import { codeTransitions, interactionTransitions } from './handles.ts'
import { keyTransitions } from './keys.ts'
import { metaTransitions } from './meta.ts'
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
}

export class Transaction implements port.Tx {
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
  get clients(): port.ClientTransitions {
    return clientTransitions(this.#work)
  }
  get resources(): port.ResourceTransitions {
    return resourceTransitions(this.#work)
  }
  get subjects(): port.SubjectTransitions {
    return subjectTransitions(this.#work)
  }
  get sessions(): port.SessionTransitions {
    return sessionTransitions(this.#work)
  }
  get devices(): port.DeviceTransitions {
    return deviceTransitions(this.#work)
  }
  get families(): port.FamilyTransitions {
    return familyTransitions(this.#work, this.#shared.terms, this.#shared.longestFamily)
  }
  get codes(): port.CodeTransitions {
    return codeTransitions(this.#work)
  }
  get consents(): port.ConsentTransitions {
    return consentTransitions(this.#work)
  }
  get apiKeys(): port.ApiKeyTransitions {
    return apiKeyTransitions(this.#work)
  }
  get interactions(): port.InteractionTransitions {
    return interactionTransitions(this.#work)
  }
  get keys(): port.KeyTransitions {
    return keyTransitions(this.#work)
  }
  get peers(): port.PeerTransitions {
    return peerTransitions(this.#work)
  }
  get replay(): port.ReplayTransitions {
    return replayTransitions(this.#work)
  }
  get throttle(): port.ThrottleTransitions {
    return throttleTransitions(this.#work)
  }
  get idempotency(): port.IdempotencyTransitions {
    return idempotencyTransitions(this.#work)
  }
  get revocations(): port.RevocationTransitions {
    return revocationTransitions(this.#work)
  }
  get batches(): port.BatchTransitions {
    return batchTransitions(this.#work)
  }
  get meta(): port.MetaTransitions {
    return metaTransitions(this.#work)
  }
  audit(event: Parameters<port.Tx['audit']>[0]): void {
    this.#work.outbox.events.push(JSON.stringify(event))
  }
}
