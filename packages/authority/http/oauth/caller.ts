/** Who calls an OAuth endpoint: reads and authenticates the client, opens the answer to its pages, takes from its budget. */
import { Refusal } from '@signet/kernel/errors.ts'
import {
  addressKey,
  createRateLimit,
  type OwnRateLimit,
  type Rate,
  type RateLimit,
  takeOrRefuse,
} from '@signet/kernel/rate-limit.ts'
import type { Clock } from '@signet/kernel/surroundings.ts'
import type { FastifyReply, FastifyRequest } from 'fastify'
import {
  type AuthenticatedClient,
  authenticateClient,
  type ClientParts,
  vouchedClient,
} from '../../clients/authenticate-client.ts'
import type { PolicySettings } from '../../policy/settings.ts'
import { openToClient } from '../cors.ts'
import { type Form, formOf } from '../form.ts'
import { createSharedRateLimit, type TakeShared } from '../shared-rate-limit.ts'
import { readCredentials } from './credentials.ts'
import type { Step } from './step.ts'
import type { Vouching } from './vouching.ts'

/**
 * Budgets, of all nodes together where they share a store. A client that proves itself has one of its own, so no flood from elsewhere can spend it. A public client proves
 * nothing, so each address has one for it. Who proves nothing at all spends his address's.
 */
interface Limits {
  readonly client: RateLimit
  readonly publicClient: RateLimit
  readonly stranger: RateLimit
  /** Refreshes of one family. */
  readonly family: RateLimit
  /** Refusals that are recorded, for one address and for all together, by this node. */
  readonly record: OwnRateLimit
}

/** `shared` takes from the budget `name` of all nodes; undefined where there is one node. */
export function createLimits(settings: PolicySettings, clock: Clock, shared?: (name: string, rate: Rate) => TakeShared): Limits {
  const limit = (name: string, rate: Rate): RateLimit =>
    shared === undefined ? createRateLimit(rate, clock) : createSharedRateLimit(rate, clock, shared(name, rate))
  return {
    client: limit('client', settings.clientRate),
    publicClient: limit('publicClient', settings.addressRate),
    stranger: limit('stranger', settings.addressRate),
    family: limit('family', settings.familyRate),
    record: recordLimit(clock),
  }
}

/** Enough to see what goes on, too little to fill a disk: 20 a second are some 15 GB a year. */
const RECORD_RATE = { perSecond: 20, burst: 2000 }
const RECORD_RATE_OF_ADDRESS = { perSecond: 2, burst: 200 }

function recordLimit(clock: Clock): OwnRateLimit {
  const ofAll = createRateLimit(RECORD_RATE, clock)
  const ofAddress = createRateLimit(RECORD_RATE_OF_ADDRESS, clock)
  return { take: (address) => ofAddress.take(address) || ofAll.take('all') }
}

export interface CallerParts extends ClientParts {
  readonly limits: Limits
  readonly step: Step
  /** Absent where there is one region only. */
  readonly vouching?: Vouching | undefined
}

/** The form and the client behind it. */
export async function callerOf(
  request: FastifyRequest,
  reply: FastifyReply,
  parts: CallerParts,
): Promise<{ form: Form; client: AuthenticatedClient }> {
  const { limits, step } = parts
  const address = addressKey(request.ip)
  const form = formOf(request)
  await step()
  const client = await identify(request, form, parts).catch(async (error: unknown) => {
    if (error instanceof Refusal) await takeOrRefuse(limits.stranger, address, 'address_rate')
    throw error
  })
  const { record } = client
  openToClient(request, reply, record)
  if (record.authMethod === 'none') await takeOrRefuse(limits.publicClient, `${record.id} ${address}`, 'client_rate')
  else await takeOrRefuse(limits.client, record.id, 'client_rate')
  return { form, client }
}

async function identify(request: FastifyRequest, form: Form, parts: CallerParts): Promise<AuthenticatedClient> {
  const vouched = parts.vouching?.read(request)
  if (vouched !== undefined) return vouchedClient(vouched, parts)
  return authenticateClient(readCredentials(request.headers.authorization, form), parts)
}
