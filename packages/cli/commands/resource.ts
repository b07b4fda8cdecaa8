/** Resources: the APIs that tokens are for, and the scopes they know. */
import type { Resource } from '@signet/api/schema.ts'
import { buildRouteMap } from '@stricli/core'
import type { Cli, Context } from '../cli.ts'
import { arg, command, flag, given } from '../command.ts'
import { withResource } from '../lookup.ts'
import { printable } from '../output/printable.ts'
import { details } from '../output/table.ts'
import { moment, span } from '../output/time.ts'
import { wrongFlag } from '../trouble.ts'

const URI = arg('URI', 'The audience, such as https://api.example.com')

const list = command({
  brief: 'List resources',
  flags: { after: flag.after, limit: flag.limit },
  async run(cli: Cli, { after, limit }: { after?: string; limit?: number }) {
    const reply = await (await cli.admin()).call('listResources', { query: given({ after, limit }) })
    cli.list<Resource>(
      reply,
      [
        { title: 'uri', cell: (resource) => cli.out.bold(printable(resource.uri)) },
        { title: 'name', cell: (resource) => printable(resource.name) },
        { title: 'dpop', cell: (resource) => (resource.dpop_required ? 'required' : cli.out.dim('–')) },
        { title: 'scopes', cell: (resource) => resource.scopes.map(({ name }) => printable(name)).join(' '), flexible: true },
      ],
      'No resources yet. `signet resource put` makes one.',
    )
  },
})

const show = command({
  brief: 'Show one resource',
  args: URI,
  async run(cli: Cli, _flags: object, uri: string) {
    const admin = await cli.admin()
    const resource = await withResource(admin, uri, () => admin.call('showResource', { params: { uri } }))
    cli.show(resource, () => drawResource(cli, resource))
  },
})

interface PutFlags {
  readonly name: string
  readonly scope?: readonly string[]
  readonly accessTokenLife?: number
  readonly dpop: boolean
  readonly opaque: boolean
}

const put = command({
  brief: 'Create or replace a resource',
  about: 'A scope is written NAME=DESCRIPTION; the description is what people read on the consent page.',
  flags: {
    name: flag.text('What people read', 'NAME'),
    scope: flag.each('A scope; give it several times for several', 'NAME=DESCRIPTION'),
    accessTokenLife: flag.duration('Own life of access tokens for it'),
    dpop: flag.on('Only tokens bound to a DPoP key'),
    opaque: flag.on('Access tokens that nobody can read: the resource introspects them'),
  },
  args: URI,
  async run(cli: Cli, flags: PutFlags, uri: string) {
    const scopes = (flags.scope ?? []).map((text) => {
      const at = text.indexOf('=')
      if (at > 0 && at < text.length - 1) return { name: text.slice(0, at), description: text.slice(at + 1) }
      // People need to know what they agree to.
      throw wrongFlag('--scope', text, 'write --scope "orders:read=See your orders"')
    })
    const body = given({
      name: flags.name,
      scopes,
      dpop_required: flags.dpop,
      token_format: flags.opaque ? ('opaque' as const) : ('jwt' as const),
      access_token_seconds: flags.accessTokenLife,
    })
    const resource = await (await cli.admin()).call('putResource', { params: { uri }, body })
    cli.show(resource, () => drawResource(cli, resource))
  },
})

const remove = command({
  brief: 'Remove a resource: no new tokens for it',
  flags: { yes: flag.yes },
  args: URI,
  async run(cli: Cli, { yes }: { yes: boolean }, uri: string) {
    const admin = await cli.admin()
    const resource = await withResource(admin, uri, () => admin.call('showResource', { params: { uri } }))
    await cli.confirm(
      `Remove resource ${printable(uri)} (${printable(resource.name)})? No client gets tokens for it any more.`,
      yes,
    )
    await admin.call('deleteResource', { params: { uri } })
    cli.show({ deleted: uri }, () => `${cli.out.good('removed')}  ${printable(uri)}; tokens that are out live out their time`)
  },
})

export const resource = buildRouteMap<string, Context>({
  docs: { brief: 'Describe the APIs that tokens are for' },
  routes: { list, show, put, delete: remove },
})

function drawResource(cli: Cli, resource: Resource): string {
  const width = Math.max(0, ...resource.scopes.map(({ name }) => name.length))
  return details(
    [
      ['uri', cli.out.bold(printable(resource.uri))],
      ['name', printable(resource.name)],
      [
        'scopes',
        resource.scopes.map(
          ({ name, description }) => `${printable(name).padEnd(width)}  ${cli.out.dim(printable(description))}`,
        ),
      ],
      ['DPoP', resource.dpop_required ? 'required' : undefined],
      ['tokens', resource.token_format === 'opaque' ? 'opaque' : undefined],
      ['access token', resource.access_token_seconds === undefined ? undefined : span(resource.access_token_seconds)],
      ['created', moment(resource.created_at * 1000, cli.now())],
    ],
    cli.out,
  )
}
