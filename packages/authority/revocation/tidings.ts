/**
 * What a node has committed to the revocation log, as it goes along with the wake-up of the others, who then need not read it. The bus is
 * nobody's to trust: it is encrypted under a key that only nodes can make, from the ring and who sends, and each sender counts its messages.
 * Whoever repeats one tells what is known already, and whoever keeps one back costs the others a look.
 */
import { createCipheriv, createDecipheriv } from 'node:crypto'
import { concat, fromBase64Url, toBase64Url } from '@signet/kernel/bytes.ts'
import type { Chance } from '@signet/kernel/surroundings.ts'
import type { LogEntry } from '../store/ports/revocations.ts'

export interface Tidings {
  /** Undefined when there is no key, or there are too many entries to go along. */
  seal(entries: readonly LogEntry[]): Uint8Array | undefined
  /** Undefined unless a node with our keys has sealed it. */
  open(bytes: Uint8Array): readonly LogEntry[] | undefined
}

/** What only nodes can make keys from; of a version, or the newest. May throw when there is none to be had. */
export interface TidingsRing {
  ring(version?: number): { readonly version: number; hmac(data: Uint8Array): Uint8Array } | undefined
}

/** A larger commit is read from the log. */
const MAX_ENTRIES = 100
const FORMAT = 1
/** Format, ring version, sender, count: in clear, and authenticated. */
const RING_AT = 1
const SENDER_AT = 5
const SENDER_BYTES = 16
const COUNT_AT = SENDER_AT + SENDER_BYTES
const HEADER_BYTES = COUNT_AT + 8
const TAG_BYTES = 16
/** Senders whose keys are remembered. */
const MAX_SENDERS = 256

export function createTidings(keys: TidingsRing, chance: Chance): Tidings {
  const self = chance.bytes(SENDER_BYTES)
  /** By ring version and sender. */
  let known = new Map<string, Uint8Array>()
  let count = 0n

  function ringOf(version?: number): ReturnType<TidingsRing['ring']> {
    try {
      return keys.ring(version)
    } catch {
      return undefined // In doubt about its keys, a node reads the log.
    }
  }

  function keyOf(ring: NonNullable<ReturnType<TidingsRing['ring']>>, sender: Uint8Array): { name: string; key: Uint8Array } {
    const name = `${ring.version} ${toBase64Url(sender)}`
    return { name, key: known.get(name) ?? ring.hmac(concat(new TextEncoder().encode('signet/tidings/1'), sender)) }
  }

  function remember(name: string, key: Uint8Array): void {
    if (known.has(name)) return
    if (known.size >= MAX_SENDERS) known = new Map()
    known.set(name, key)
  }

  return {
    seal(entries) {
      const ring = ringOf()
      if (ring === undefined || entries.length > MAX_ENTRIES) return undefined
      const header = Buffer.alloc(HEADER_BYTES)
      header[0] = FORMAT
      header.writeUInt32BE(ring.version, RING_AT)
      header.set(self, SENDER_AT)
      header.writeBigUInt64BE(++count, COUNT_AT)
      const { name, key } = keyOf(ring, self)
      remember(name, key)
      const cipher = createCipheriv('aes-256-gcm', key, nonceOf(header), { authTagLength: TAG_BYTES }).setAAD(header)
      const text = JSON.stringify(entries.map((entry) => ({ ...entry, key: toBase64Url(entry.key) })))
      return Buffer.concat([header, cipher.update(text, 'utf8'), cipher.final(), cipher.getAuthTag()])
    },
    open(bytes) {
      if (bytes.length <= HEADER_BYTES + TAG_BYTES || bytes[0] !== FORMAT) return undefined
      const header = Buffer.from(bytes.buffer, bytes.byteOffset, HEADER_BYTES)
      const ring = ringOf(header.readUInt32BE(RING_AT))
      if (ring === undefined) return undefined
      const { name, key } = keyOf(ring, header.subarray(SENDER_AT, COUNT_AT))
      const decipher = createDecipheriv('aes-256-gcm', key, nonceOf(header), { authTagLength: TAG_BYTES })
      decipher.setAAD(header).setAuthTag(bytes.subarray(-TAG_BYTES))
      try {
        const text = decipher.update(bytes.subarray(HEADER_BYTES, -TAG_BYTES)) + decipher.final('utf8')
        remember(name, key)
        return (JSON.parse(text) as (Omit<LogEntry, 'key'> & { key: string })[]).map((entry) => ({
          ...entry,
          key: fromBase64Url(entry.key) as Uint8Array,
        }))
      } catch {
        return undefined
      }
    },
  }
}

/** Of a key that is the sender's alone each count is used once. */
const nonceOf = (header: Buffer): Uint8Array => concat(new Uint8Array(4), header.subarray(COUNT_AT, HEADER_BYTES))
