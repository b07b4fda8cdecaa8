/**
 * How a request that another region passes on says whose it is: that region has authenticated the client, where its secret is known. The
 * mark is good in this process alone, and nobody outside can make one.
 */
import { timingSafeEqual } from 'node:crypto'
import type { Chance } from '@signet/kernel/surroundings.ts'
import type { FastifyRequest } from 'fastify'

export interface Vouched {
  readonly client: string
  /** It proved itself; else it only said its name. */
  readonly proven: boolean
}

export interface Vouching {
  /** Headers for a request that this process makes to itself. */
  mark(vouched: Vouched): Record<string, string>
  /** Undefined for every request from outside. */
  read(request: FastifyRequest): Vouched | undefined
}

const HEADER = 'signet-vouched'

export function createVouching(chance: Chance): Vouching {
  const secret = Buffer.from(chance.bytes(32)).toString('base64url')
  return {
    mark: ({ client, proven }) => ({ [HEADER]: `${secret}${proven ? '!' : '.'}${encodeURIComponent(client)}` }),
    read(request) {
      const value = request.headers[HEADER]
      if (typeof value !== 'string' || value.length <= secret.length) return undefined
      const given = Buffer.from(value.slice(0, secret.length))
      if (given.length !== secret.length || !timingSafeEqual(given, Buffer.from(secret))) return undefined
      return { client: decodeURIComponent(value.slice(secret.length + 1)), proven: value[secret.length] === '!' }
    },
  }
}
