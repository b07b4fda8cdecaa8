/**
 * Forms that come from other sites (OpenID Connect Core §3.1.2.1 and RP-Initiated Logout §2 let apps POST). They come without our
 * cookies, which are SameSite=Lax; so they are not read here but sent on as the GET that they mean, which has them.
 */
import type { FastifyInstance } from 'fastify'
import { FORM_TYPE } from '../form.ts'

/** Longest query, so also the longest of these forms: what an interaction keeps of it fits its row, and proxies pass it on. */
export const MAX_QUERY = 12_288

export function foreignFormRoutes(app: FastifyInstance, paths: readonly string[]): void {
  app.removeAllContentTypeParsers()
  app.addContentTypeParser(FORM_TYPE, { parseAs: 'string', bodyLimit: MAX_QUERY }, (_request, body, done) => done(null, body))
  for (const path of paths) {
    app.post(path, async (request, reply) => {
      // Written anew rather than passed through, so that nothing but a query can come of it.
      const query = new URLSearchParams(typeof request.body === 'string' ? request.body : '').toString()
      return reply.header('cache-control', 'no-store').redirect(query === '' ? path : `${path}?${query}`, 303)
    })
  }
}
