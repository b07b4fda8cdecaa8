/** For Hono 4, on Node and wherever else its requests are Fetch requests. */
import type { Allow } from '@signet/kernel/verdict.ts'
import type { Hono, MiddlewareHandler } from 'hono'
import { PROTECTED_RESOURCE_PATH } from '../metadata.ts'
import type { Validator } from '../validator.ts'
import { answerOf, isDpopRequest, type ProtectOptions, verdictHeaders } from './answer.ts'
import { METADATA_HEADERS } from './node.ts'

/** Variables of a protected route: `c.get('verdict')`. */
export interface SignetVariables {
  verdict: Allow
}

/**
 * Middleware that lets pass what carries a token with the permissions needed; answers everything else itself.
 *
 * ```ts
 * const app = new Hono<{ Variables: SignetVariables }>()
 * app.get('/orders', protect(validator, { needs: 'orders:read' }), (c) => c.json(list(c.get('verdict').claims.sub)))
 * ```
 *
 * Throws a TypeError for a permission that the validator's map does not know.
 */
export function protect(validator: Validator, options: ProtectOptions = {}): MiddlewareHandler<{ Variables: SignetVariables }> {
  validator.checkNeeds(options.needs)
  return async (c, next) => {
    const isDpop = isDpopRequest(c.req.header('authorization'))
    const verdict = await validator.validate(c.req.raw, options)
    if (!verdict.allowed) {
      const answer = answerOf(verdict, validator, isDpop)
      return new Response(answer.body, { status: answer.status, headers: answer.headers })
    }
    c.set('verdict', verdict)
    await next()
    // Not by `c.res.headers`: those of an answer that was fetched and is passed on cannot be changed.
    for (const [name, value] of Object.entries(verdictHeaders(verdict, validator, isDpop))) c.header(name, value)
    return undefined
  }
}

/** Serves this service's metadata (RFC 9728). */
export function serveMetadata(
  app: Pick<Hono, 'get'>,
  validator: Validator,
  about: { name?: string; documentation?: string } = {},
): void {
  const body = JSON.stringify(validator.metadata(about))
  for (const path of [PROTECTED_RESOURCE_PATH, `${PROTECTED_RESOURCE_PATH}/*`]) {
    app.get(path, () => new Response(body, { status: 200, headers: METADATA_HEADERS }))
  }
}
