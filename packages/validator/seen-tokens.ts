/**
 * Tokens that were verified, found again by their text. A Map that is asked for a text interns it first: for one of 800 characters, made
 * anew by each request, that takes longer than all else there is to do. So they are kept by a number made of the end of the signature,
 * and the text is compared. Where two have the same number the later one stays: the other is verified again.
 */

import { TwoGenerations } from '@signet/kernel/two-generations.ts'
import type { SeenToken } from './token.ts'

export class SeenTokens {
  private readonly byPlace: TwoGenerations<number, SeenToken>

  /** Holds at most `capacity` tokens. */
  constructor(capacity: number) {
    this.byPlace = new TwoGenerations(capacity)
  }

  get size(): number {
    return this.byPlace.size
  }

  get(text: string): SeenToken | undefined {
    const seen = this.byPlace.get(placeOf(text))
    return seen?.text === text ? seen : undefined
  }

  set(seen: SeenToken): void {
    this.byPlace.set(placeOf(seen.text), seen)
  }

  delete(seen: SeenToken): void {
    if (this.get(seen.text) === seen) this.byPlace.delete(placeOf(seen.text))
  }
}

/** Characters at the end of a signature that make its place: 48 bits of it, folded into 32. */
const CHARS = 8

/** Only those who sign can choose it, and only what they signed is kept. */
export function placeOf(text: string): number {
  let place = 0
  for (let i = Math.max(0, text.length - CHARS); i < text.length; i++) place = (Math.imul(place, 31) + text.charCodeAt(i)) | 0
  return place
}
