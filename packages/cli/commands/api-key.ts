/** API keys: for programs that cannot do better. */
import type { AdminClient } from '@signet/api/client.ts'
import type { ApiKey } from '@signet/api/schema.ts'
import { buildRouteMap } from '@stricli/core'
import type { Cli, Context } from '../cli.ts'
import { arg, command, flag, given } from '../command.ts'
import { findUser, withClient } from '../lookup.ts'
import { standing } from '../output/paint.ts'
import { printable } from '../output/printable.ts'
import { details } from '../output/table.ts'
import { moment, relative } from '../output/time.ts'
import { showReceipt, WAIT, type Wait } from './receipt.ts'

const ID = arg('ID', 'The id of the key, not the key itself')

const list = command({
  brief: 'List API keys, of one client or of all',
  flags: { client: flag.optional('Only those of this client', 'ID'), after: flag.after, limit: flag.limit },
  async run(cli: Cli, { client, after, limit }: { client?: string; after?: string; limit?: number }) {
    const admin = await cli.admin()
    const reply =
      client === undefined
        ? { items: await ofAllClients(admin) }
        : await withClient(admin, client, () => admin.call('listApiKeys', { query: given({ client, after, limit }) }))
    cli.list<ApiKey>(
      reply,
      [
        { title: 'id', cell: (key) => cli.out.bold(key.id) },
        { title: 'name', cell: (key) => printable(key.name), flexible: true },
        { title: 'client', cell: (key) => printable(key.client) },
        { title: 'status', cell: (key) => standing(cli.out, state(key, cli.now())) },
        { title: 'scopes', cell: (key) => key.scopes.map(printable).join(' ') },
        {
          title: 'last used',
          cell: (key) => (key.last_used_at === undefined ? cli.out.dim('never') : relative(key.last_used_at * 1000, cli.now())),
        },
        {
          title: 'ends',
          cell: (key) => (key.expires_at === undefined ? cli.out.dim('–') : relative(key.expires_at * 1000, cli.now())),
        },
      ],
      'No API keys.',
    )
  },
})

const show = command({
  brief: 'Show one API key, without its secret',
  args: ID,
  async run(cli: Cli, _flags: object, id: string) {
    const key = await (await cli.admin()).call('showApiKey', { params: { id } })
    cli.show(key, () => drawKey(cli, key))
  },
})

interface CreateFlags {
  readonly client: string
  readonly resource: string
  readonly scope: readonly string[]
  readonly user?: string
  readonly expires?: number
}

const create = command({
  brief: 'Make an API key, shown once',
  flags: {
    client: flag.text('The client it belongs to', 'ID'),
    resource: flag.text('The API it is for', 'URI'),
    scope: { ...flag.many('What it may do', 'SCOPE'), optional: false },
    user: flag.optional('On whose behalf it acts', 'USER'),
    expires: flag.duration('Ends so long from now; without it, when revoked'),
  },
  args: arg('NAME', 'What it is for, so that people know it again'),
  async run(cli: Cli, flags: CreateFlags, name: string) {
    const admin = await cli.admin()
    const subject = flags.user === undefined ? undefined : (await findUser(admin, flags.user)).id
    const body = {
      name,
      client: flags.client,
      resource: flags.resource,
      scopes: [...flags.scope],
      ...given({ subject, expires_in_seconds: flags.expires }),
    }
    const made = await admin.call('createApiKey', { body })
    showNew(cli, made)
  },
})

const rotate = command({
  brief: 'Make the heir of an API key',
  flags: { overlap: flag.duration('The old key works on for so long; default 1d') },
  args: ID,
  async run(cli: Cli, { overlap }: { overlap?: number }, id: string) {
    const made = await (await cli.admin()).call('rotateApiKey', { params: { id }, body: given({ overlap_seconds: overlap }) })
    showNew(cli, made)
  },
})

const revoke = command({
  brief: 'Revoke an API key',
  flags: { wait: WAIT },
  args: ID,
  async run(cli: Cli, { wait }: { wait?: Wait }, id: string) {
    const admin = await cli.admin()
    return showReceipt(cli, admin, () => admin.call('revokeApiKey', { params: { id } }), { verb: 'revoked', wait })
  },
})

const REASON = { reason: flag.optional('Goes into the audit record: no personal data', 'TEXT') } as const
const IDS = { kind: 'array', parameter: { parse: String, placeholder: 'ID', brief: 'Ids of keys' }, minimum: 1 } as const

const suspend = command({
  brief: 'Suspend API keys until resumed',
  flags: REASON,
  args: IDS,
  async run(cli: Cli, { reason }: { reason?: string }, ...ids: readonly string[]) {
    const admin = await cli.admin()
    const body = { reason: reason ?? 'suspended by an administrator' }
    for (const id of ids) showMoved(cli, await admin.call('suspendApiKey', { params: { id }, body }), 'suspended')
  },
})

const resume = command({
  brief: 'Resume API keys',
  flags: REASON,
  args: IDS,
  async run(cli: Cli, { reason }: { reason?: string }, ...ids: readonly string[]) {
    const admin = await cli.admin()
    for (const id of ids)
      showMoved(cli, await admin.call('resumeApiKey', { params: { id }, query: given({ reason }) }), 'resumed')
  },
})

export const apiKey = buildRouteMap<string, Context>({
  docs: { brief: 'Make and end API keys' },
  routes: { list, show, create, rotate, suspend, resume, revoke },
})

const PAGE = 500

async function ofAllClients(admin: AdminClient): Promise<ApiKey[]> {
  const keys: ApiKey[] = []
  for (let after: string | undefined, first = true; first || after !== undefined; first = false) {
    const clients = await admin.call('listClients', { query: given({ after, limit: PAGE }) })
    for (const { id } of clients.items)
      keys.push(...(await admin.call('listApiKeys', { query: { client: id, limit: PAGE } })).items)
    after = clients.next
  }
  return keys
}

const state = (key: ApiKey, nowMs: number): string =>
  key.status === 'active' && key.expires_at !== undefined && key.expires_at * 1000 <= nowMs ? 'expired' : key.status

function showMoved(cli: Cli, key: ApiKey, verb: string): void {
  cli.line(key, () => `${cli.out.good(verb)}  ${key.id} ${printable(key.name)}`)
}

function showNew(cli: Cli, made: ApiKey & { readonly api_key: string }): void {
  cli.show(made, () => `${drawKey(cli, made)}\n\n${cli.out.bold('key')}  ${cli.out.accent(made.api_key)}`)
  cli.say(cli.err.warn('The key is shown this once. Put it where the program reads it now.'))
}

function drawKey(cli: Cli, key: ApiKey): string {
  const time = (at: number | undefined) => (at === undefined ? undefined : moment(at * 1000, cli.now()))
  return details(
    [
      ['id', cli.out.bold(key.id)],
      ['name', printable(key.name)],
      ['client', printable(key.client)],
      ['for', key.subject],
      ['resource', printable(key.resource)],
      ['scopes', key.scopes.map(printable).join(' ')],
      ['status', standing(cli.out, state(key, cli.now()))],
      ['created', time(key.created_at)],
      ['last used', time(key.last_used_at)],
      ['ends', time(key.expires_at) ?? cli.out.dim('when revoked')],
      ['replaced by', key.replaced_by],
    ],
    cli.out,
  )
}
