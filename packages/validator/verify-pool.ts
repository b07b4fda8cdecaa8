/**
 * Signatures of tokens at first sight, when several come at once. One alone is verified where it is asked for: that is the shortest
 * way. More in the same turn of the event loop go to Node's thread pool, so that the others' requests need not stand in line
 * behind them, and the other cores have something to do.
 */
import type { Timers } from '@signet/kernel/surroundings.ts'
import { verifiesElsewhere } from './jwk.ts'
import { placeOf } from './seen-tokens.ts'
import type { UnverifiedToken } from './token.ts'

/** Beyond so many under way the pool is busy enough; it serves files and names too. */
const MAX_UNDER_WAY = 64

export class VerifyPool {
  private readonly timers: Timers
  private isTurnTaken = false
  private readonly underWay = new Map<number, { readonly text: string; readonly verified: Promise<boolean> }>()

  constructor(timers: Timers) {
    this.timers = timers
  }

  /** Whether the next verification should go to the pool: another one has been made in this turn, or this one is under way. */
  wants(token: string): boolean {
    if (this.isTurnTaken) return this.underWay.size < MAX_UNDER_WAY || this.find(token) !== undefined
    this.isTurnTaken = true
    this.timers.soon(() => {
      this.isTurnTaken = false
    })
    return this.underWay.size > 0 && this.find(token) !== undefined
  }

  /** Whether the signature is good. Those who bring the same token at the same time wait for the same answer. */
  verify(token: UnverifiedToken): Promise<boolean> {
    const { text } = token
    const known = this.find(text)
    if (known !== undefined) return known
    // What was taken apart is good until the next token is; the pool needs it for longer.
    const verified = verifiesElsewhere(token.key, Buffer.from(token.signed), token.signature)
    const place = placeOf(text)
    const entry = { text, verified }
    this.underWay.set(place, entry)
    void verified.then(() => {
      if (this.underWay.get(place) === entry) this.underWay.delete(place)
    })
    return verified
  }

  private find(text: string): Promise<boolean> | undefined {
    const entry = this.underWay.get(placeOf(text))
    return entry?.text === text ? entry.verified : undefined
  }
}
