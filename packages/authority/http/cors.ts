/**
 * Which web pages may read our answers (Fetch, CORS). Discovery and keys: all. Endpoints that clients call: pages of the client that asks,
 * known by the origins of its redirect URIs. A preflight cannot name a client, so it is answered alike for everyone; it opens
 * nothing by itself, since no endpoint here looks at cookies.
 */
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import type { AuthenticatedClient } from '../clients/authenticate-client.ts'

type ClientRecord = AuthenticatedClient['record']

const EXPOSED = 'DPoP-Nonce, Retry-After, WWW-Authenticate'
const PREFLIGHT_SECONDS = 600

/** Answers preflights for these paths. */
export function preflight(app: FastifyInstance, methods: string, ...paths: readonly string[]): void {
  for (const path of paths) {
    app.options(path, (_request, reply) =>
      reply
        .code(204)
        .header('access-control-allow-origin', '*')
        .header('access-control-allow-methods', methods)
        .header('access-control-allow-headers', 'Authorization, Content-Type, DPoP')
        .header('access-control-max-age', String(PREFLIGHT_SECONDS))
        .send(),
    )
  }
}

/** Any page may read this answer. */
export function openToAll(reply: FastifyReply): void {
  reply.header('access-control-allow-origin', '*').header('cross-origin-resource-policy', 'cross-origin')
}

/** Pages of this client may read this answer, errors included. */
export function openToClient(request: FastifyRequest, reply: FastifyReply, client: ClientRecord): void {
  const { origin } = request.headers
  if (origin === undefined) return
  reply.header('vary', 'Origin')
  if (!isOriginOf(client, origin)) return
  reply
    .header('access-control-allow-origin', origin)
    .header('access-control-expose-headers', EXPOSED)
    .header('cross-origin-resource-policy', 'cross-origin')
}

/** `null` is the origin of every sandboxed page and so of no client; the schemes of native apps have none. */
function isOriginOf(client: ClientRecord, origin: string): boolean {
  return origin !== 'null' && client.redirectUris.some((uri) => URL.parse(uri)?.origin === origin)
}
