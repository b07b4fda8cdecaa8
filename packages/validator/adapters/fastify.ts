/** For Fastify 5. */
import type { Allow } from '@signet/kernel/verdict.ts'
import type { FastifyInstance, onRequestAsyncHookHandler } from 'fastify'
import { PROTECTED_RESOURCE_PATH } from '../metadata.ts'
import type { Validator } from '../validator.ts'
import { answerOf, certificateThumbprint, isDpopRequest, type ProtectOptions, verdictHeaders } from './answer.ts'
import { METADATA_HEADERS } from './node.ts'

declare module 'fastify' {
  interface FastifyRequest {
    /** The verdict of the hook that `protect` made; null on routes without it. */
    verdict: Allow | null
  }
}

/**
 * Makes `request.verdict` known and serves this service's metadata (RFC 9728). Call it once, before routes are added.
 *
 * ```ts
 * useSignet(app, validator)
 * app.get('/orders', { onRequest: protect(validator, { needs: 'orders:read' }) }, (request) => list(request.verdict?.claims.sub))
 * ```
 */
export function useSignet(
  app: FastifyInstance,
  validator: Validator,
  about: { name?: string; documentation?: string } = {},
): void {
  app.decorateRequest('verdict', null)
  const body = JSON.stringify(validator.metadata(about))
  for (const path of [PROTECTED_RESOURCE_PATH, `${PROTECTED_RESOURCE_PATH}/*`]) {
    app.get(path, (_request, reply) => reply.headers(METADATA_HEADERS).send(body))
  }
}

/**
 * An `onRequest` hook: before the body is read, so that nobody makes us read one for nothing. Throws a TypeError for a permission that
 * the validator's map does not know.
 */
export function protect(validator: Validator, options: ProtectOptions = {}): onRequestAsyncHookHandler {
  validator.checkNeeds(options.needs)
  return async (request, reply) => {
    const isDpop = isDpopRequest(request.headers.authorization)
    const verdict = await validator.validate(request.raw, {
      ...options,
      certificateThumbprint: certificateThumbprint(request.raw.socket),
    })
    if (!verdict.allowed) {
      const answer = answerOf(verdict, validator, isDpop)
      return reply.code(answer.status).headers(answer.headers).send(answer.body)
    }
    reply.headers(verdictHeaders(verdict, validator, isDpop))
    request.verdict = verdict
  }
}
