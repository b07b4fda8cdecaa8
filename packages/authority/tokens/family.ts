/**
 * The judgement on a presented refresh token (docs/architecture.md, "Rotation"). Pure: records and the time go in, a ruling comes out, and the
 * flow acts on it. A *family* is all refresh tokens of one grant, of which only the newest generation is worth a new one.
 */
import { equalBytes } from '@signet/kernel/bytes.ts'
import type { PolicySettings } from '../policy/settings.ts'
import type { ClientRecord } from '../store/ports/clients.ts'
import type { FamilyRecord, FamilyStanding } from '../store/ports/families.ts'
import type { Standing } from '../store/ports/standing.ts'
import type { PresentedRefreshToken } from './refresh-token.ts'

export type Ruling =
  /** Nothing is given and nothing changes. */
  | { readonly kind: 'refuse'; readonly reason: RefreshRefusal }
  /** Someone holds this family who should not. Revoke it and what hangs on it. */
  | { readonly kind: 'reuse'; readonly family: FamilyRecord; readonly evidence: ReuseEvidence }
  /** Count a grace answer, then give the token of the current generation again. */
  | { readonly kind: 'repeat'; readonly family: FamilyRecord; readonly foreign: boolean }
  /** Compare-and-set to the next generation, with these runs. */
  | { readonly kind: 'rotate'; readonly family: FamilyRecord; readonly graceRun: number; readonly foreignRun: number }

export type RefreshRefusal =
  | 'refresh_token_unknown'
  | 'refresh_token_forged'
  | 'refresh_token_from_the_future'
  | 'wrong_client'
  | 'wrong_platform'
  | 'wrong_key'
  | 'proof_missing'
  | 'issuer_revoked'
  | 'grace_exhausted'
  | `${'grant' | 'client' | 'subject' | 'session' | 'device'}_${'revoked' | 'suspended'}`
  | 'grant_expired'
  | 'grant_idle'

/** `spent_long_ago`: older than the grace allows. The others: refreshed in step with someone else for too long. */
export type ReuseEvidence = 'spent_long_ago' | 'too_many_grace_runs' | 'too_many_foreign_runs'

export interface Asker {
  readonly client: ClientRecord
  /** Thumbprint of the DPoP key that this request proved, if any. */
  readonly jkt?: string | undefined
  /** 8 bytes: keyed digest of network and agent. */
  readonly seen: Uint8Array
  readonly nowMs: number
  /**
   * Families made at or before it have ended, whoever's they are: a restore, an act on the whole issuer, or a region that took over
   * from this one. 0 or absent: never.
   */
  readonly familiesEndedMs?: number | undefined
}

export type FamilyRules = Pick<
  PolicySettings,
  'graceSeconds' | 'graceSecondsWithProof' | 'graceLimit' | 'graceRunLimit' | 'graceForeignRunLimit'
>

/**
 * What happens with a refresh token, first match first:
 *
 * 1. No such family, or a tag that does not verify: refused, and nothing else ever happens. Nobody can hurt a family he
 *    only guesses at, and nothing below is reached by anyone who does not hold a token of it.
 * 2. Another client's: refused. It is worth nothing there, and must not be a way to sign the owner out.
 * 3. The grant or what it hangs on has ended (revoked, expired, idle too long), else is suspended. What is missing has
 *    ended: a device that was removed takes its grants with it.
 * 4. Another platform class, no proof of the bound key, or another key: refused, likewise without harm to the family.
 * 5. A generation that lies ahead: refused, not theft. The tag is ours, so it was issued and the store has forgotten:
 *    it was restored from a backup. Its holder is most likely the owner; let him sign in again.
 * 6. The current generation: rotated.
 * 7. The previous one within the grace: the same successor again. An answer got lost, or a sibling won the race. A client
 *    must ask again within the grace; that alone keeps a family through any number of losses and races.
 * 8. Anything older: theft. Two hold this family, and nothing tells which is the owner.
 *
 * How soon is a thief found who copied the current token?
 * - He falls out of step (one of the two comes with a generation spent longer ago than the grace, or two behind): at
 *   that request. So it is whenever one of them does not refresh at all for a while and then does.
 * - He refreshes in step, every time within the grace of the owner, from another network or agent: each generation then
 *   has a foreign grace answer, and the run of them ends at `graceForeignRunLimit`. Found at the refresh after, the
 *   fourth shared generation with the default of 3.
 * - In step and from the owner's own network with the owner's agent: at the refresh after `graceRunLimit` shared generations
 *   (the 1001st by default). A generation without a grace answer sets both runs back, and with two holders there is none.
 * - A family bound to a key yields nothing without a proof of that key. With the proof the asker is the owner as far as
 *   anyone can tell: grace is `graceSecondsWithProof` long, and the runs, which look for a second holder, do not count.
 * - Within one generation at most `graceLimit` grace answers are given; more are refused without harm, since many
 *   requests at once are a busy owner's way, and a thief gains nothing by them.
 */
