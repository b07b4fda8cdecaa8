/** Authorization codes and other single-use handles, and interactions: sign-ins under way. */
import type { FamilyId } from '@signet/kernel/ids.ts'

export type CodePurpose = 'authorization_code' | 'setup' | 'logout'

export interface CodeRecord {
  /** SHA-256 of the handle. */
  readonly hash: Uint8Array
  readonly purpose: CodePurpose
  /** JSON, at most 16 KiB. */
  readonly payload: string
  /** What must end if it is used twice. */
  readonly family?: FamilyId
  readonly expiresAt: number
}

export interface CodeLookups {
  /** The handle as it stands, unspent or spent; nothing changes. Undefined when unknown or expired. */
  find(
    hash: Uint8Array,
    purpose: CodePurpose,
    nowAt: number,
  ): Promise<{ readonly spent: boolean; readonly code: CodeRecord } | undefined>
}

export interface CodeTransitions {
  create(code: CodeRecord): Promise<void>
  /** Spends the handle. `won` for exactly one caller; `spent` for every later one; undefined when unknown or expired. */
  consume(
    hash: Uint8Array,
    purpose: CodePurpose,
    nowAt: number,
  ): Promise<{ outcome: 'won' | 'spent'; code: CodeRecord } | undefined>
}

/** A sign-in or consent under way in one browser. */
export interface InteractionRecord {
  /** SHA-256 of the handle in the URL. */
  readonly hash: Uint8Array
  /** SHA-256 of the browser's interaction cookie: nobody else may go on with it. */
  readonly browserHash: Uint8Array
  /** JSON, at most 32 KiB. */
  readonly payload: string
  readonly version: number
  readonly expiresAt: number
}

export interface InteractionLookups {
  find(hash: Uint8Array): Promise<InteractionRecord | undefined>
}

export interface InteractionTransitions {
  create(interaction: InteractionRecord): Promise<void>
  /** Replaces the payload; false when `version` is not the current one. The new version is `version + 1`. */
  update(hash: Uint8Array, version: number, payload: string): Promise<boolean>
  /** Ends it; true for exactly one caller. */
  finish(hash: Uint8Array, version: number): Promise<boolean>
}
