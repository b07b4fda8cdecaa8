/** From the acknowledgment of a revocation, asked for through the admin API, to its refusal by validators in other processes. */
import type { AdminClient } from '@signet/api/client.ts'
import type { KeyKind } from '@signet/kernel/revocation.ts'
import type { Child } from './child.ts'
import { idOf } from './ours/access-tokens.ts'
import { steadily } from './pace.ts'
import { sharedMs } from './shared-clock.ts'
import type { ValidatorsAnswers } from './validators-process.ts'

/** A revocation that takes longer than this to arrive has got lost, and the run fails. */
const LOST_MS = 15_000

export interface Act {
  readonly askedMs: number
  readonly acknowledgedMs: number
}

/** Revokes token by token. */
export const revokeSteadily = (admin: AdminClient, tokens: readonly string[], perSecond: number): Promise<readonly Act[]> =>
  steadily(perSecond, tokens.length, async (index) => {
    const askedMs = sharedMs()
    await revoke(admin, 'token', idOf(tokens[index] as string, 'token'))
    return { askedMs, acknowledgedMs: sharedMs() }
  })

/** Of every validator and token. Below zero after an acknowledgment: the validator was faster than the answer to whoever asked. */
export const delaysSince = (moments: readonly number[], refused: readonly (readonly number[])[]): readonly number[] =>
  refused.flatMap((each, token) => each.map((moment) => moment - (moments[token] as number)))

/** The cutoff, epoch milliseconds. */
export async function revoke(admin: AdminClient, kind: KeyKind, id: string): Promise<number> {
  // The widest scope, since keys and the issuer need it.
  const receipt = await admin.call('revoke', { body: { target: { kind, id }, reason: 'measured' }, scope: 'signet:admin' })
  if (receipt.already) throw new Error(`the ${kind} had been revoked before`)
  return receipt.cutoff_ms
}

/** By token, the moments at which the validators began to refuse it; `each` is how many validators a process has. */
export async function allRefusals(
  children: readonly Child<ValidatorsAnswers>[],
  tokens: number,
  each: number,
): Promise<readonly (readonly number[])[]> {
  const until = sharedMs() + LOST_MS
  for (;;) {
    const found = await Promise.all(children.map((child) => child.ask('refusals')))
    const byToken = Array.from({ length: tokens }, (_, token) => found.flatMap((refusals) => refusals[token] ?? []))
    const missing = tokens * each * children.length - byToken.flat().length
    if (missing === 0) return byToken
    if (sharedMs() > until) throw new Error(`${missing} refusals did not come within ${LOST_MS / 1000} s`)
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
}
