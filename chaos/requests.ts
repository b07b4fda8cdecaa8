/** Token requests as clients make them, each written down: what was presented, what was answered, nothing that is secret. */
import { asClient, authorize, redeeming } from '../packages/cli/drill/oauth.ts'
import { Browser } from '../packages/cli/start/browser.ts'
import { API } from './cluster.ts'
import type { FactOf, Ids } from './facts.ts'
import { digest, type Recorder } from './recorder.ts'

export interface Client {
  readonly id: string
  readonly secret: string
}
export interface Person {
  readonly subject: string
  readonly username: string
  readonly password: string
}
/** What a sign-in gave. */
export interface Holding {
  readonly refreshToken: string
  readonly accessToken: string
  readonly ids: Ids
  readonly madeAt: number
  readonly heldAt: number
}
export interface Answer {
  /** Undefined: no answer, or a torn one. */
  readonly status: number | undefined
  readonly error?: string
  readonly refreshToken?: string
  readonly accessToken?: string
  readonly ids?: Ids
}

interface Exchanged extends Answer {
  readonly reason?: string
  readonly retryAfter?: boolean
}

/** A client hangs up after so long. */
const PATIENCE_MS = 4000

export function createRequests(issuer: string, recorder: Recorder) {
  async function token(
    client: Client,
    form: Readonly<Record<string, string>>,
    about: Pick<FactOf<'asked'>, 'who' | 'what' | 'ids' | 'madeAt' | 'heldAt'>,
  ): Promise<Answer> {
    const call = recorder.number()
    const presented = form.refresh_token === undefined ? {} : { presented: digest(form.refresh_token) }
    recorder.note({ is: 'asked', call, ...about, ...presented })
    const answer = await exchange(client, form)
    const { status, error, reason, retryAfter, refreshToken, ids } = answer
    recorder.note({
      is: 'answered',
      call,
      ...(status !== undefined && { status }),
      ...(error !== undefined && { error }),
      ...(reason !== undefined && { reason }),
      ...(retryAfter && { retryAfter }),
      ...(refreshToken !== undefined && { successor: digest(refreshToken) }),
      ...(ids !== undefined && { ids }),
    })
    return answer
  }

  async function exchange(client: Client, form: Readonly<Record<string, string>>): Promise<Exchanged> {
    const { status, retryAfter, body } = await asClient(issuer, client, PATIENCE_MS)('/token', form)
    if (status === 0) return { status: undefined } // Refused, torn, too late: a client knows no more.
    if (status !== 200) return { status, error: body.error ?? 'none', reason: body.reason ?? 'none', retryAfter }
    const accessToken = body.access_token as string
    return {
      status,
      retryAfter,
      accessToken,
      ids: idsOf(accessToken, issuer),
      ...(body.refresh_token !== undefined && { refreshToken: body.refresh_token }),
    }
  }

  return {
    token,
    refresh: (
      client: Client,
      holding: Pick<Holding, 'refreshToken' | 'ids' | 'madeAt' | 'heldAt'>,
      who: FactOf<'asked'>['who'] = 'honest',
    ): Promise<Answer> =>
      token(
        client,
        { grant_type: 'refresh_token', refresh_token: holding.refreshToken },
        { who, what: 'a refresh', ids: familyOf(holding.ids), madeAt: holding.madeAt, heldAt: holding.heldAt },
      ),
    /** `madeAt`: since when the client is there. */
    machine: (client: Client, madeAt?: number): Promise<Answer> =>
      token(
        client,
        { grant_type: 'client_credentials', scope: 'notes:read', resource: API },
        {
          who: 'honest',
          what: 'client credentials',
          ids: { client: client.id, issuer },
          ...(madeAt !== undefined && { madeAt }),
        },
      ),
    /** By the browser's session when it has one, else by password. Undefined: it did not work out, and no promise says that it must. */
    async signIn(browser: Browser, client: Client, person: Person): Promise<Holding | undefined> {
      const madeAt = recorder.now()
      const code = await authorize(browser, issuer, client.id, person, 'notes:read notes:write').catch(() => undefined)
      if (code === undefined) return undefined
      const answer = await token(client, redeeming(code), {
        who: 'honest',
        what: 'a code',
        ids: { client: client.id, issuer, subject: person.subject },
        madeAt,
      })
      const { refreshToken, accessToken, ids } = answer
      if (refreshToken === undefined || accessToken === undefined || ids === undefined) return undefined
      return { refreshToken, accessToken, ids, madeAt, heldAt: recorder.now() }
    },
  }
}
export type Requests = ReturnType<typeof createRequests>

/** What a refresh hangs on: not on the access token that came with the last one, nor on what signed it. */
const familyOf = ({ token: _, key: __, ...ids }: Ids): Ids => ids

export function idsOf(accessToken: string, issuer: string): Ids {
  const [header, claims] = accessToken
    .split('.', 2)
    .map((part) => JSON.parse(Buffer.from(part, 'base64url').toString()) as Record<string, string>)
  const found = {
    token: claims?.jti,
    grant: claims?.gid,
    session: claims?.sid,
    device: claims?.did,
    subject: claims?.gid === undefined ? undefined : claims.sub,
    client: claims?.client_id,
    key: header?.kid,
    issuer,
  }
  return Object.fromEntries(Object.entries(found).filter(([, id]) => id !== undefined)) as Ids
}
export { Browser }
