/** docs/admin-api.md, written from the endpoint table by tools/reference.ts. */
import { z } from 'zod'
import { ADMIN_BASE, type Endpoint, endpoints } from './schema.ts'

export function adminReference(): string {
  const all = Object.values(endpoints) as Endpoint[]
  return `# The admin API

<!-- Written by tools/reference.ts from packages/api/endpoints. Change it there. -->

JSON over HTTP at the issuer, under \`${ADMIN_BASE}\`. In TypeScript use \`createAdminClient\` of \`packages/api/client.ts\`; the [command line](cli.md) is made of it.

**Access.** An access token for the issuer itself (\`resource\` = issuer) as \`Authorization: Bearer …\`, or \`DPoP …\` with a proof. Each endpoint names the least scope
that opens it; \`signet:admin\` opens all. Clients get such tokens by \`client_credentials\` when they are registered with the scope; people need the role \`admin\` as
well, looked up at each request.

**Requests** are strict: unknown members, repeated parameters and values out of bounds are refused with 400, each wrong member named in \`details\`.
**Errors** are \`{"error", "error_description", "reason", "action", "details"}\`; \`reason\` is stable. 503 carries \`Retry-After\`.
**Idempotency.** Where a request takes an \`Idempotency-Key\` (1 to 128 printable characters of the caller's choice), whoever has had no answer asks again with the same key: it is
done once, and the answer is that of the first time, for an hour, whatever has happened since. The key belongs to who sent it; with another request it is refused as
\`idempotency_key_reused\`. Our client and the command line send one of their own for all tries of a call. Every
\`DELETE\` can be asked for again: with the key where it takes one (without it, or by somebody else, what is gone already is 404), and as it is where it does not.
**Listings** take \`limit\` (at most 500) and \`after\`; a \`next\` in the answer goes on.
**Secrets** (client secrets, API keys, links) are in the answer that made them and never again.
**Everything that changes** is in the [audit record](audit-events.md), in the same transaction.

| | scope | |
|---|---|---|
${all.map(({ method, path, scope, brief }) => `| [\`${method} ${path}\`](#${anchor(method, path)}) | \`${scope}\` | ${brief} |`).join('\n')}

${all.map((endpoint) => endpointSection(endpoint, all)).join('\n')}`
}

function endpointSection(endpoint: Endpoint, all: readonly Endpoint[]): string {
  const { method, path, scope, brief, params, query, body, reply, status, stream, idempotencyKey } = endpoint
  const answer =
    reply === undefined
      ? '204, without content'
      : `${status ?? 200}${stream === true ? ', newline-delimited JSON; the last line has `kind: "result"`' : ''}`
  return [
    `## ${method} ${path}`,
    '',
    `${brief} Scope \`${scope}\`.${idempotencyKey === true ? ' Takes an `Idempotency-Key` header.' : ''}`,
    '',
    ...members('path', params),
    ...members('query', query),
    ...members('body', body),
    `Answer: ${answer}${reply === undefined ? '.' : `: ${replyText(reply, endpoint, all)}`}`,
    '',
  ].join('\n')
}

/** What several endpoints answer is written out at the first. */
function replyText(reply: z.ZodType, endpoint: Endpoint, all: readonly Endpoint[]): string {
  const first = all.find((other) => other.reply === reply) ?? endpoint
  if (first === endpoint) return `\`${typeOf(jsonSchema(reply, 'output'))}\``
  return `as for [\`${first.method} ${first.path}\`](#${anchor(first.method, first.path)})`
}

interface Schema {
  readonly type?: string
  readonly description?: string
  readonly properties?: Readonly<Record<string, Schema>>
  readonly required?: readonly string[]
  readonly items?: Schema
  readonly enum?: readonly unknown[]
  readonly const?: unknown
  readonly anyOf?: readonly Schema[]
  readonly oneOf?: readonly Schema[]
  readonly default?: unknown
  readonly additionalProperties?: Schema | boolean
  readonly $ref?: string
}

const jsonSchema = (schema: z.ZodType, io: 'input' | 'output'): Schema =>
  z.toJSONSchema(schema, { io, unrepresentable: 'any' }) as Schema

function members(where: string, schema: z.ZodType | undefined): string[] {
  if (schema === undefined) return []
  const { properties = {}, required = [] } = jsonSchema(schema, 'input')
  const rows = Object.entries(properties).map(([name, member]) => {
    const told = [member.description, member.default === undefined ? undefined : `default \`${JSON.stringify(member.default)}\``]
    return `| \`${name}\`${required.includes(name) ? '' : '?'} | ${shapeOf(member)} | ${told.filter((part) => part !== undefined).join('; ')} |`
  })
  return rows.length === 0 ? [] : [`| ${where} | | |`, '|---|---|---|', ...rows, '']
}

/** For a cell of a table. */
const shapeOf = (schema: Schema): string => `\`${typeOf(schema).replaceAll('|', '\\|')}\``

/** A schema in one line, as TypeScript would write it. */
function typeOf(schema: Schema): string {
  const { type, properties, required = [], items, anyOf, oneOf, additionalProperties } = schema
  if (schema.$ref !== undefined) return 'node'
  if (schema.const !== undefined) return JSON.stringify(schema.const)
  if (schema.enum !== undefined) return schema.enum.map((value) => JSON.stringify(value)).join(' | ')
  const choices = anyOf ?? oneOf
  if (choices !== undefined) return [...new Set(choices.map(typeOf))].join(' | ')
  if (type === 'array') return items === undefined ? 'unknown[]' : wrapped(typeOf(items))
  if (properties !== undefined)
    return `{ ${Object.entries(properties)
      .map(([name, member]) => `${name}${required.includes(name) ? '' : '?'}: ${typeOf(member)}`)
      .join(', ')} }`
  if (type === 'object')
    return typeof additionalProperties === 'object' ? `{ [name]: ${typeOf(additionalProperties)} }` : 'object'
  return type === 'integer' ? 'number' : (type ?? 'unknown')
}

const wrapped = (item: string): string => (item.includes(' | ') && !item.startsWith('{') ? `(${item})[]` : `${item}[]`)

const anchor = (method: string, path: string): string =>
  `${method} ${path}`
    .toLowerCase()
    .replace(/[^\w -]/g, '')
    .replaceAll(' ', '-')
