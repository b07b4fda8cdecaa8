/** For Express 5 (and 4). */
import type { Allow } from '@signet/kernel/verdict.ts'
import type { Request, RequestHandler } from 'express'
import { PROTECTED_RESOURCE_PATH } from '../metadata.ts'
import type { Validator } from '../validator.ts'
import { answerOf, certificateThumbprint, isDpopRequest, type ProtectOptions, verdictHeaders } from './answer.ts'
import { METADATA_HEADERS } from './node.ts'

const verdicts = new WeakMap<Request, Allow>()

/** The verdict on a request that `protect` let through. Throws when `protect` does not stand before the handler. */
export function verdictOf(request: Request): Allow {
  const verdict = verdicts.get(request)
  if (verdict === undefined) throw new Error('verdictOf was asked about a request that protect has not seen.')
  return verdict
}

/**
 * Middleware that lets pass what carries a token with the permissions needed; answers everything else itself.
 *
 * ```ts
 * app.get('/orders', protect(validator, { needs: 'orders:read' }), (request, response) => {
 *   response.json(list(verdictOf(request).claims.sub))
 * })
 * ```
 *
 * Throws a TypeError for a permission that the validator's map does not know.
 */
export function protect(validator: Validator, options: ProtectOptions = {}): RequestHandler {
  validator.checkNeeds(options.needs)
  return (request, response, next) => {
    const isDpop = isDpopRequest(request.headers.authorization)
    // A router cuts its own path off `url`; the proof is made for the whole.
    const { method, originalUrl: url, headers, rawHeaders } = request
    const context = { ...options, certificateThumbprint: certificateThumbprint(request.socket) }
    validator.validate({ method, url, headers, rawHeaders }, context).then((verdict) => {
      if (!verdict.allowed) {
        const answer = answerOf(verdict, validator, isDpop)
        response.status(answer.status).set(answer.headers).send(answer.body)
        return
      }
      response.set(verdictHeaders(verdict, validator, isDpop))
      verdicts.set(request, verdict)
      next()
    }, next)
  }
}

/** Serves this service's metadata (RFC 9728). `app.use(serveMetadata(validator))`, before what needs a token. */
export function serveMetadata(validator: Validator, about: { name?: string; documentation?: string } = {}): RequestHandler {
  const body = JSON.stringify(validator.metadata(about))
  return (request, response, next) => {
    const { path } = request
    const isOurs = path === PROTECTED_RESOURCE_PATH || path.startsWith(`${PROTECTED_RESOURCE_PATH}/`)
    if (!isOurs || (request.method !== 'GET' && request.method !== 'HEAD')) return next()
    response.status(200).set(METADATA_HEADERS).send(body)
  }
}