export function judgeRefresh(
  standing: FamilyStanding | undefined,
  presented: PresentedRefreshToken,
  tag: 'genuine' | 'forged',
  asker: Asker,
  rules: FamilyRules,
): Ruling {
  if (standing === undefined) return refuse('refresh_token_unknown')
  if (tag === 'forged') return refuse('refresh_token_forged')
  const { family } = standing
  if (family.terms.client !== asker.client.id) return refuse('wrong_client')
  const ended = endedBy(standing, asker) ?? suspendedBy(standing, asker) ?? misboundBy(family, asker)
  if (ended !== undefined) return refuse(ended)

  if (presented.generation > family.generation) return refuse('refresh_token_from_the_future')
  if (presented.generation === family.generation) return { kind: 'rotate', family, ...runsWithCurrent(family) }
  if (presented.generation === family.generation - 1) return judgeGrace(family, asker, rules)
  return { kind: 'reuse', family, evidence: 'spent_long_ago' }
}

/** The previous generation: how long ago it was spent, and how often in a row this has been so. */
function judgeGrace(family: FamilyRecord, asker: Asker, rules: FamilyRules): Ruling {
  const proven = family.jkt !== undefined // `misboundBy` has seen the proof.
  const graceMs = (proven ? rules.graceSecondsWithProof : rules.graceSeconds) * 1000
  if (asker.nowMs - family.rotatedAtMs > graceMs) return { kind: 'reuse', family, evidence: 'spent_long_ago' }
  const foreign = !proven && !equalBytes(asker.seen, family.seen)
  if (!proven) {
    const withThis = runsWithCurrent({ ...family, graceCount: 1, graceForeign: family.graceForeign || foreign })
    if (withThis.foreignRun > rules.graceForeignRunLimit) return { kind: 'reuse', family, evidence: 'too_many_foreign_runs' }
    if (withThis.graceRun > rules.graceRunLimit) return { kind: 'reuse', family, evidence: 'too_many_grace_runs' }
  }
  if (family.graceCount >= rules.graceLimit) return refuse('grace_exhausted')
  return { kind: 'repeat', family, foreign }
}

/** The runs with the current generation counted in; a generation without (foreign) grace answers sets its run to 0. */
function runsWithCurrent(family: Pick<FamilyRecord, 'graceCount' | 'graceForeign' | 'graceRun' | 'foreignRun'>) {
  return {
    graceRun: family.graceCount > 0 ? family.graceRun + 1 : 0,
    foreignRun: family.graceForeign ? family.foreignRun + 1 : 0,
  }
}

/** What has ended for good. Said before any suspension, because waiting is no use then. */
function endedBy({ family, subject, session, device }: FamilyStanding, asker: Asker): RefreshRefusal | undefined {
  if (family.status === 'revoked') return 'grant_revoked'
  if (asker.nowMs >= family.expiresAt * 1000) return 'grant_expired'
  if (asker.nowMs >= family.idleExpiresAt * 1000) return 'grant_idle'
  if ((asker.familiesEndedMs ?? 0) >= family.createdAtMs) return 'issuer_revoked'
  if (hasEnded(asker.client, family)) return 'client_revoked'
  if (hasEnded(subject, family)) return 'subject_revoked'
  if (family.session !== undefined && hasEnded(session, family)) return 'session_revoked'
  if (family.device !== undefined && hasEnded(device, family)) return 'device_revoked'
  return undefined
}

const hasEnded = (standing: Standing | undefined, family: FamilyRecord): boolean =>
  standing === undefined || standing.status === 'revoked' || standing.revokedMs >= family.createdAtMs

/** What may be lifted again, so that the client keeps its token. */
function suspendedBy({ family, subject, session, device }: FamilyStanding, asker: Asker): RefreshRefusal | undefined {
  if (family.status === 'suspended') return 'grant_suspended'
  if (asker.client.status === 'suspended') return 'client_suspended'
  if (subject?.status === 'suspended') return 'subject_suspended'
  if (family.session !== undefined && session?.status === 'suspended') return 'session_suspended'
  if (family.device !== undefined && device?.status === 'suspended') return 'device_suspended'
  return undefined
}

/** From another kind of installation, or without the key it is bound to (RFC 9449 §5). */
function misboundBy(family: FamilyRecord, asker: Asker): RefreshRefusal | undefined {
  if (family.terms.platform !== asker.client.platform) return 'wrong_platform'
  if (family.jkt === undefined) return undefined
  if (asker.jkt === undefined) return 'proof_missing'
  return asker.jkt === family.jkt ? undefined : 'wrong_key'
}

const refuse = (reason: RefreshRefusal): Ruling => ({ kind: 'refuse', reason })
