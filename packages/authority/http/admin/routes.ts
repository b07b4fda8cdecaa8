/** The admin API: every endpoint of the table in `api/schema.ts`, each behind a token with its scope. */
import { Readable } from 'node:stream'
import { ADMIN_BASE, type Endpoint, type EndpointName, endpoints, idempotencyKey } from '@signet/api/schema.ts'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import type { core, ZodType } from 'zod'
import { invalid } from '../../administration/reasons.ts'
import type { Log } from '../../telemetry/log.ts'
import { answerTo } from '../respond.ts'
import { apiKeyHandlers } from './api-keys.ts'
import { auditHandlers } from './audit.ts'
import { type AdminAccess, authorise } from './authorise.ts'
import { backupHandlers } from './backups.ts'
import { batchHandlers } from './batches.ts'
import { clientHandlers } from './clients.ts'
import { fleetHandlers } from './fleet.ts'
import { holdingHandlers } from './holdings.ts'
import { keyHandlers } from './keys.ts'
import type { AdminCaller, AdminParts, Handlers } from './parts.ts'
import { regionHandlers } from './regions.ts'
import { revocationHandlers } from './revocations.ts'
import { statusHandlers } from './status.ts'
import { subjectHandlers } from './subjects.ts'
import { tokenHandlers } from './tokens.ts'

export type AdminRouteParts = AdminParts & { readonly access: AdminAccess; readonly log: Log }

export function adminRoutes(app: FastifyInstance, parts: AdminRouteParts): void {
  const handlers: Handlers = {
    ...clientHandlers(parts),
    ...subjectHandlers(parts),
    ...holdingHandlers(parts),
    ...revocationHandlers(parts),
    ...fleetHandlers(parts),
    ...batchHandlers(parts),
    ...keyHandlers(parts),
    ...regionHandlers(parts),
    ...apiKeyHandlers(parts),
    ...auditHandlers(parts),
    ...tokenHandlers(parts),
    ...statusHandlers(parts),
    ...backupHandlers(parts),
  }
  for (const name of Object.keys(endpoints) as EndpointName[]) {
    const endpoint: Endpoint = endpoints[name]
    const handle = handlers[name] as (request: unknown, caller: AdminCaller) => Promise<unknown> | AsyncGenerator<unknown>
    app.route({
      method: endpoint.method,
      url: ADMIN_BASE + endpoint.path,
      ...(endpoint.maxBodyBytes === undefined ? {} : { bodyLimit: endpoint.maxBodyBytes }),
      handler: async (request, reply) => {
        reply.header('cache-control', 'no-store')
        // Before the input is looked at: whoever may not ask learns nothing of what would be right.
        const asker = await authorise(request, reply, endpoint.scope, parts)
        const asked = {
          params: read(endpoint.params, request.params, 'path'),
          query: read(endpoint.query, request.query, 'query'),
          body: read(endpoint.body, request.body, 'body'),
        }
        const caller = { ...asker, idempotencyKey: readIdempotencyKey(endpoint, request) }
        const answer = handle(asked, caller)
        if (endpoint.stream === true) return sendLines(reply, answer as AsyncGenerator<unknown>, endpoint, parts.log)
        const done = await answer
        // Whoever took something back by a change here finds it so when he asks here next.
        if (endpoint.method !== 'GET' && !HAVE_LOOKED.has(name)) await parts.registry.lookNow()
        return send(reply, done, endpoint)
      },
    })
  }
}

/** Their acts look at the log before they are done (revoke.ts); what is taken back inside another change does not. */
const HAVE_LOOKED: ReadonlySet<EndpointName> = new Set(['revoke', 'suspend', 'undoRevocations'])

/** What the schema makes of the input, or a refusal that names what is wrong with it. */
function read(schema: ZodType | undefined, value: unknown, at: string): unknown {
  if (schema === undefined) return undefined
  const parsed = schema.safeParse(value ?? {})
  if (parsed.success) return parsed.data
  throw invalid(
    ...parsed.error.issues.slice(0, MAX_DETAILS).map((issue) => ({
      path: issue.path.map(String).join('.').slice(0, 128) || at,
      message: words(issue),
    })),
  )
}
const MAX_DETAILS = 16

/** What is wrong, in words that fit behind the name of the member, and without anything that came in. */
function words(issue: core.$ZodIssue): string {
  switch (issue.code) {
    case 'unrecognized_keys':
      return 'has a member that is not known here'
    case 'invalid_type':
      return issue.input === undefined ? `is missing, or not of type ${issue.expected}` : `must be of type ${issue.expected}`
    case 'invalid_value':
      return `must be one of ${issue.values.map(String).join(', ')}`
    case 'too_small':
      return issue.origin === 'string' || issue.origin === 'array'
        ? `must have at least ${issue.minimum}${issue.origin === 'string' ? ' characters' : ''}`
        : `must be at least ${issue.minimum}`
    case 'too_big':
      return issue.origin === 'string' || issue.origin === 'array'
        ? `must have at most ${issue.maximum}${issue.origin === 'string' ? ' characters' : ''}`
        : `must be at most ${issue.maximum}`
    case 'invalid_union':
      return 'must be one of the forms that the reference shows'
    default:
      return issue.message
  }
}

function readIdempotencyKey(endpoint: Endpoint, request: FastifyRequest): string | undefined {
  const given = request.headers['idempotency-key']
  if (endpoint.idempotencyKey !== true || given === undefined) return undefined
  const parsed = idempotencyKey.safeParse(given)
  if (parsed.success) return parsed.data
  throw invalid({ path: 'Idempotency-Key', message: parsed.error.issues[0]?.message ?? 'is malformed' })
}

/** Only what the schema names goes out: a record's other members are nobody's business. */
function send(reply: FastifyReply, answer: unknown, endpoint: Endpoint): FastifyReply {
  if (endpoint.reply === undefined) return reply.code(204).send()
  return reply.code(endpoint.status ?? 200).send(endpoint.reply.parse(answer))
}

/** Lines as they come. Once the first is out the status is spoken for, so trouble is a line of its own and the last. */
async function sendLines(
  reply: FastifyReply,
  answers: AsyncGenerator<unknown>,
  endpoint: Endpoint,
  log: Log,
): Promise<FastifyReply> {
  const first = await answers.next() // Refusals come before it, and get their status.
  async function* lines() {
    try {
      for (let step = first; step.done !== true; step = await answers.next())
        yield `${JSON.stringify(endpoint.reply?.parse(step.value))}\n`
    } catch (error) {
      const { problem, bug } = answerTo(error)
      if (bug) log.error({ route: endpoint.path, err: error }, 'bug')
      yield `${JSON.stringify(problem)}\n`
    } finally {
      await answers.return(undefined) // The reader went away: stop the work.
    }
  }
  // Of a reader who has gone by now nobody will ask for the lines, and what never began has no end of its own.
  if (reply.raw.destroyed) await answers.return(undefined)
  return reply.type('application/x-ndjson').send(Readable.from(lines(), { objectMode: false }))
}
