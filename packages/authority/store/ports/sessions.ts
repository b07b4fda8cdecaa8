/** Sessions, and the devices they are on. */
import type { DeviceId, SessionId, SubjectId } from '@signet/kernel/ids.ts'
import type { Page } from './page.ts'
import type { Standing, StandingChange } from './standing.ts'

export interface SessionRecord extends Standing {
  readonly id: SessionId
  readonly subject: SubjectId
  readonly device: DeviceId
  /** SHA-256 of the cookie's secret. */
  readonly secretHash: Uint8Array
  /** Just past every cutoff that stood when it began. */
  readonly createdAtMs: number
  readonly authAt: number
  readonly acr: string
  readonly amr: readonly string[]
  readonly idleExpiresAt: number
  readonly expiresAt: number
}

export interface SessionLookups {
  find(id: SessionId): Promise<SessionRecord | undefined>
  ofSubject(subject: SubjectId, page: Page): Promise<readonly SessionRecord[]>
}

export interface SessionTransitions {
  create(session: SessionRecord): Promise<void>
  /**
   * A stronger or newer sign-in in the same session. The cookie's secret changes with it (`secretHash`), so that whoever
   * held the old cookie does not gain by it. False unless active.
   */
  reauthenticate(
    id: SessionId,
    proof: { authAt: number; acr: string; amr: readonly string[]; secretHash: Uint8Array },
  ): Promise<boolean>
  touch(id: SessionId, idleExpiresAt: number): Promise<boolean>
  changeStanding(id: SessionId, change: StandingChange): Promise<boolean>
}

export interface DeviceRecord extends Standing {
  readonly id: DeviceId
  readonly subject: SubjectId
  /** SHA-256 of the device cookie's secret. */
  readonly secretHash: Uint8Array
  /** Browser and system in a few words, for the person's own list. */
  readonly name: string
  readonly createdAt: number
  readonly lastSeenAt: number
}

export interface DeviceLookups {
  find(id: DeviceId): Promise<DeviceRecord | undefined>
  ofSubject(subject: SubjectId, page: Page): Promise<readonly DeviceRecord[]>
}

export interface DeviceTransitions {
  create(device: DeviceRecord): Promise<void>
  touch(id: DeviceId, lastSeenAt: number): Promise<boolean>
  changeStanding(id: DeviceId, change: StandingChange): Promise<boolean>
}
