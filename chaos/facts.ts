/**
 * What an observer of a cluster writes down: who asked what and what was answered, each with its moment on one monotonic clock. The
 * checker (checker.ts) knows nothing else. Tokens are in it as digests and ids, never as such.
 */
import type { KeyKind } from '@signet/kernel/revocation.ts'

/** What a token hangs on, by kind: itself, grant, session, device, subject, client, signing key, issuer. */
export type Ids = Readonly<Partial<Record<KeyKind, string>>>

/** Ends access tokens and what they came from; access tokens alone (`renew`, a claims epoch); for a while (`suspend`). */
export type Act = 'revoke' | 'renew' | 'suspend'

/** Milliseconds since the run began, on the machine's monotonic clock. */
type At = { readonly at: number }

export type Fact = At &
  (
    | {
        readonly is: 'begun'
        /** How much one clock reading may be off, milliseconds. */
        readonly roundingMs: number
        /** A token asked for so long after a client's or the issuer's revocation was acknowledged is alive. */
        readonly mintStalenessMs: number
      }
    /** A fault: when it was done, when everything was put back; `abandoned` when the harness failed, so that nobody knows how it ended. */
    | { readonly is: 'fault'; readonly round: number; readonly name: string; readonly phase: 'injected' | 'healed' | 'abandoned' }
    /** When all were well again. */
    | {
        readonly is: 'well'
        readonly round: number
        readonly tookMs: number
        readonly withinMs: number
        /** Who was not, when the time was over; and who was the last to be. */
        readonly missing: string
        readonly last: string
      }
    /**
     * A token request. `honest`: by whoever owns what is presented, in the way the protocol allows. `spent`: with a refresh token that has long
     * been used. `revoked`: with one whose family was taken back, to see.
     */
    | {
        readonly is: 'asked'
        readonly call: number
        readonly who: 'honest' | 'spent' | 'revoked'
        readonly what: string
        /** Digest of the refresh token presented. */
        readonly presented?: string
        /** What it is for, as far as the asker knows. */
        readonly ids: Ids
        /** When the sign-in behind it was begun, and when the first tokens of it had come. */
        readonly madeAt?: number
        readonly heldAt?: number
      }
    | {
        readonly is: 'answered'
        readonly call: number
        /** Absent: no answer, or a torn one. */
        readonly status?: number
        readonly error?: string
        readonly reason?: string
        readonly retryAfter?: boolean
        /** Digest of the refresh token that came. */
        readonly successor?: string
        /** Of the access token that came. */
        readonly ids?: Ids
      }
    | { readonly is: 'revoking'; readonly id: number; readonly kind: KeyKind; readonly target: string; readonly act: Act }
    /** The authority said it is done. Without a number when the answer carries none (a spent token that was presented). */
    | { readonly is: 'revoked'; readonly id: number; readonly epoch?: string; readonly seq?: number }
    | { readonly is: 'resuming'; readonly kind: KeyKind; readonly target: string }
    /** A validator's answer about a token; `at` is when it began to judge. */
    | {
        readonly is: 'verdict'
        readonly validator: string
        readonly token: string
        readonly allowed: boolean
        readonly reason?: string
        readonly stalenessMs: number
        readonly epoch: string | undefined
        readonly seq: number
        /** Asked after everything was well again. */
        readonly last?: true
      }
    /** What a validator says of its knowledge. */
    | {
        readonly is: 'knows'
        readonly validator: string
        readonly stalenessMs: number
        readonly epoch: string | undefined
        readonly seq: number
      }
    /**
     * A restore, or a failover that may have lost commits, was carried out as documented: what happened since `since` may be forgotten, everything
     * that was issued before `dead` is over, and the log begins anew.
     */
    | { readonly is: 'gap'; readonly since: number; readonly dead: number; readonly epoch: string }
    | { readonly is: 'exited'; readonly process: string; readonly wanted: boolean; readonly how: string }
    // ── Read at the end ──
    | {
        readonly is: 'log'
        readonly epoch: string
        readonly floor: number
        readonly entries: readonly { readonly seq: number; readonly kind: string; readonly target: string }[]
      }
    | { readonly is: 'audit'; readonly sound: boolean; readonly detail: string }
    /** How a token's origin reads in the record. */
    | { readonly is: 'lineage'; readonly token: string; readonly found: boolean }
  )

export type FactOf<Is extends Fact['is']> = Extract<Fact, { is: Is }>
/** A fact before it got its moment. */
export type Unstamped = Fact extends infer F ? (F extends Fact ? Omit<F, 'at'> : never) : never
