/**
 * Questions about what lives in another region. They are asked there as they came, by this server, once: whoever is asked looks at his own
 * store alone. A region that may have it and cannot be asked is a fault, never a refusal, on which clients throw their tokens away.
 */
import { fault } from '@signet/kernel/errors.ts'
import { z } from 'zod'
import type { Link } from './link.ts'

/** Endpoints that take a token which may live elsewhere. */
export const FORWARDED_PATHS = ['/token', '/revoke', '/introspect', '/leaks'] as const

/** Headers that go along: what was proved with the request, and from where it came. */
export const FORWARDED_HEADERS = ['dpop', 'user-agent', 'accept'] as const
/** Headers that come back. */
export const ANSWERED_HEADERS = [
  'content-type',
  'retry-after',
  'www-authenticate',
  'dpop-nonce',
  'cache-control',
  'pragma',
] as const

const headers = z.record(z.string().max(64), z.string().max(16_384))
const answeredHeaders = z.object(
  Object.fromEntries(ANSWERED_HEADERS.map((name) => [name, z.string().max(16_384).optional()])) as Record<
    (typeof ANSWERED_HEADERS)[number],
    z.ZodOptional<z.ZodString>
  >,
)

export const forwardedRequest = z.object({
  region: z.string(),
  path: z.enum(FORWARDED_PATHS),
  /** What it is about, so that its home is found without reading the rest. */
  token: z.string().min(1).max(16_384),
  form: z.string().max(256 * 1024),
  headers,
  /** Whom the asking region has authenticated; nobody, where that is not asked for. */
  client: z
    .string()
    .regex(/^[\x21-\x7e]{1,128}$/)
    .optional(),
  /** Whether it proved itself there; a public client only says its name. */
  proven: z.boolean().default(false),
  /** Where the request came from: its home compares and limits by it. */
  address: z.union([z.ipv4(), z.ipv6()]),
})
export type ForwardedRequest = z.output<typeof forwardedRequest>

export const forwardedAnswer = z.discriminatedUnion('known', [
  z.object({ known: z.literal(false) }),
  // Of the headers that come only these are passed on: what else a region sends is not its to say in our name.
  z.object({ known: z.literal(true), status: z.int().min(200).max(599), headers: answeredHeaders, body: z.string() }),
])
export type ForwardedAnswer = z.output<typeof forwardedAnswer>
export type HomeAnswer = Extract<ForwardedAnswer, { known: true }>

/** Under way at once, at most: each holds a client's connection and one to its home … */
const MAX_UNDER_WAY = 256
/** … and of one caller, so that nobody who floods takes the places of the others. */
export const MAX_OF_CALLER = 64
const RETRY_SECONDS = 2

export interface ForwardParts {
  readonly self: string
  readonly links: ReadonlyMap<string, Link>
  /** Whether an operator said that it is lost: what lives there is over then, also when it answers and has not heard of it yet. */
  isTakenOver(peer: string): Promise<boolean>
  readonly forwarded?: ((peer: string, outcome: 'answered' | 'unknown' | 'failed') => void) | undefined
}

/** `caller`: whose places are taken. */
export type Forward = (question: Omit<ForwardedRequest, 'region'>, caller: string) => Promise<HomeAnswer | undefined>

/** Undefined when no region has it. */
export function createForward({ self, links, isTakenOver, forwarded }: ForwardParts): Forward {
  let underWay = 0
  const taken = new Map<string, number>()
  return async (question, caller) => {
    const own = taken.get(caller) ?? 0
    if (underWay >= MAX_UNDER_WAY || own >= MAX_OF_CALLER)
      throw fault('overloaded', { because: 'too many requests wait for other regions' })
    underWay++
    taken.set(caller, own + 1)
    let failed: unknown
    try {
      for (const [name, link] of links) {
        if (await isTakenOver(name)) continue
        try {
          const answer = await link.post('/region/forward', { region: self, ...question }, forwardedAnswer)
          forwarded?.(name, answer.known ? 'answered' : 'unknown')
          if (answer.known) return answer
        } catch (cause) {
          forwarded?.(name, 'failed')
          failed = cause
        }
      }
    } finally {
      underWay--
      const left = (taken.get(caller) as number) - 1
      if (left > 0) taken.set(caller, left)
      else taken.delete(caller)
    }
    if (failed !== undefined) throw fault('region_unavailable', { cause: failed, retryAfterSeconds: RETRY_SECONDS })
    return undefined
  }
}
