/**
 * What the code under simulation takes from Node itself and not through an argument: key generation, the disk, and the database
 * file. Here they are given seeds, too. The substitutes answer only while a world is being simulated, or for its own paths.
 */
import crypto, { createPrivateKey, type KeyObject } from 'node:crypto'
import disk from 'node:fs/promises'
import { syncBuiltinESMExports } from 'node:module'
import sqlite from 'node:sqlite'
import { promisify } from 'node:util'
import type { Chance } from '@signet/kernel/surroundings.ts'
import type { SimulatedDisk } from './disk.ts'

/** What is present while a world runs. One at a time in a process. */
export interface Present {
  readonly chance: Chance
  readonly disk: SimulatedDisk
  /** What the next in-memory database opens with. */
  image: Uint8Array | undefined
  /** The in-memory database that was opened last. */
  opened: sqlite.DatabaseSync | undefined
}

let present: Present | undefined

/** Puts the substitutes in place for as long as `run` takes. */
export async function withBuiltins<T>(of: Present, run: () => Promise<T>): Promise<T> {
  if (present !== undefined) throw new Error('one world at a time')
  install()
  present = of
  try {
    return await run()
  } finally {
    present = undefined
  }
}

let installed = false
function install(): void {
  if (installed) return
  installed = true
  installKeys()
  installDisk()
  installDatabase()
  syncBuiltinESMExports()
}

// ── Keys ───────────────────────────────────────────────────────────────────────────────────────────────────────────

function installKeys(): void {
  const { generateKeyPair, generateKeyPairSync } = crypto
  const pair = (type: string) => {
    const privateKey = privateKeyFrom(type, (present as Present).chance)
    return { privateKey, publicKey: crypto.createPublicKey(privateKey) }
  }
  const isOurs = (type: string) => present !== undefined && (type === 'ec' || type === 'ed25519')
  crypto.generateKeyPairSync = ((type: string, ...rest: never[]) =>
    isOurs(type) ? pair(type) : (generateKeyPairSync as (...all: never[]) => unknown)(type as never, ...rest)) as never
  const asked = promisify(generateKeyPair) as unknown as (...all: never[]) => Promise<unknown>
  const later = (type: string, ...rest: never[]) => (generateKeyPair as (...all: never[]) => unknown)(type as never, ...rest)
  Object.defineProperty(later, promisify.custom, {
    value: async (type: string, ...rest: never[]) => (isOurs(type) ? pair(type) : asked(type as never, ...rest)),
  })
  crypto.generateKeyPair = later as never
}

const ED25519_PKCS8 = Buffer.from('302e020100300506032b657004220420', 'hex')

function privateKeyFrom(type: string, chance: Chance): KeyObject {
  if (type === 'ed25519') {
    return createPrivateKey({ key: Buffer.concat([ED25519_PKCS8, chance.bytes(32)]), format: 'der', type: 'pkcs8' })
  }
  const scalar = chance.bytes(32)
  scalar[0] = 0x7f & (scalar[0] as number) // Below the order of the curve.
  const curve = crypto.createECDH('prime256v1')
  curve.setPrivateKey(scalar)
  const point = curve.getPublicKey()
  const text = (bytes: Uint8Array) => Buffer.from(bytes).toString('base64url')
  const jwk = { kty: 'EC', crv: 'P-256', d: text(scalar), x: text(point.subarray(1, 33)), y: text(point.subarray(33)) }
  return createPrivateKey({ key: jwk, format: 'jwk' })
}

// ── Disk ───────────────────────────────────────────────────────────────────────────────────────────────────────────

function installDisk(): void {
  const real = { open: disk.open, readFile: disk.readFile, rename: disk.rename, stat: disk.stat, unlink: disk.unlink }
  const ours = (path: unknown) => (typeof path === 'string' ? present?.disk.of(path) : undefined)
  for (const name of Object.keys(real) as (keyof typeof real)[]) {
    const fallback = real[name] as (...all: unknown[]) => unknown
    const substitute = (path: unknown, ...rest: unknown[]) => {
      const simulated = ours(path)
      return simulated === undefined
        ? fallback(path, ...rest)
        : (simulated[name] as (...all: unknown[]) => unknown)(path as string, ...rest)
    }
    Object.assign(disk, { [name]: substitute })
  }
}

// ── Database ───────────────────────────────────────────────────────────────────────────────────────────────────────

/** The engine begins with a pragma: then the database is noted, and filled with the image that it shall open with. */
function installDatabase(): void {
  const { prototype } = sqlite.DatabaseSync
  const { exec } = prototype
  prototype.exec = function (this: sqlite.DatabaseSync, sql: string) {
    if (present !== undefined && sql.startsWith('pragma page_size') && this.location() === null) {
      present.opened = this
      if (present.image !== undefined) this.deserialize(present.image)
      present.image = undefined
    }
    return exec.call(this, sql)
  }
}
