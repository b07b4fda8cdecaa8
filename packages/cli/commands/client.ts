/** OAuth clients: who may ask for tokens. */
import { readFile } from 'node:fs/promises'
import type { Call, Client } from '@signet/api/schema.ts'
import { buildRouteMap } from '@stricli/core'
import type { Cli, Context } from '../cli.ts'
import { arg, command, flag, given } from '../command.ts'
import { withClient } from '../lookup.ts'
import { standing } from '../output/paint.ts'
import { printable } from '../output/printable.ts'
import { details } from '../output/table.ts'
import { moment, parseDuration, relative, span } from '../output/time.ts'
import { EXIT, Trouble, wrongFlag } from '../trouble.ts'

const ID = arg('ID', 'The client id')

const list = command({
  brief: 'List clients',
  flags: { after: flag.after, limit: flag.limit },
  async run(cli: Cli, { after, limit }: { after?: string; limit?: number }) {
    const reply = await (await cli.admin()).call('listClients', { query: given({ after, limit }) })
    cli.list<Client>(
      reply,
      [
        { title: 'id', cell: (client) => cli.out.bold(printable(client.id)) },
        { title: 'name', cell: (client) => printable(client.name), flexible: true },
        { title: 'platform', cell: (client) => printable(client.platform) },
        { title: 'authentication', cell: (client) => printable(client.auth_method) },
        { title: 'grants', cell: (client) => client.grant_types.map(printable).join(', ') },
        { title: 'status', cell: (client) => standing(cli.out, client.status) },
        { title: 'created', cell: (client) => relative(client.created_at * 1000, cli.now()) },
      ],
      'No clients yet. `signet client create` makes one.',
    )
  },
})

const show = command({
  brief: 'Show one client',
  args: ID,
  async run(cli: Cli, _flags: object, id: string) {
    const admin = await cli.admin()
    const client = await withClient(admin, id, () => admin.call('showClient', { params: { id } }))
    cli.show(client, () => drawClient(cli, client))
  },
})

interface Settings {
  readonly redirect?: readonly string[]
  readonly postLogoutRedirect?: readonly string[]
  readonly grant?: readonly string[]
  readonly scope?: readonly string[]
  readonly resource?: readonly string[]
  readonly introspects?: readonly string[]
  readonly jwks?: string
  readonly dpop?: boolean
  readonly firstParty?: boolean
  readonly accessTokenLife?: string
  readonly refreshIdle?: string
  readonly refreshLife?: string
}

const SETTINGS = {
  redirect: flag.each('A redirect URI; give it several times for several', 'URI'),
  postLogoutRedirect: flag.each('Where a browser may go after sign-out', 'URI'),
  grant: flag.many('authorization_code, refresh_token, client_credentials', 'GRANT'),
  scope: flag.many('Scopes it may ask for', 'SCOPE'),
  resource: flag.each('APIs it may ask tokens for; the first is the default', 'URI'),
  introspects: flag.each('APIs on whose behalf it may introspect tokens', 'URI'),
  jwks: flag.optional('Its public keys, for private_key_jwt: a JWK or JWKS', 'FILE'),
  dpop: flag.change('Bind every token of it to a DPoP key'),
  firstParty: flag.change('An application of your own: no consent page'),
  accessTokenLife: flag.optional('Own life of access tokens, such as 5m; "default" takes it away', 'TIME'),
  refreshIdle: flag.optional('Grants end when unused for so long', 'TIME'),
  refreshLife: flag.optional('Grants end so long after sign-in', 'TIME'),
} as const

type Platform = 'web' | 'browser' | 'native' | 'service'
type AuthMethod = 'none' | 'client_secret_basic' | 'client_secret_post' | 'private_key_jwt'

