/** What other regions of the same issuer ask (docs/regions.md): the log in plain words, and the public keys. */
import { refusal } from '@signet/kernel/errors.ts'
import type { Allow } from '@signet/kernel/verdict.ts'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { ANSWERED_HEADERS, FORWARDED_HEADERS, type ForwardedAnswer, forwardedRequest } from '../regions/forward.ts'
import { regionClient } from '../regions/link-messages.ts'
import type { Regions } from '../regions/regions.ts'
import { FORM_TYPE, MAX_BODY_BYTES, parseForm } from './form.ts'
import { heldToken } from './oauth/token.ts'
import type { Vouching } from './oauth/vouching.ts'

export interface RegionRouteParts {
  /** Absent where there is one region only: nothing is answered then. */
  readonly regions: Regions | undefined
  /** Throws what the one catch answers with 401 or 403 and a challenge. */
  authorize(request: FastifyRequest, reply: FastifyReply): Promise<Allow>
  /** Whether this region can judge the token. */
  isHere(token: string): Promise<boolean>
  readonly vouching: Vouching
}

/** Reasons of refusals here. */
export type RegionReason = 'unknown_region' | 'not_this_region' | 'malformed_region_place' | 'malformed_question'

export function regionRoutes(app: FastifyInstance, { regions, authorize, isHere, vouching }: RegionRouteParts): void {
  if (regions === undefined) return
  const noHead = { exposeHeadRoute: false }

  app.get('/region/log', noHead, async (request, reply) => {
    const caller = await authorize(request, reply)
    const query = request.query as Query
    const region = knownRegion(query, regions, caller)
    const after = readPlace(query.epoch, query.after)
    const have = readPlace(query.have_epoch, query.have)
    return reply.send(await regions.export.page({ region, after, have, waitMs: number(query.wait_ms) }))
  })

  app.get('/region/keys', noHead, async (request, reply) => {
    const caller = await authorize(request, reply)
    knownRegion(request.query as Query, regions, caller)
    return reply.send(regions.export.keys())
  })

  // The request is asked anew, here, as if it had come here: only who the client is was proven where it is known.
  app.post('/region/forward', { bodyLimit: FORWARDED_BYTES }, async (request, reply): Promise<ForwardedAnswer> => {
    const caller = await authorize(request, reply)
    const parsed = forwardedRequest.safeParse(request.body)
    if (!parsed.success) throw refusal('invalid_request', 'malformed_question' satisfies RegionReason)
    knownRegion(parsed.data, regions, caller)
    const { path, token, form, headers, address, client, proven } = parsed.data
    if (tokenIn(path, form) !== token) throw refusal('invalid_request', 'malformed_question' satisfies RegionReason)
    if (!(await isHere(token))) return { known: false }
    const asked = Object.fromEntries(FORWARDED_HEADERS.flatMap((name) => (name in headers ? [[name, headers[name]]] : [])))
    const answer = await app.inject({
      method: 'POST',
      url: path,
      headers: { ...asked, ...(client !== undefined && vouching.mark({ client, proven })), 'content-type': FORM_TYPE },
      payload: form,
      remoteAddress: address,
    })
    const answered = ANSWERED_HEADERS.flatMap((name) => {
      const value = answer.headers[name]
      return typeof value === 'string' ? [[name, value] as const] : []
    })
    return { known: true, status: answer.statusCode, headers: Object.fromEntries(answered), body: answer.body }
  })
}

/**
 * What the form is about. Who asks in a client's name has to hold a token of its: nothing else is believed without the client's own proof,
 * so that whoever stole a region's credential cannot begin anything in the name of all clients.
 */
function tokenIn(path: string, text: string): string | undefined {
  const form = parseForm(text)
  if (typeof form === 'string') return undefined
  return path === '/token' ? heldToken(form.get('grant_type') ?? '', form) : form.get('token')
}

/** A form with everything escaped once more. */
const FORWARDED_BYTES = 4 * MAX_BODY_BYTES

type Query = Readonly<Record<string, unknown>>
const EPOCH = /^[\w-]{0,64}$/
const NUMBER = /^(0|[1-9]\d{0,15})$/

/** The region that asks. A peer's client speaks for that peer alone. */
function knownRegion({ region }: Query, { peers }: Regions, { claims }: Allow): string {
  if (typeof region !== 'string' || !peers.includes(region))
    throw refusal('invalid_request', 'unknown_region' satisfies RegionReason)
  if (claims.client_id !== regionClient(region)) throw refusal('access_denied', 'not_this_region' satisfies RegionReason)
  return region
}

function readPlace(epoch: unknown, seq: unknown): { readonly epoch: string; readonly seq: number } {
  if (typeof epoch !== 'string' || !EPOCH.test(epoch)) throw malformed()
  return { epoch, seq: number(seq) }
}

function number(value: unknown): number {
  if (typeof value !== 'string' || !NUMBER.test(value) || !Number.isSafeInteger(Number(value))) throw malformed()
  return Number(value)
}

const malformed = () => refusal('invalid_request', 'malformed_region_place' satisfies RegionReason)
