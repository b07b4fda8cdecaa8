/** What a simulated node signs becomes a fact of the history, before any answer can get lost. */
import type { TokenSet } from '@signet/authority/grants/grant.ts'
import type { Mint } from '@signet/authority/tokens/mint.ts'
import { parseRefreshToken } from '@signet/authority/tokens/refresh-token.ts'
import type { AccessTokenClaims } from '@signet/kernel/claims.ts'
import { Refusal } from '@signet/kernel/errors.ts'
import { idTimeMs, type KeyId } from '@signet/kernel/ids.ts'
import type { Clock } from '@signet/kernel/surroundings.ts'
import type { History } from './history.ts'
import type { VirtualTime } from './time.ts'

/** When the session behind a grant had been made, and when its client had been agreed to. */
export interface Made {
  readonly madeMs: number
  readonly agreedMs: number
}

interface NotaryParts {
  readonly time: VirtualTime
  readonly history: History
  /** The node's own. */
  readonly clock: Clock
}

export function createNotary({ time, history, clock }: NotaryParts) {
  const signings = new Map<string, { signedMs: number; lifted: boolean }>()
  return { noted, issuing }

  /** Every signature and the moment it was made, for the observer. */
  function noted(mint: Mint): Mint {
    return {
      ...mint,
      accessToken(request) {
        const minted = mint.accessToken(request)
        signings.set(minted.id, { signedMs: time.nowMs, lifted: minted.issuedAtMs > clock.now() })
        if (signings.size > 2000) signings.clear()
        return minted
      },
    }
  }

  async function issuing(made: Made | undefined, flow: () => Promise<TokenSet>, presented?: string): Promise<TokenSet> {
    const beganMs = time.nowMs
    const owner = presented === undefined ? undefined : parseRefreshToken(presented)?.family
    try {
      const answer = await flow()
      note(answer, beganMs, made)
      return answer
    } catch (cause) {
      // What was found to be theft is revoked before the refusal leaves.
      if (cause instanceof Refusal && cause.reason === 'refresh_token_reuse' && owner !== undefined) {
        history.acknowledged(history.asked('grant', owner, 'revoke', `the end of ${owner.slice(-6)} for theft`), 0)
      }
      throw cause
    }
  }

  function note(answer: TokenSet, beganMs: number, made: Made | undefined): void {
    const [header, payload] = answer.accessToken
      .split('.')
      .slice(0, 2)
      .map((part) => JSON.parse(Buffer.from(part, 'base64url').toString()))
    const claims = payload as AccessTokenClaims
    const { jti, gid, sid, did, sub, client_id, iss } = claims
    const signing = signings.get(jti) ?? { signedMs: beganMs, lifted: false }
    history.signed({
      name: `token ${jti.slice(-6)}`,
      text: answer.accessToken,
      ids: {
        token: jti,
        key: header.kid as KeyId,
        issuer: iss,
        client: client_id,
        subject: sub,
        ...(claims.scope && { scope: claims.scope }),
        ...(gid && { grant: gid }),
        ...(sid && { session: sid }),
        ...(did && { device: did }),
      },
      issuedAtMs: idTimeMs(jti),
      expiresAtMs: claims.exp * 1000,
      beganMs,
      ...signing,
      grantMadeMs: made?.madeMs ?? signing.signedMs,
      agreedMs: made?.agreedMs ?? signing.signedMs,
      bound: claims.cnf !== undefined,
    })
  }
}
