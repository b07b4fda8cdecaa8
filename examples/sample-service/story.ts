/** The walkthrough's steps, each done for real and told in a sentence with the delay that was measured. */
import type { Validator } from '@signet/validator'
import { ResponseBodyError } from 'oauth4webapi'
import type { SampleClient, Tokens } from './client.ts'
import type { SampleSettings } from './settings.ts'

export interface Told {
  readonly ok: boolean
  readonly says: string
  /** Milliseconds that the interesting part took. */
  readonly delayMs?: number
}

/** What one browser has in hand. */
export interface Wallet {
  tokens: Tokens
  /** Refresh tokens that were spent, oldest first. */
  readonly spent: string[]
}

export const STEPS = ['call', 'rotate', 'retry', 'revoke', 'renew', 'theft'] as const
export type Step = (typeof STEPS)[number]

export interface StoryParts {
  readonly settings: SampleSettings
  readonly client: SampleClient
  readonly validator: Validator
}

export async function tell(step: Step, wallet: Wallet, parts: StoryParts): Promise<Told> {
  const { client, validator } = parts
  switch (step) {
    case 'call': {
      const began = performance.now()
      const response = await fetch(`${parts.settings.url}/api/notes`, {
        headers: { authorization: `Bearer ${wallet.tokens.accessToken}` },
      })
      const delayMs = performance.now() - began
      if (!response.ok) return { ok: false, says: `The service refused the token: ${response.headers.get('www-authenticate')}` }
      return {
        ok: true,
        says: `The service accepted the token by itself; checking it again takes ${checkMicroseconds(validator, wallet)} µs.`,
        delayMs,
      }
    }
    case 'rotate': {
      const began = performance.now()
      await renew(wallet, client)
      return { ok: true, says: 'The refresh token was rotated; the one before is spent.', delayMs: performance.now() - began }
    }
    case 'retry': {
      // Rotated here, so that the retry falls into the grace window however long somebody read.
      await renew(wallet, client)
      const before = wallet.tokens.refreshToken
      const began = performance.now()
      const again = await client.refresh(wallet.spent.at(-1) as string)
      const same = again.refreshToken === before
      const says = same
        ? 'As if the answer had been lost, the spent refresh token was sent again: the same successor came back, and nobody was signed out.'
        : 'The retry gave another successor: that should not happen.'
      return { ok: same, says, delayMs: performance.now() - began }
    }
    case 'revoke': {
      await client.revoke(wallet.tokens.accessToken)
      return refusedWithin(
        validator,
        wallet.tokens.accessToken,
        'The access token was revoked. The service in its own process refused it',
      )
    }
    case 'renew': {
      const began = performance.now()
      await renew(wallet, client)
      const verdict = validator.validateSync(wallet.tokens.accessToken)
      const says = verdict.allowed
        ? 'Only that token was dead: the sign-in lives on and gave a new one.'
        : `The new token was refused: ${verdict.reason}`
      return { ok: verdict.allowed, says, delayMs: performance.now() - began }
    }
    case 'theft': {
      while (wallet.spent.length < 2) await renew(wallet, client)
      const stolen = wallet.spent[0] as string
      const error = await client.refresh(stolen).then(
        () => undefined,
        (reason: unknown) => reason,
      )
      if (error === undefined) return { ok: false, says: 'The stolen refresh token was honoured: that must not happen.' }
      if (!(error instanceof ResponseBodyError) || error.error !== 'invalid_grant') throw error
      return refusedWithin(
        validator,
        wallet.tokens.accessToken,
        'A thief used an old refresh token. The authority ended the whole family, and the service refused its access token',
      )
    }
  }
}

async function renew(wallet: Wallet, client: SampleClient): Promise<void> {
  const next = await client.refresh(wallet.tokens.refreshToken)
  wallet.spent.push(wallet.tokens.refreshToken)
  wallet.tokens = next
}

const PATIENCE_MS = 10_000

/** Asks the validator over and over, from the moment the authority had answered, until it says no. */
async function refusedWithin(validator: Validator, token: string, says: string): Promise<Told> {
  const began = performance.now()
  for (;;) {
    const verdict = validator.validateSync(token)
    const delayMs = performance.now() - began
    if (!verdict.allowed)
      return {
        ok: verdict.reason === 'revoked',
        says: `${says} (${verdict.reason}); the delay counts from the acknowledgment.`,
        delayMs,
      }
    if (delayMs > PATIENCE_MS)
      return { ok: false, says: `Ten seconds after the acknowledgment the service still accepted the token.` }
    await new Promise((resolve) => setImmediate(resolve))
  }
}

function checkMicroseconds(validator: Validator, wallet: Wallet): string {
  const rounds = 1000
  const began = performance.now()
  for (let i = 0; i < rounds; i++) validator.validateSync(wallet.tokens.accessToken)
  return (((performance.now() - began) * 1000) / rounds).toFixed(1)
}
