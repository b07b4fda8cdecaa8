/** For plain node:http. */
import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http'
import type { Allow } from '@signet/kernel/verdict.ts'
import { PROTECTED_RESOURCE_PATH } from '../metadata.ts'
import type { Validator } from '../validator.ts'
import { answerOf, certificateThumbprint, isDpopRequest, type ProtectOptions, verdictHeaders } from './answer.ts'

/** A handler that sees only requests that may pass, with the verdict on them. */
export type ProtectedHandler = (request: IncomingMessage, response: ServerResponse, verdict: Allow) => void | Promise<void>

/**
 * Lets through to `handler` what carries a token with the permissions needed; answers everything else itself.
 *
 * ```ts
 * createServer(protect(validator, { needs: 'payments:write' }, (request, response, verdict) => {
 *   response.end(`Paid by ${verdict.claims.sub}`)
 * }))
 * ```
 *
 * Throws a TypeError for a permission that the validator's map does not know.
 */
export function protect(validator: Validator, options: ProtectOptions, handler: ProtectedHandler): RequestListener {
  validator.checkNeeds(options.needs)
  return async (request, response) => {
    const isDpop = isDpopRequest(request.headers.authorization)
    const verdict = await validator.validate(request, {
      ...options,
      certificateThumbprint: certificateThumbprint(request.socket),
    })
    if (!verdict.allowed) {
      const answer = answerOf(verdict, validator, isDpop)
      response.writeHead(answer.status, answer.headers).end(answer.body)
      return
    }
    for (const [name, value] of Object.entries(verdictHeaders(verdict, validator, isDpop))) response.setHeader(name, value)
    return handler(request, response, verdict)
  }
}

/** Answers requests for this service's metadata (RFC 9728) and says whether it did. Call it before anything else. */
export function serveMetadata(validator: Validator, about: { name?: string; documentation?: string } = {}) {
  const body = JSON.stringify(validator.metadata(about))
  return (request: IncomingMessage, response: ServerResponse): boolean => {
    const path = request.url?.split('?', 1)[0] ?? ''
    if (path !== PROTECTED_RESOURCE_PATH && !path.startsWith(`${PROTECTED_RESOURCE_PATH}/`)) return false
    if (request.method !== 'GET' && request.method !== 'HEAD') return false
    response.writeHead(200, METADATA_HEADERS).end(request.method === 'HEAD' ? undefined : body)
    return true
  }
}

/** Public, and browsers may read it from anywhere. */
export const METADATA_HEADERS = {
  'content-type': 'application/json; charset=utf-8',
  'cache-control': 'public, max-age=300',
  'access-control-allow-origin': '*',
} as const
