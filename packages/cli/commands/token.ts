/** One token: get it, look into it, prove it. */
import type { AdminClient } from '@signet/api/client.ts'
import type { Credentials } from '@signet/api/credentials.ts'
import type { Inspection } from '@signet/api/schema.ts'
import { opaqueKind } from '@signet/kernel/opaque-token.ts'
import { buildRouteMap } from '@stricli/core'
import type { Cli, Context } from '../cli.ts'
import { arg, command, flag } from '../command.ts'
import { readCredentials, readPrivate } from '../credentials.ts'
import { checkSignature, decodeJws, type Jws } from '../jws.ts'
import { standing } from '../output/paint.ts'
import { printable } from '../output/printable.ts'
import { details } from '../output/table.ts'
import { moment, span } from '../output/time.ts'
import { EXIT, type ExitCode, Trouble, troubleOf } from '../trouble.ts'
import { explainClaims } from './claims.ts'

interface IssueFlags {
  readonly client?: string
  readonly key?: string
  readonly scope?: readonly string[]
  readonly resource?: string
}

const issue = command({
  brief: 'Get an access token by client_credentials',
  about: `As the client of the credentials file, or as --client: its secret is read from standard input, or its private key from
--key FILE. The token alone goes to standard output, so that it can be piped: signet token issue … | signet token inspect -`,
  flags: {
    client: flag.optional('Another client than that of the credentials', 'ID'),
    key: flag.optional('Its private key as a JWK, for private_key_jwt', 'FILE'),
    scope: flag.many('What the token may do', 'SCOPE'),
    resource: flag.optional('The API it is for', 'URI'),
  },
  async run(cli: Cli, flags: IssueFlags) {
    const scope = (flags.scope ?? []).join(' ')
    const token =
      flags.client === undefined
        ? await (await cli.admin()).accessToken(scope, flags.resource)
        : await issueAs(cli, flags.client, flags, scope)
    cli.show(token, () => token.access_token)
    cli.say(
      cli.err.dim(`${token.token_type}, lives ${span(token.expires_in)}, scope ${printable(token.scope ?? (scope || 'none'))}`),
    )
  },
})

const inspect = command({
  brief: 'Look into a token, explain its claims, say whether it is alive',
  about:
    'The claims are decoded here. Whether it is alive is asked of the authority; without credentials only the claims are shown.',
  flags: { offline: flag.on("Don't ask the authority") },
  args: arg('TOKEN', 'The token, or - for standard input'),
  async run(cli: Cli, { offline }: { offline: boolean }, argument: string): Promise<ExitCode | undefined> {
    const text = await cli.given(argument, 'token')
    const jws = decodeJws(text)
    const kind = opaqueKind(text)
    if (jws === undefined && kind === undefined) throw notAToken()
    const asked = offline ? undefined : await ask(cli, text)
    const inspection = asked instanceof Trouble ? undefined : asked
    cli.show(
      {
        ...(jws === undefined ? { kind } : { header: jws.header, claims: jws.payload }),
        ...(inspection === undefined ? {} : { inspection }),
      },
      () =>
        [
          jws === undefined
            ? `${cli.out.dim('opaque')}  ${OPAQUE[kind ?? ''] ?? 'an opaque token of Signet'}; only the authority can read it`
            : explainClaims(cli, jws),
          ...(inspection === undefined ? [] : ['', drawInspection(cli, inspection)]),
        ].join('\n'),
    )
    if (asked instanceof Trouble)
      cli.say(`\n${cli.err.warn('Whether it is alive was not asked')}: ${asked.message.toLowerCase()}; ${asked.why}.`)
    return inspection === undefined || inspection.alive ? EXIT.done : EXIT.refused
  },
})

