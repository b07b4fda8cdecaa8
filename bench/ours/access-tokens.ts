/** Access tokens as a client gets them: codes exchanged at the token endpoint, each of a person, session and device of its own. */
import type { KeyKind } from '@signet/kernel/revocation.ts'
import type { Child } from '../child.ts'
import { openConnection } from '../http/connection.ts'
import { basic, formPost } from '../http/request.ts'
import { APP_CLIENT, CODE_VERIFIER, REDIRECT_URI } from '../http/server.ts'
import type { AuthorityAnswers } from './authority.ts'

/** After everything of a client or issuer was revoked, a new sign-in counts from just past the cutoff. */
const AGAIN_AFTER_MS = 250
const TRIES = 20

export async function accessTokens(authority: Child<AuthorityAnswers>, count: number): Promise<readonly string[]> {
  const { port, paths } = await authority.ask('describe')
  const connection = await openConnection(port)
  const tokens: string[] = []
  try {
    for (let tries = 0; tokens.length < count; tries++) {
      const [code] = await authority.ask('stock', { kind: 'code', count: 1 })
      const form = {
        grant_type: 'authorization_code',
        code: code as string,
        redirect_uri: REDIRECT_URI,
        code_verifier: CODE_VERIFIER,
      }
      const answer = await connection.exchange(formPost({ port, path: paths.token }, basic(APP_CLIENT), form))
      if (answer.status === 200) tokens.push((JSON.parse(answer.body) as { access_token: string }).access_token)
      else if (answer.status !== 400 || tries >= count + TRIES) throw new Error(`no token: ${answer.body}`)
      else await new Promise((resolve) => setTimeout(resolve, AGAIN_AFTER_MS))
    }
  } finally {
    connection.close()
  }
  return tokens
}

/** The id by which a kind of revocation would take this token back. */
export function idOf(token: string, kind: KeyKind): string {
  const [header, payload] = token.split('.').slice(0, 2).map(decode) as [Record<string, string>, Record<string, string>]
  const { jti, gid, sid, did, sub, client_id, iss, scope } = payload
  const ids = { token: jti, grant: gid, session: sid, device: did, subject: sub, client: client_id, key: header.kid, issuer: iss }
  return (kind === 'scope' ? scope?.split(' ')[0] : ids[kind]) as string
}

const decode = (part: string): unknown => JSON.parse(Buffer.from(part, 'base64url').toString())