const create = command({
  brief: 'Register a client',
  about: `What is not given follows from the platform: a web application signs people in and has a secret; a browser or native
application signs people in and has none (PKCE protects it); a service asks for itself and has a secret. The secret is shown once.`,
  flags: {
    platform: { kind: 'enum', values: ['web', 'browser', 'native', 'service'], brief: 'Where it runs' },
    id: flag.optional('Its id; made up when absent', 'ID'),
    auth: {
      kind: 'enum',
      values: ['none', 'client_secret_basic', 'client_secret_post', 'private_key_jwt'],
      optional: true,
      brief: 'How it proves itself',
    },
    ...SETTINGS,
  },
  args: arg('NAME', 'What people read on the consent page'),
  async run(cli: Cli, flags: { platform: Platform; id?: string; auth?: AuthMethod } & Settings, name: string) {
    const auth = flags.auth ?? (flags.jwks !== undefined ? 'private_key_jwt' : AUTH_BY_PLATFORM[flags.platform])
    const settings = await settingsOf(flags)
    const body = given({
      ...settings,
      id: flags.id,
      name,
      platform: flags.platform,
      auth_method: auth,
      grant_types: settings.grant_types ?? GRANTS_BY_PLATFORM[flags.platform],
    }) as Call<'createClient'>['body']
    const client = await (await cli.admin()).call('createClient', { body })
    cli.show(client, () => {
      const secret = client.client_secret
      return drawClient(cli, client) + (secret === undefined ? '' : `\n\n${cli.out.bold('secret')}  ${cli.out.accent(secret)}`)
    })
    if (client.client_secret !== undefined)
      cli.say(cli.err.warn('The secret is shown this once. Put it where the client reads it now.'))
  },
})

const AUTH_BY_PLATFORM: Readonly<Record<Platform, AuthMethod>> = {
  web: 'client_secret_basic',
  service: 'client_secret_basic',
  browser: 'none',
  native: 'none',
}
const SIGN_IN = ['authorization_code', 'refresh_token'] as const
const GRANTS_BY_PLATFORM: Readonly<Record<Platform, readonly string[]>> = {
  web: SIGN_IN,
  browser: SIGN_IN,
  native: SIGN_IN,
  service: ['client_credentials'],
}

const update = command({
  brief: 'Change a client',
  about: 'Only what is given changes. A list that is given replaces the whole list.',
  flags: { name: flag.optional('What people read on the consent page', 'NAME'), ...SETTINGS },
  args: ID,
  async run(cli: Cli, flags: { name?: string } & Settings, id: string) {
    const body = given({ ...(await settingsOf(flags)), name: flags.name }) as NonNullable<Call<'updateClient'>['body']>
    if (Object.keys(body).length === 0) throw nothingGiven('client update')
    const admin = await cli.admin()
    const client = await withClient(admin, id, () => admin.call('updateClient', { params: { id }, body }))
    cli.show(client, () => drawClient(cli, client))
  },
})

const remove = command({
  brief: 'Remove a client and revoke all its tokens',
  flags: { yes: flag.yes },
  args: ID,
  async run(cli: Cli, { yes }: { yes: boolean }, id: string) {
    const admin = await cli.admin()
    const client = await withClient(admin, id, () => admin.call('showClient', { params: { id } }))
    await cli.confirm(`Remove client ${printable(id)} (${printable(client.name)}) and end everything it holds?`, yes)
    await admin.call('deleteClient', { params: { id } })
    cli.show({ deleted: id }, () => `${cli.out.good('removed')}  ${printable(id)}; its tokens are revoked`)
  },
})

const secret = command({
  brief: 'Give a client a new secret',
  about: 'The old secret goes on working for the overlap, so that instances can be changed one by one.',
  flags: { overlap: flag.duration('The old secret works on for so long; default: not at all') },
  args: ID,
  async run(cli: Cli, { overlap }: { overlap?: number }, id: string) {
    const admin = await cli.admin()
    const body = given({ overlap_seconds: overlap })
    const made = await withClient(admin, id, () => admin.call('rotateClientSecret', { params: { id }, body }))
    cli.show(made, () => made.client_secret)
    const ends = made.previous_expires_at
    cli.say(
      cli.err.warn('Shown this once.') +
        (ends === undefined ? ' The old secret no longer works.' : ` The old one works until ${moment(ends * 1000, cli.now())}.`),
    )
  },
})

export const client = buildRouteMap<string, Context>({
  docs: { brief: 'Register and look after OAuth clients' },
  routes: { list, show, create, update, delete: remove, secret },
})

