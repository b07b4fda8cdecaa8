/**
 * The door: one Fastify instance with what every answer has in common. Bounds on what comes in, headers on what goes out, a number
 * for each request, and the one catch: a refusal is answered from the table, a fault with 503, anything else is a bug and is
 * logged as one.
 */
import type { Socket } from 'node:net'
import { toBase64Url } from '@signet/kernel/bytes.ts'
import { Fault } from '@signet/kernel/errors.ts'
import type { Chance } from '@signet/kernel/surroundings.ts'
import { type FastifyInstance, type FastifyReply, type FastifyRequest, fastify } from 'fastify'
import type { Log } from '../telemetry/log.ts'
import type { Telemetry } from '../telemetry/metrics.ts'
import { checkPath, MAX_BODY_BYTES } from './form.ts'
import { type Answer, answerTo, methodNotAllowed, noSuchEndpoint } from './respond.ts'
import { type RouteParts, routes } from './routes.ts'
import { sendPage } from './signin/page.ts'
import { nothingHerePage } from './signin/problem-page.ts'

export interface HttpParts extends RouteParts {
  readonly issuer: string
  readonly log: Log
  readonly telemetry: Telemetry
  readonly chance: Chance
  /** How many reverse proxies in front may be believed about the client's address. */
  readonly trustedProxies: number
}

declare module 'fastify' {
  interface FastifyContextConfig {
    /** How this route shows a problem to a person; without it, problems are JSON. */
    problemPage?: (answer: Answer, request: FastifyRequest, reply: FastifyReply) => string
  }
}

/** The server, not yet listening: call `listen`, or `inject` in tests. */
export function createHttpServer(parts: HttpParts): FastifyInstance {
  const { log, telemetry } = parts
  const always = headersOfEveryAnswer(parts.issuer)
  const app = fastify({
    logger: false, // One line of our own per request, and no child logger for each.
    bodyLimit: MAX_BODY_BYTES,
    // Hop 0 is whoever opened the connection.
    trustProxy: parts.trustedProxies > 0 && ((_address: string, hop: number) => hop < parts.trustedProxies),
    genReqId: requestIds(parts.chance),
    requestIdHeader: false, // An id from outside could imitate another request's.
    requestTimeout: REQUEST_TIMEOUT_MS,
    keepAliveTimeout: KEEP_ALIVE_MS,
    forceCloseConnections: 'idle',
    // While a node drains it answers what comes over connections that are open. The framework's own 503 says nothing of when to try again.
    return503OnClosing: false,
    routerOptions: { maxParamLength: 1024 },
    // Else a second Authorization or Content-Type would vanish, and who stands in front may have read that one. Joined they are none that we take.
    http: { joinDuplicateHeaders: true },
    // A URL that cannot be read comes here past all hooks.
    frameworkErrors: (error, request, reply) => fail(error, request as FastifyRequest, reply.headers(always) as FastifyReply),
    clientErrorHandler: refuseGarbage,
  })
  app.removeContentTypeParser('text/plain')

  app.addHook('onRequest', (request, reply, done) => {
    reply.headers(always)
    reply.header('x-request-id', request.id)
    checkPath(request)
    done()
  })
  app.addHook('onResponse', (request, reply, done) => {
    const route = request.routeOptions.url ?? 'none'
    telemetry.answered(route, request.method, reply.statusCode, reply.elapsedTime / 1000)
    if (log.isLevelEnabled('debug'))
      log.debug(
        { request: request.id, route, method: request.method, status: reply.statusCode, ms: reply.elapsedTime },
        'answered',
      )
    done()
  })

  const methods = rememberMethods(app)
  app.setErrorHandler(fail)
  app.setNotFoundHandler((request, reply) => {
    const allowed = methods(request.url)
    if (allowed.length > 0) return say(methodNotAllowed, reply.header('allow', allowed.join(', ')))
    // Browsers ask for HTML by name; no client of an API does.
    if (request.headers.accept?.includes('text/html') === true) return sendPage(reply, nothingHerePage)
    return say(noSuchEndpoint, reply)
  })
  routes(app, parts)
  return app

  function fail(error: unknown, request: FastifyRequest, reply: FastifyReply): FastifyReply {
    const answer = answerTo(error)
    const route = request.routeOptions.url ?? 'none'
    telemetry.refused(route, answer.problem.reason)
    if (answer.bug) log.error({ request: request.id, route, err: error }, 'bug')
    else if (error instanceof Fault) log.warn({ request: request.id, route, err: error }, 'fault')
    // RFC 6749 §5.2: a client that came with the Authorization header is told which scheme we take.
    if (answer.problem.error === 'invalid_client' && /^basic /i.test(request.headers.authorization ?? ''))
      reply.header('www-authenticate', 'Basic realm="signet", charset="UTF-8"')
    const page = request.routeOptions.config?.problemPage
    if (page === undefined) return say(answer, reply)
    reply.code(answer.status).headers(answer.headers).header('cache-control', 'no-store').type('text/html; charset=utf-8')
    return reply.send(page(answer, request, reply))
  }
}