const verify = command({
  brief: 'Prove a token: signature, times, and whether it was revoked',
  about: 'Exit code 0 when it is good, 1 when it is not. The signature is checked here against the published keys.',
  args: arg('TOKEN', 'The token, or - for standard input'),
  async run(cli: Cli, _flags: object, argument: string): Promise<ExitCode> {
    const text = await cli.given(argument, 'token')
    const jws = decodeJws(text)
    if (jws === undefined && opaqueKind(text) === undefined) throw notAToken()
    const admin = await cli.admin()
    const signature = jws === undefined ? undefined : await checkPublished(admin, jws)
    const inspection = await admin.call('inspectToken', { body: { token: text } })
    const good = inspection.alive && (signature === undefined || signature === 'good')
    cli.show({ good, ...(signature === undefined ? {} : { signature }), inspection }, () =>
      drawInspection(cli, inspection, [
        ['verdict', good ? cli.out.good('good') : cli.out.bad('not good')],
        [
          'signature',
          signature === undefined
            ? undefined
            : signature === 'good'
              ? `${cli.out.good('good')} ${cli.out.dim(`key ${printable(String(jws?.header.kid))}`)}`
              : cli.out.bad(signature.replaceAll('_', ' ')),
        ],
      ]),
    )
    return good ? EXIT.done : EXIT.refused
  },
})

export const token = buildRouteMap<string, Context>({
  docs: { brief: 'Get, look into and prove single tokens' },
  routes: { issue, inspect, verify },
})

const OPAQUE: Readonly<Record<string, string>> = {
  access_token: 'an access token',
  refresh_token: 'a refresh token',
  api_key: 'an API key',
  authorization_code: 'an authorization code',
  session: "the secret of a browser's session",
  interaction: 'the handle of a sign-in under way',
  setup: 'a set-up or invitation link',
  device: "the secret of a browser's device",
  client_secret: 'a client secret: it should not travel at all',
}

async function issueAs(cli: Cli, client_id: string, { key, resource }: IssueFlags, scope: string) {
  const issuer = await issuerOf(cli)
  const proof = key === undefined ? { client_secret: await cli.given('-', 'secret') } : { private_jwk: readKey(key) }
  const { createAdminClient } = await import('@signet/api/client.ts')
  const asClient = createAdminClient({
    credentials: { issuer, client_id, ...proof },
    ...(cli.server === undefined ? {} : { server: cli.server }),
  })
  return asClient.accessToken(scope, resource)
}

/** Of the credentials file; whoever has none names the authority. */
async function issuerOf(cli: Cli): Promise<string> {
  try {
    return (await readCredentials(cli.credentialsFile)).issuer
  } catch (error) {
    if (cli.server === undefined) throw error
    return cli.server
  }
}

function readKey(path: string): Credentials['private_jwk'] {
  const text = readPrivate(path)
  try {
    return JSON.parse(text)
  } catch (error) {
    throw new Trouble({
      what: `Could not read the key in ${path}`,
      why: (error as Error).message,
      advice: 'It must hold a private JWK.',
      exit: EXIT.usage,
      code: 'usage',
    })
  }
}

/** What the authority says, or why it was not asked. */
async function ask(cli: Cli, text: string): Promise<Inspection | Trouble> {
  try {
    return await (await cli.admin()).call('inspectToken', { body: { token: text } })
  } catch (error) {
    return troubleOf(error)
  }
}

async function checkPublished(admin: AdminClient, jws: Jws) {
  const { jwks_uri } = await admin.metadata()
  const jwks = (await (await admin.open(jwks_uri, undefined)).json()) as { keys: Record<string, unknown>[] }
  return checkSignature(jws, jwks)
}

function drawInspection(cli: Cli, found: Inspection, first: readonly (readonly [string, string | undefined])[] = []): string {
  const end = found.revoked_by
  return details(
    [
      ...first,
      [
        'status',
        found.alive
          ? cli.out.good('alive')
          : `${standing(cli.out, 'dead')} ${printable((found.reason ?? '').replaceAll('_', ' '))}`,
      ],
      ['kind', printable(found.kind.replaceAll('_', ' '))],
      [
        'ended by',
        end === undefined
          ? undefined
          : `revocation ${end.seq} of the ${printable(end.kind)} ${printable(end.id)}, ${moment(end.at_ms, cli.now())}: ${printable(end.reason)}`,
      ],
      ['expires', found.expires_at === undefined ? undefined : moment(found.expires_at * 1000, cli.now())],
      ...Object.entries(found.ids).map(([role, id]) => [role, cli.out.dim(printable(id))] as const),
    ],
    cli.out,
  )
}

function notAToken(): Trouble {
  return new Trouble({
    what: 'This is not a token',
    why: 'it is neither a JWT nor one of the opaque tokens of Signet',
    advice: 'Check that all of it was copied; signed tokens have three parts with dots between them.',
    exit: EXIT.usage,
    code: 'not_a_token',
  })
}
