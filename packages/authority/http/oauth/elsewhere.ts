/** Passes a request on to the region where its token lives, and that region's answer back. */
import type { FastifyReply, FastifyRequest } from 'fastify'
import type { FORWARDED_PATHS, Forward, HomeAnswer } from '../../regions/forward.ts'
import { FORWARDED_HEADERS } from '../../regions/forward.ts'
import type { Form } from '../form.ts'

/** The home's answer; undefined when the token is to be judged here. */
export type Elsewhere = (
  path: (typeof FORWARDED_PATHS)[number],
  token: string,
  form: Form,
  request: FastifyRequest,
) => Promise<HomeAnswer | undefined>

export interface ElsewhereParts {
  /** Absent where there is one region only. */
  readonly elsewhere?: Elsewhere | undefined
}

export function createElsewhere(parts: { isHere(token: string): Promise<boolean>; forward: Forward }): Elsewhere {
  return async (path, token, form, request) => {
    if (await parts.isHere(token)) return undefined
    const headers: Record<string, string> = {}
    for (const name of FORWARDED_HEADERS) {
      const value = request.headers[name]
      if (typeof value === 'string') headers[name] = value
    }
    return parts.forward({ path, token, form: form.encoded(), headers, address: request.ip })
  }
}

export function relay(reply: FastifyReply, answer: HomeAnswer): FastifyReply {
  return reply.code(answer.status).headers(answer.headers).send(answer.body)
}
