/**
 * Interactions: a sign-in or consent under way in one browser. The handle is in the URL, the browser's secret in a cookie,
 * and what is going on in a row of the store, so any node can go on with it. One finish wins.
 */
import { equalBytes, toBase64Url } from '@signet/kernel/bytes.ts'
import type { SessionId } from '@signet/kernel/ids.ts'
import { decodeOpaque, encodeOpaque } from '@signet/kernel/opaque-token.ts'
import { type Chance, epochSeconds, type Sha256 } from '@signet/kernel/surroundings.ts'
import type { InteractionLookups, InteractionRecord } from '../store/ports/handles.ts'
import type { Tx } from '../store/store.ts'
import type { Acr } from './acr.ts'
import type { AuthorizationRequest } from './authorization-request.ts'
import { type Browser, browserHash } from './browser.ts'

/** Enough to fetch a security key from another room; a tab left open longer starts over from the app. */
export const INTERACTION_SECONDS = 900

/** What is going on. */
export type Undertaking =
  /** An app asked for tokens. */
  | { readonly kind: 'authorize'; readonly request: AuthorizationRequest }
  /** Someone goes to their own account page, or must prove again who they are for a change there. */
  | { readonly kind: 'account'; readonly returnTo: AccountPage; readonly atLeast?: Acr; readonly maxAge?: number }
  /** A passkey is about to be added for this session. */
  | { readonly kind: 'new_passkey'; readonly session: SessionId }

/** Our own pages that a sign-in may lead back to. A closed list, so no request can make it lead anywhere else. */
export type AccountPage = '/account' | '/account/password' | '/account/passkeys/new' | `/account/passkeys/${string}/remove`

export interface InteractionPayload {
  readonly undertaking: Undertaking
  readonly startedAtMs: number
  /** 32 bytes, base64url: what a passkey signs next. Changes with every answer, so each is good for one. */
  readonly challenge: string
  /** The session in which someone proved who they are on this interaction's page. */
  readonly proved?: SessionId
}

/** An interaction that this browser may go on with. */
export interface Interaction extends InteractionPayload {
  readonly handle: string
  readonly version: number
  readonly expiresAt: number
}

const HANDLE_BYTES = 32
const CHALLENGE_BYTES = 32

/** The handle and the row for a new interaction; the row is written by the caller's transaction. */
export function beginInteraction(
  undertaking: Undertaking,
  browser: Browser,
  parts: { readonly chance: Chance; readonly sha256: Sha256 },
  nowMs: number,
): { readonly handle: string; readonly record: InteractionRecord } {
  const secret = parts.chance.bytes(HANDLE_BYTES)
  const payload: InteractionPayload = { undertaking, startedAtMs: nowMs, challenge: newChallenge(parts.chance) }
  return {
    handle: encodeOpaque('interaction', secret),
    record: {
      hash: handleHash(secret, parts.sha256),
      browserHash: browserHash(browser, parts.sha256),
      payload: JSON.stringify(payload),
      version: 1,
      expiresAt: epochSeconds(nowMs) + INTERACTION_SECONDS,
    },
  }
}

export const newChallenge = (chance: Chance): string => toBase64Url(chance.bytes(CHALLENGE_BYTES))

/** The interaction, or why this browser can't go on with it. `over`: unknown, too old, or finished; nobody can tell which. */
export async function findInteraction(
  handle: string,
  browser: Browser,
  interactions: InteractionLookups,
  nowAt: number,
  sha256: Sha256,
): Promise<Interaction | 'over' | 'other_browser' | 'no_cookie'> {
  const secret = decodeOpaque('interaction', handle)
  if (secret?.length !== HANDLE_BYTES) return 'over'
  const record = await interactions.find(handleHash(secret, sha256))
  if (record === undefined || record.expiresAt <= nowAt) return 'over'
  if (browser.fresh) return 'no_cookie'
  if (!equalBytes(record.browserHash, browserHash(browser, sha256))) return 'other_browser'
  const payload = JSON.parse(record.payload) as InteractionPayload
  return { ...payload, handle, version: record.version, expiresAt: record.expiresAt }
}

/** Writes what has changed; false when something else went on with it meanwhile. */
export function changeInteraction(
  tx: Tx,
  interaction: Interaction,
  change: Partial<Pick<InteractionPayload, 'challenge' | 'proved'>>,
  sha256: Sha256,
): Promise<boolean> {
  const { undertaking, startedAtMs, challenge, proved } = interaction
  const payload = { undertaking, startedAtMs, challenge, ...(proved === undefined ? {} : { proved }), ...change }
  return tx.interactions.update(hashOf(interaction, sha256), interaction.version, JSON.stringify(payload))
}

/** Ends it. True for exactly one caller. */
export const finishInteraction = (tx: Tx, interaction: Interaction, sha256: Sha256): Promise<boolean> =>
  tx.interactions.finish(hashOf(interaction, sha256), interaction.version)

// Domain-separated from the browser's hash, so that one can't stand for the other.
const handleHash = (secret: Uint8Array, sha256: Sha256): Uint8Array => sha256(`signet/interaction\u0000${toBase64Url(secret)}`)
const hashOf = (interaction: Interaction, sha256: Sha256): Uint8Array =>
  handleHash(decodeOpaque('interaction', interaction.handle) as Uint8Array, sha256)
