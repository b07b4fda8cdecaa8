/**
 * What was granted, each distinct one stored once and never changed. Few are in use at a time (one per kind of client
 * and consent), so they are held in memory.
 */
import { hash } from 'node:crypto'
import type { Terms } from '../ports/families.ts'
import type { Sql, Work } from './sql.ts'

export interface TermsTable {
  /** The number of these terms, writing them if they are new. */
  number(work: Work, terms: Terms): Promise<number>
  /** The terms of that number. */
  find(sql: Sql, number: number): Promise<Terms>
  /** The same, at once, if they are held in memory. */
  held(number: number): Terms | undefined
}

/** Distinct terms held in memory, each way; about 1 KiB each. */
const MAX_HELD = 4096

export function createTerms(): TermsTable {
  const numbers = new Recent<string, number>(MAX_HELD)
  const byNumber = new Recent<number, Terms>(MAX_HELD)
  return {
    async number(work, terms) {
      const body = write(terms)
      const held = numbers.get(body)
      if (held !== undefined) return held
      const digest = hash('sha256', body, 'buffer')
      const select = 'select n from terms where digest = $1'
      let row = await work.readOne(select, [digest])
      if (row === undefined) {
        await work.write('insert into terms (digest, body) values ($1, $2) on conflict do nothing', [digest, body])
        row = await work.readOne(select, [digest])
      }
      const number = row?.n as number
      // Only what is committed may be remembered: an undone number would come to mean something else.
      work.afterCommit(() => numbers.set(body, number))
      return number
    },
    held: (number) => byNumber.get(number),
    async find(sql, number) {
      const row = await sql.readOne('select body from terms where n = $1', [number])
      if (row === undefined) throw new Error(`terms ${number} are missing`)
      const terms = read(row.body as string)
      byNumber.set(number, terms)
      return terms
    },
  }
}

/** One spelling for equal terms. */
function write(terms: Terms): string {
  const { client, platform, scope, resources, acr, amr, policy, idleSeconds } = terms
  return JSON.stringify([client, platform, scope, resources, acr, amr, policy, idleSeconds])
}

function read(body: string): Terms {
  const [client, platform, scope, resources, acr, amr, policy, idleSeconds] = JSON.parse(body)
  return { client, platform, scope, resources, acr, amr, policy, idleSeconds }
}

/** A map that forgets what was used longest ago. */
class Recent<Key, Held> {
  readonly #most: number
  readonly #map = new Map<Key, Held>()
  constructor(most: number) {
    this.#most = most
  }
  get(key: Key): Held | undefined {
    const held = this.#map.get(key)
    // Order matters only when something must go; keeping it exact earlier would cost a hot look-up two writes.
    if (held !== undefined && this.#map.size > this.#most / 2) {
      this.#map.delete(key)
      this.#map.set(key, held)
    }
    return held
  }
  set(key: Key, held: Held): void {
    this.#map.set(key, held)
    if (this.#map.size > this.#most) this.#map.delete(this.#map.keys().next().value as Key)
  }
}
