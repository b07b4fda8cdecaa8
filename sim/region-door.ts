/**
 * The link between regions in the simulated world: the way to another region, behind whose address a balancer picks a node, and the door
 * there. It takes values where http/region.ts and http/oauth/token.ts take HTTP, and does what they do.
 */
import type { Caller, TokenSet } from '@signet/authority/grants/grant.ts'
import { isHere } from '@signet/authority/grants/home.ts'
import type { createOwnValidator } from '@signet/authority/http/protected.ts'
import { type ForwardedAnswer, forwardedRequest } from '@signet/authority/regions/forward.ts'
import { REGION_SCOPE, regionClient } from '@signet/authority/regions/link-messages.ts'
import type { Regions } from '@signet/authority/regions/regions.ts'
import { sha256 } from '@signet/authority/surroundings.ts'
import { Fault, fault, Refusal, type RefusalCode, refusal } from '@signet/kernel/errors.ts'
import type { ClientId } from '@signet/kernel/ids.ts'
import type { Dice } from './dice.ts'
import { once, orAborted } from './feed-door.ts'
import type { Machine } from './machine.ts'
import { ISSUER, REDIRECT } from './names.ts'
import type { Network } from './network.ts'
import type { Asker } from './node.ts'
import type { Made } from './notary.ts'
import type { NodePlace } from './world.ts'

/** What one node of a region gets to reach the others, and to be found by the observer. */
export interface RegionSeat {
  readonly name: string
  readonly peers: readonly string[]
  readonly fetch: typeof fetch
  /** What the observer knows of a login, by the token or code that stands for it, since nothing on the link says it. */
  readonly behind: Map<string, Login>
}

type Login = Made & { readonly jkt: string | undefined }

export interface RegionAnswer {
  readonly status: number
  readonly body: string
}

/** What is wrong with the link, for questions in one direction. */
export interface LinkWeather {
  /** Questions from here wait for ever. */
  blocked: boolean
  /** Extra milliseconds each way, at most. */
  slowMs: number
  /** Shares of answers, and of questions, that get lost. */
  answerLoss: number
  requestLoss: number
}

export const CLEAR: LinkWeather = { blocked: false, slowMs: 0, answerLoss: 0, requestLoss: 0 }

/** As long as a connection attempt lasts; whoever asks has given up before. */
const PATIENCE_MS = 60_000

export function createRegionFetch(parts: {
  readonly machine: Machine
  readonly network: Network
  readonly dice: Dice
  readonly weather: LinkWeather
  pick(dice: Dice): NodePlace | undefined
}): typeof fetch {
  const { machine, network, dice, weather } = parts
  const slowly = (at: Machine) => (weather.slowMs === 0 ? Promise.resolve() : at.delay(dice.between(0, weather.slowMs)))
  return (async (input: string, init: RequestInit & { signal: AbortSignal }) => {
    const url = new URL(input)
    const place = parts.pick(dice)
    const silence = new Promise<never>(() => {})
    const ask = async (): Promise<RegionAnswer> => {
      if (weather.blocked || dice.happens(weather.requestLoss)) return silence
      await slowly(machine)
      if (place === undefined) throw new Error('the connection was refused')
      const serve = async () => {
        if (place.node?.door === undefined || !place.machine.isUp) throw new Error('the connection was refused')
        const answer = await place.node.door(url, init)
        await slowly(place.machine)
        return dice.happens(weather.answerLoss) ? silence : answer
      }
      return network.call(machine, place.machine, serve, {
        patienceMs: PATIENCE_MS,
        lost: () => new Error('the connection timed out'),
      })
    }
    const { status, body } = await orAborted(init.signal, ask())
    return { status, body: once(Buffer.from(body)) }
  }) as unknown as typeof fetch
}

export interface RegionDoorParts {
  readonly regions: Regions
  readonly validator: ReturnType<typeof createOwnValidator>
  readonly here: Parameters<typeof isHere>[1]
  readonly behind: RegionSeat['behind']
  /** A token for a region itself, under its client. */
  service(client: string, secret: string): Promise<TokenSet>
  exchange(code: string, verifier: string, asker: Asker, made: Made): Promise<TokenSet>
  refresh(token: string, asker: Asker, login: Login): Promise<TokenSet>
}