export function nothingGiven(what: string): Trouble {
  return new Trouble({
    what: 'Nothing to change',
    why: 'no flag said what',
    advice: `\`signet ${what} --help\` lists them`,
    exit: EXIT.usage,
    code: 'nothing_given',
  })
}

/** Flags as members of the request; what was not given is undefined. */
async function settingsOf(flags: Settings) {
  return {
    redirect_uris: flags.redirect,
    post_logout_redirect_uris: flags.postLogoutRedirect,
    grant_types: flags.grant,
    scopes: flags.scope,
    resources: flags.resource,
    introspects: flags.introspects,
    jwks: flags.jwks === undefined ? undefined : await readJwks(flags.jwks),
    dpop_bound: flags.dpop,
    first_party: flags.firstParty,
    access_token_seconds: lifetime('--access-token-life', flags.accessTokenLife),
    refresh_idle_seconds: lifetime('--refresh-idle', flags.refreshIdle),
    refresh_max_seconds: lifetime('--refresh-life', flags.refreshLife),
  }
}

function lifetime(flag: string, text: string | undefined): number | null | undefined {
  if (text === undefined) return undefined
  if (text === 'default') return null
  try {
    return parseDuration(text)
  } catch (error) {
    throw wrongFlag(flag, text, `${(error as Error).message}, or "default" to go by the policy again`)
  }
}

async function readJwks(path: string): Promise<readonly unknown[]> {
  try {
    const value = JSON.parse(await readFile(path, 'utf8')) as { keys?: unknown[] }
    return Array.isArray(value.keys) ? value.keys : [value]
  } catch (error) {
    throw new Trouble({
      what: `Could not read the keys in ${path}`,
      why: (error as Error).message,
      advice: 'It must hold a public JWK, or {"keys": […]}',
      exit: EXIT.usage,
      code: 'usage',
    })
  }
}

/** What is new has a cutoff just before its beginning, against whatever had the same id. */
export const wasRevoked = (record: { readonly revoked_ms: number; readonly created_at: number }): boolean =>
  record.revoked_ms > (record.created_at + BEGINNING_SECONDS) * 1000
const BEGINNING_SECONDS = 10

function drawClient(cli: Cli, client: Client): string {
  const nowMs = cli.now()
  const { out } = cli
  const time = (seconds: number | undefined) => (seconds === undefined ? undefined : span(seconds))
  const texts = (items: readonly string[]) => items.map(printable)
  return details(
    [
      ['id', out.bold(printable(client.id))],
      ['name', printable(client.name)],
      ['status', standing(out, client.status)],
      ['platform', printable(client.platform)],
      ['authentication', printable(client.auth_method)],
      ['grants', client.grant_types.map(printable).join(', ')],
      ['scopes', client.scopes.length === 0 ? out.dim('none') : client.scopes.map(printable).join(' ')],
      ['resources', texts(client.resources)],
      ['redirects to', client.redirect_uris.length === 0 ? undefined : texts(client.redirect_uris)],
      ['after sign-out', client.post_logout_redirect_uris.length === 0 ? undefined : texts(client.post_logout_redirect_uris)],
      ['introspects', client.introspects.length === 0 ? undefined : texts(client.introspects)],
      [
        'secrets',
        client.secrets.length === 0
          ? undefined
          : client.secrets.map(
              ({ created_at, expires_at }) =>
                `made ${relative(created_at * 1000, nowMs)}${expires_at === undefined ? '' : out.warn(`, ends ${relative(expires_at * 1000, nowMs)}`)}`,
            ),
      ],
      [
        'public keys',
        client.jwks.length === 0
          ? undefined
          : client.jwks.map((jwk) => printable(`${jwk.kty} ${jwk.crv ?? ''} ${jwk.kid ?? ''}`.trim())),
      ],
      ['DPoP', client.dpop_bound ? 'required' : undefined],
      ['first party', client.first_party ? 'yes, no consent page' : undefined],
      ['access token', time(client.access_token_seconds)],
      ['refresh idle', time(client.refresh_idle_seconds)],
      ['refresh at most', time(client.refresh_max_seconds)],
      ['created', moment(client.created_at * 1000, nowMs)],
      ['revoked', !wasRevoked(client) ? undefined : `grants made before ${moment(client.revoked_ms, nowMs)}`],
    ],
    out,
  )
}