function say(answer: Answer, reply: FastifyReply): FastifyReply {
  reply.code(answer.status).headers(answer.headers).header('cache-control', 'no-store')
  return reply.type('application/json; charset=utf-8').send(answer.problem)
}

const REQUEST_TIMEOUT_MS = 15_000
/** Longer than load balancers usually keep theirs (60 s), so that it is they who close and no request meets a closed socket. */
const KEEP_ALIVE_MS = 65_000

function headersOfEveryAnswer(issuer: string): Record<string, string> {
  return {
    'x-content-type-options': 'nosniff',
    'referrer-policy': 'no-referrer',
    'cross-origin-resource-policy': 'same-origin',
    // Pages bring a policy of their own; what is not a page must never act as one.
    'content-security-policy': "default-src 'none'; frame-ancestors 'none'",
    ...(issuer.startsWith('https:') ? { 'strict-transport-security': 'max-age=63072000' } : {}),
  }
}

/** `<random>-<count>`: unique over nodes and restarts, and cheap. */
function requestIds(chance: Chance): () => string {
  const node = toBase64Url(chance.bytes(6))
  let count = 0
  return () => `${node}-${(++count).toString(36)}`
}

/** What never becomes a request gets a bare answer: headers that are too many, what is too slow, what is not HTTP at all. */
function refuseGarbage(error: Error & { code?: string }, socket: Socket): void {
  if (error.code === 'ECONNRESET' || socket.destroyed) return
  const status = BARE[error.code ?? ''] ?? '400 Bad Request'
  if (socket.writable) socket.end(`HTTP/1.1 ${status}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n`)
  else socket.destroy()
}

const BARE: Readonly<Record<string, string>> = {
  HPE_HEADER_OVERFLOW: '431 Request Header Fields Too Large',
  ERR_HTTP_REQUEST_TIMEOUT: '408 Request Timeout',
}

/** The methods that a path takes, for 405: the router itself only knows that this one is not among them. */
function rememberMethods(app: FastifyInstance): (url: string) => readonly string[] {
  const known: { pattern: RegExp; methods: readonly string[] }[] = []
  app.addHook('onRoute', ({ url, method }) => {
    const pattern = url.split('/').map((part) => (part.startsWith(':') ? '[^/]+' : part === '*' ? '.*' : RegExp.escape(part)))
    known.push({ pattern: new RegExp(`^${pattern.join('/')}$`), methods: [method].flat() })
  })
  return (url) => {
    const path = url.split('?', 1)[0] as string
    if (path.length > 2048) return []
    return [...new Set(known.filter(({ pattern }) => pattern.test(path)).flatMap(({ methods }) => methods))].filter(
      (method) => method !== 'OPTIONS',
    )
  }
}