/** What a region answers another. */
export function createRegionDoor(parts: RegionDoorParts) {
  const { regions, validator, here, behind } = parts
  return async (url: URL, init: RequestInit): Promise<RegionAnswer> => {
    try {
      return { status: 200, body: JSON.stringify(await answer(url, init)) }
    } catch (cause) {
      if (cause instanceof Fault) return { status: 503, body: JSON.stringify({ reason: cause.code }) }
      if (cause instanceof Refusal) return { status: statusOf(cause), body: JSON.stringify(wordsOf(cause)) }
      throw cause
    }
  }

  async function answer({ pathname, searchParams: query }: URL, init: RequestInit): Promise<object> {
    const authorization = (init.headers as { authorization?: string }).authorization ?? ''
    if (pathname === '/token') {
      const [client = '', secret = ''] = Buffer.from(authorization.slice('Basic '.length), 'base64').toString().split(':')
      const tokens = await parts.service(decodeURIComponent(client), decodeURIComponent(secret))
      return { access_token: tokens.accessToken, expires_in: tokens.expiresInSeconds }
    }
    const verdict = await validator.validate(
      { method: 'GET', url: pathname, headers: { authorization } },
      { needs: REGION_SCOPE },
    )
    if (!verdict.allowed) throw refusal('invalid_client', verdict.reason)
    const known = (region: string | null) => {
      if (region === null || !regions.peers.includes(region)) throw refusal('invalid_request', 'unknown_region')
      if (verdict.claims.client_id !== regionClient(region)) throw refusal('access_denied', 'not_this_region')
      return region
    }
    if (pathname === '/region/keys') {
      known(query.get('region'))
      return regions.export.keys()
    }
    if (pathname === '/region/log') {
      const place = (epoch: string, seq: string) => ({ epoch: query.get(epoch) ?? '', seq: Number(query.get(seq)) })
      return regions.export.page({
        region: known(query.get('region')),
        after: place('epoch', 'after'),
        have: place('have_epoch', 'have'),
        waitMs: Number(query.get('wait_ms')),
      })
    }
    const asked = forwardedRequest.parse(JSON.parse(init.body as string))
    known(asked.region)
    return forwarded(asked)
  }

  async function forwarded(asked: ReturnType<(typeof forwardedRequest)['parse']>): Promise<ForwardedAnswer> {
    if (!(await isHere(asked.token, here))) return { known: false }
    const form = new URLSearchParams(asked.form)
    const { dpop: jkt, 'user-agent': agent = '' } = asked.headers
    const asker: Asker = { client: asked.client as ClientId, jkt, seen: Buffer.from(agent, 'hex'), isVouched: true }
    const login = behind.get(asked.token) ?? NOBODY
    try {
      const tokens =
        form.get('grant_type') === 'refresh_token'
          ? await parts.refresh(asked.token, asker, login)
          : await parts.exchange(asked.token, form.get('code_verifier') ?? '', asker, login)
      return { known: true, status: 200, headers: {}, body: JSON.stringify(tokens) }
    } catch (cause) {
      if (cause instanceof Fault) return { known: true, status: 503, headers: {}, body: JSON.stringify({ reason: cause.code }) }
      if (cause instanceof Refusal)
        return { known: true, status: statusOf(cause), headers: {}, body: JSON.stringify(wordsOf(cause)) }
      throw cause
    }
  }
}

const NOBODY: Login = { madeMs: 0, agreedMs: 0, jkt: undefined }

const statusOf = ({ code }: Refusal): number => (code === 'invalid_client' ? 401 : code === 'access_denied' ? 403 : 400)
const wordsOf = ({ code, reason }: Refusal) => ({ error: code, reason })

/** Asks the region where it lives, when that is not here; undefined when it is to be judged here. */
export function createSimulatedElsewhere(parts: {
  readonly regions: Regions
  readonly here: Parameters<typeof isHere>[1]
  readonly behind: RegionSeat['behind']
  authenticate(asker: Asker): Promise<Caller>
}) {
  return async (
    token: string,
    grant: Readonly<Record<string, string>>,
    asker: Asker,
    login: Login,
  ): Promise<TokenSet | undefined> => {
    const { client } = await parts.authenticate(asker)
    if (await isHere(token, parts.here)) return undefined
    parts.behind.set(token, login)
    const answer = await parts.regions.forward(
      {
        path: '/token',
        token,
        form: new URLSearchParams(grant).toString(),
        headers: { 'user-agent': Buffer.from(asker.seen).toString('hex'), ...(asker.jkt !== undefined && { dpop: asker.jkt }) },
        client: client.record.id,
        proven: false,
        address: '192.0.2.1',
      },
      '192.0.2.1',
    )
    if (answer === undefined) return undefined
    const body = JSON.parse(answer.body) as TokenSet & { error: RefusalCode; reason: string }
    if (answer.status === 200) return body
    if (answer.status === 503) throw fault('region_unavailable', { because: body.reason })
    throw refusal(body.error, body.reason)
  }
}

export const formOf = {
  refresh: (token: string) => ({ grant_type: 'refresh_token', refresh_token: token }),
  code: (code: string, verifier: string) => ({
    grant_type: 'authorization_code',
    code,
    redirect_uri: REDIRECT,
    code_verifier: verifier,
  }),
}

export const regionUrl = (name: string): string => `https://${name}.auth.example`
export const REGION_SECRET = 'the secret of a simulated region'
export const regionClientRecord = (name: string) => ({
  id: regionClient(name) as ClientId,
  platform: 'service' as const,
  authMethod: 'client_secret_basic' as const,
  grantTypes: ['client_credentials'] as const,
  secrets: [{ sha256: sha256(REGION_SECRET), createdAt: 0 }],
  scopes: [REGION_SCOPE],
  resources: [ISSUER],
})
