/**
 * How a request that another region passes on says whose it is: that region has authenticated the client, where its secret is known. The
 * mark is good in this process alone, and nobody outside can make one.
 */
import { timingSafeEqual } from 'node:crypto'
import type { Chance } from '@signet/kernel/surroundings.ts'
import type { FastifyRequest } from 'fastify'

export interface Vouching {
  /** Headers for a request that this process makes to itself. */
  mark(client: string): Record<string, string>
  /** The client that was vouched for; undefined for every request from outside. */
  read(request: FastifyRequest): string | undefined
}

const HEADER = 'signet-vouched'

export function createVouching(chance: Chance): Vouching {
  const secret = Buffer.from(chance.bytes(32)).toString('base64url')
  return {
    mark: (client) => ({ [HEADER]: `${secret}.${encodeURIComponent(client)}` }),
    read(request) {
      const value = request.headers[HEADER]
      if (typeof value !== 'string' || value.length <= secret.length) return undefined
      const given = Buffer.from(value.slice(0, secret.length))
      if (given.length !== secret.length || !timingSafeEqual(given, Buffer.from(secret))) return undefined
      return decodeURIComponent(value.slice(secret.length + 1))
    },
  }
}
