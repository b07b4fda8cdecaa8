/**
 * Server nonces for DPoP proofs (RFC 9449 §8) without any memory: a nonce is its time slot and a MAC over it. Whoever has the
 * key can make and check them, so nodes that share a key share their nonces, and nodes that do not, do not.
 */
import { createHmac } from 'node:crypto'
import { equalBytes, fromBase64Url, toBase64Url } from '@signet/kernel/bytes.ts'
import type { Clock } from '@signet/kernel/surroundings.ts'

/** A keyed hash, HMAC-SHA-256 or as strong. */
export type Mac = (data: Uint8Array) => Uint8Array

/** The MAC of a key held in memory. At least 16 bytes. */
export function nonceMac(key: Uint8Array): Mac {
  if (key.length < 16) throw new RangeError('a nonce key has at least 16 bytes')
  return (data) => createHmac('sha256', key).update(data).digest()
}

const PURPOSE = new TextEncoder().encode('signet/dpop-nonce/1')
const SLOT_BYTES = 6
const TAG_BYTES = 16

export class DpopNonces {
  private readonly clock: Clock
  private readonly macs: () => readonly Mac[]
  private readonly slotMs: number
  private slot = -1
  private issued = ''
  private issuer: Mac | undefined

  /**
   * A nonce is good in its own slot and the next, so for `slotSeconds` at least and twice that at most; one from the slot to
   * come is taken too, for nodes whose clocks are apart. `macs` gives the MAC that new nonces are made with first, then older
   * ones that still count.
   */
  constructor(options: { clock: Clock; macs: () => readonly Mac[]; slotSeconds?: number }) {
    this.clock = options.clock
    this.macs = options.macs
    this.slotMs = (options.slotSeconds ?? 60) * 1000
  }

  /** The nonce to give out now. */
  current(): string {
    const slot = Math.floor(this.clock.now() / this.slotMs)
    const mac = this.macs()[0]
    if (mac === undefined) throw new Error('no key to make nonces with')
    if (slot !== this.slot || mac !== this.issuer) {
      this.slot = slot
      this.issuer = mac
      this.issued = toBase64Url(nonceOf(mac, slot))
    }
    return this.issued
  }

  /** Until when (epoch milliseconds) this nonce of ours is good; undefined when it is none or over. */
  verify(nonce: string): { readonly usableUntilMs: number } | undefined {
    if (nonce.length > 64) return undefined
    const bytes = fromBase64Url(nonce)
    if (bytes === undefined || bytes.length !== SLOT_BYTES + TAG_BYTES) return undefined
    let slot = 0
    for (let i = 0; i < SLOT_BYTES; i++) slot = slot * 256 + (bytes[i] as number)
    const now = Math.floor(this.clock.now() / this.slotMs)
    if (slot < now - 1 || slot > now + 1) return undefined
    if (!this.macs().some((mac) => equalBytes(bytes, nonceOf(mac, slot)))) return undefined
    return { usableUntilMs: (slot + 2) * this.slotMs }
  }
}

function nonceOf(mac: Mac, slot: number): Uint8Array {
  const nonce = new Uint8Array(SLOT_BYTES + TAG_BYTES)
  let rest = slot
  for (let i = SLOT_BYTES - 1; i >= 0; i--) {
    nonce[i] = rest % 256
    rest = Math.floor(rest / 256)
  }
  const data = new Uint8Array(PURPOSE.length + SLOT_BYTES)
  data.set(PURPOSE)
  data.set(nonce.subarray(0, SLOT_BYTES), PURPOSE.length)
  nonce.set(mac(data).subarray(0, TAG_BYTES), SLOT_BYTES)
  return nonce
}
