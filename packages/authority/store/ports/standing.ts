/** How what tokens hang on stands, and how that changes. */
/**
 * How something that tokens hang on stands. Grants and sessions made at or before `revokedMs` have ended; access tokens
 * issued at or before `cutoffMs` are dead, and new ones must be issued after it. 0 means never.
 */
export interface Standing {
  readonly status: Status
  readonly cutoffMs: number
  readonly revokedMs: number
}

export type Status = 'active' | 'suspended' | 'revoked'

/**
 * Moves a standing. `from` lists the states it may move from; false when it is in none of them or is missing. Cutoffs
 * only rise: the larger of the old and the new is kept.
 */
export interface StandingChange {
  readonly from: readonly Status[]
  readonly to: Status
  readonly cutoffMs?: number
  readonly revokedMs?: number
}
