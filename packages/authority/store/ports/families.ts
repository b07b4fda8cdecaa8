/** Refresh families, by what was granted and how it is rotated. */
import type { ClientId, DeviceId, FamilyId, SessionId, SubjectId, TokenId } from '@signet/kernel/ids.ts'
import type { PlatformClass } from './clients.ts'
import type { Page } from './page.ts'
import type { Standing, StandingChange, Status } from './standing.ts'

/** What was granted: alike for very many families, so each distinct one is stored once and never changes. */
export interface Terms {
  readonly client: ClientId
  readonly platform: PlatformClass
  readonly scope: readonly string[]
  readonly resources: readonly string[]
  readonly acr: string
  readonly amr: readonly string[]
  readonly policy: string
  readonly idleSeconds: number
}

export interface FamilyRecord {
  readonly id: FamilyId
  readonly terms: Terms
  readonly subject: SubjectId
  readonly session?: SessionId
  readonly device?: DeviceId
  /** Token this grant was derived from, if any. */
  readonly parent?: TokenId
  readonly status: Status
  readonly cutoffMs: number
  /** Issue time of the grant: just past every cutoff that stood then. */
  readonly createdAtMs: number
  readonly authAt: number
  /** How often it was rotated; the current refresh token carries it. */
  readonly generation: number
  /** 16 bytes; the tag of its refresh tokens is made over it. */
  readonly nonce: Uint8Array
  /** Version of the ring key that the current generation's tag is made with. */
  readonly ring: number
  /** Version of the ring key that the previous generation's tag was made with. */
  readonly previousRing: number
  readonly rotatedAtMs: number
  /** Grace answers given for the current generation so far. `rotate` sets it to 0. */
  readonly graceCount: number
  /** Whether one of them went to an asker that looked different from the one that rotated. `rotate` sets it to false. */
  readonly graceForeign: boolean
  /**
   * Generations in a row, right before the current one, that needed a grace answer; `foreignRun` counts those where one
   * went to an asker that looked different. Only `rotate` changes them, to the values it is given.
   */
  readonly graceRun: number
  readonly foreignRun: number
  /** 8 bytes: keyed digest of network and agent of the last refresh, to compare, not to read. */
  readonly seen: Uint8Array
  /** RFC 9449 thumbprint that every refresh must prove. */
  readonly jkt?: string
  readonly idleExpiresAt: number
  readonly expiresAt: number
}

/** A family with how the things it hangs on stand, read at one moment. */
export interface FamilyStanding {
  readonly family: FamilyRecord
  readonly subject: Standing | undefined
  readonly session: Standing | undefined
  readonly device: Standing | undefined
}

/** What a family that is about to begin will hang on. */
export interface FamilyTies {
  readonly subject: SubjectId
  readonly session: SessionId
  readonly device: DeviceId
  readonly client: ClientId
}

export interface Rotation {
  readonly id: FamilyId
  /** The generation that is spent; the transition wins only while it is the current one and the family is active. */
  readonly spent: number
  readonly ring: number
  readonly rotatedAtMs: number
  readonly idleExpiresAt: number
  readonly graceRun: number
  readonly foreignRun: number
  readonly seen: Uint8Array
  /** A cutoff on the grant after a drain: access tokens issued at or before it are dead. */
  readonly cutoffMs?: number
}

export interface FamilyLookups {
  find(id: FamilyId): Promise<FamilyStanding | undefined>
  /** How all that a new family will hang on stands, read at one moment; undefined for what there is not. */
  standings(ties: FamilyTies): Promise<{ readonly [Tie in keyof FamilyTies]: Standing | undefined }>
  ofSubject(subject: SubjectId, page: Page): Promise<readonly FamilyRecord[]>
  /** All of them, by id and so about by time: for walks over the whole store, a bounded page at a time. */
  all(page: Page): Promise<readonly FamilyRecord[]>
}

export interface FamilyTransitions {
  create(family: FamilyRecord): Promise<void>
  /** Compare-and-set from `spent` to `spent + 1`. One of any number of concurrent callers wins. */
  rotate(rotation: Rotation): Promise<boolean>
  /**
   * Adds 1 to `graceCount`, and sets `graceForeign` when `foreign`. False, and nothing changed, when `generation` is not the
   * current one any more, the family is not active, or `graceCount` has reached `limit`.
   */
  countGrace(grace: { id: FamilyId; generation: number; limit: number; foreign: boolean }): Promise<boolean>
  changeStanding(id: FamilyId, change: StandingChange): Promise<boolean>
  /** Its status as this transaction sees it; undefined when there is no such family. */
  status(id: FamilyId): Promise<Status | undefined>
}
