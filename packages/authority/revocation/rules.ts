/** The few numbers that revocation goes by, out of the policy's settings. */

/** The part of the policy settings that revocation needs; the settings themselves fit. */
export interface RevocationSettings {
  readonly accessTokenSeconds: number
  readonly clockOffsetMilliseconds: number
  readonly mintStalenessMilliseconds: number
  readonly commitAllowanceMilliseconds: number
  readonly leewaySeconds: number
  readonly retirePriorAccessTokenAfterSeconds: number | undefined
}

/** The cap that no policy can lift an access token's life above. */
export const LONGEST_ACCESS_TOKEN_SECONDS = 3600
/** Longest life of another issuer's token that an entry outlasts when nobody said when the token expires. */
export const LONGEST_FOREIGN_TOKEN_SECONDS = 30 * 86_400
/** Who holds a leaked signing key writes any expiry he likes, so its end is remembered for ten years. */
export const KEY_MEMORY_SECONDS = 3653 * 86_400

/** The margin of an entry: a validator may look a little later than we do, and grant a little more than we did. */
export const marginSecondsOf = (s: RevocationSettings): number => s.leewaySeconds + Math.ceil(guardMsOf(s) / 1000)

/** No entry is kept longer than one on a key, whatever is said of a token's end; epoch seconds. */
export const longestDropAfter = (cutoffMs: number, s: RevocationSettings): number =>
  Math.ceil(cutoffMs / 1000) + KEY_MEMORY_SECONDS + marginSecondsOf(s)

/**
 * How far past the start of its commit a cutoff lies: the largest offset of a node's clock, the oldest knowledge a node
 * mints under, and what the commit itself may take (docs/architecture.md, "The guard").
 */
export const guardMsOf = (s: RevocationSettings): number => slackMsOf(s) + s.commitAllowanceMilliseconds

/** How far ahead of the store's clock a cutoff must still lie when its commit has returned (ADR 5). */
export const slackMsOf = (s: RevocationSettings): number => s.clockOffsetMilliseconds + s.mintStalenessMilliseconds

/** Cutoffs of one node rise by a millisecond at least from commit to commit, and for that may run ahead by so much. */
export const MAX_AHEAD_MS = 100

/** What a node of the authority grants on top of the guard when it reads the log: its own clock, and the above. */
export const poisonGuardMsOf = (s: RevocationSettings): number => guardMsOf(s) + s.clockOffsetMilliseconds + 1000 + MAX_AHEAD_MS

/**
 * The longest life that any policy version ever allowed an access token, whatever today's says: an entry must outlast the
 * tokens of a policy that has just been replaced, or of another node that still has the old one.
 */
export async function longestTokenSeconds(meta: { tokenSeconds(): Promise<number> }, s: RevocationSettings): Promise<number> {
  return Math.max(s.accessTokenSeconds, await meta.tokenSeconds())
}
