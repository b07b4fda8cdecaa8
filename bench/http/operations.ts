/** What is asked of an authorization server, ours or the peer's, in the same bytes. */
import { type Contest, type Contestant, refreshTurns, stockTurns, type Turn, turn } from './contest.ts'
import { basic, formHead, formPost } from './request.ts'
import { API_CLIENT, APP_CLIENT, CODE_VERIFIER, REDIRECT_URI, RESOURCE, SERVICE_CLIENT } from './server.ts'

/** A contestant's way to spend its turns on one kind of request. */
export type Operation = (contest: Contest, contestant: Contestant) => (milliseconds: number) => Promise<Turn>

export interface Asked {
  readonly operation: Operation
  /** What every answer must contain. */
  readonly expect: string
}

export const TOKENS = '"access_token"'
/** Of the answer to a code of a sign-in by OpenID Connect: that all three are there. */
const ID_TOKEN = '"id_token"'
const ACTIVE = '"active":true'

const clientCredentials: Operation = (contest, contestant) => {
  const request = post(contestant, 'token', SERVICE_CLIENT, {
    grant_type: 'client_credentials',
    scope: 'orders:read',
    resource: RESOURCE,
  })
  return (milliseconds) => turn(contest, contestant, { kind: 'cycle', requests: [request] }, milliseconds)
}

export const refresh: Operation = (contest, contestant) => {
  const { port, paths } = contestant.description
  const head = formHead({ port, path: paths.token }, basic(APP_CLIENT))
  return refreshTurns(contest, contestant, head, 'grant_type=refresh_token&refresh_token=')
}

/** A thousand different tokens, over and over. */
const introspection =
  (kind: 'refresh' | 'opaque', caller: { id: string; secret: string }): Operation =>
  (contest, contestant) => {
    let requests: readonly string[] = []
    return async (milliseconds) => {
      if (requests.length === 0) {
        const tokens = await contestant.server.ask('stock', { kind, count: 1000 })
        requests = tokens.map((token) => post(contestant, 'introspect', caller, { token }))
      }
      return turn(contest, contestant, { kind: 'cycle', requests }, milliseconds)
    }
  }

const revocation: Operation = (contest, contestant) =>
  stockTurns(contest, contestant, 'refresh', (token) =>
    post(contestant, 'revoke', APP_CLIENT, { token, token_type_hint: 'refresh_token' }),
  )

const codeExchange: Operation = (contest, contestant) =>
  stockTurns(contest, contestant, 'code', (code) =>
    post(contestant, 'token', APP_CLIENT, {
      grant_type: 'authorization_code',
      code,
      redirect_uri: REDIRECT_URI,
      code_verifier: CODE_VERIFIER,
    }),
  )

export const OPERATIONS = {
  issue: { operation: clientCredentials, expect: TOKENS },
  refresh: { operation: refresh, expect: TOKENS },
  code: { operation: codeExchange, expect: ID_TOKEN },
  introspect: { operation: introspection('refresh', APP_CLIENT), expect: ACTIVE },
  'introspect-api': { operation: introspection('opaque', API_CLIENT), expect: ACTIVE },
  revoke: { operation: revocation, expect: '' },
} as const satisfies Record<string, Asked>

function post(
  { description }: Contestant,
  path: keyof Contestant['description']['paths'],
  client: { id: string; secret: string },
  form: Readonly<Record<string, string>>,
): string {
  return formPost({ port: description.port, path: description.paths[path] }, basic(client), form)
}
