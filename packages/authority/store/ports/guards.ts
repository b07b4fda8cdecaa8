/** What is remembered against abuse: proofs seen, attempts made, answers given. */

export interface ReplayTransitions {
  /** Remembers a proof or an assertion until `expiresAt`; false when it was there already. `key` is a digest of ≤ 32 bytes. */
  remember(key: Uint8Array, expiresAt: number): Promise<boolean>
}

export interface ThrottleTransitions {
  /**
   * GCRA: one of `burst` tokens that come back one per `intervalMs`, or `count` of them, all or none. Says when to try again if
   * there are not so many.
   */
  take(
    key: Uint8Array,
    limit: { intervalMs: number; burst: number; count?: number },
  ): Promise<{ allowed: boolean; retryAfterMs: number }>
  clear(key: Uint8Array): Promise<void>
}

export interface IdempotencyTransitions {
  /** The answer stored under this key, if any. */
  find(key: Uint8Array): Promise<string | undefined>
  put(key: Uint8Array, answer: string, expiresAt: number): Promise<void>
}
