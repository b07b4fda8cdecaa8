/** A feed over real HTTP, and a reader that reads as slowly as a test likes. */
import { get, type IncomingMessage } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Allow } from '@signet/kernel/verdict.ts'
import { type FeedTrust, readBatch } from '@signet/validator/feed-messages.ts'
import { verifyingKey } from '@signet/validator/jwk.ts'
import { fastify } from 'fastify'
import { type FeedObserver, openFeed } from '../revocation/feed.ts'
import { openFleetHearing } from '../revocation/fleet.ts'
import { ISSUER, openWorld, type WorldOptions } from '../revocation/world.testkit.ts'
import { realSurroundings } from '../surroundings.ts'
import { signJwt } from '../tokens/jwt.ts'
import { type FeedRouteParts, feedRoutes } from './feed.ts'
import { answerTo } from './respond.ts'

export type FeedWorld = Awaited<ReturnType<typeof openFeedWorld>>

export async function openFeedWorld(
  options: WorldOptions & { routes?: Partial<FeedRouteParts>; maxReaders?: number; observe?: FeedObserver } = {},
) {
  // A commit may take as long as a busy machine needs: what a late one does is told elsewhere.
  const settings = { commitAllowanceMilliseconds: 10_000, ...options.settings }
  const world = await openWorld({ surroundings: realSurroundings(), ...options, settings })
  const { store, registry, clock, timers, keys } = world
  const sign = (typ: string, payload: object) => signJwt(keys.signer('feed'), { typ }, payload)
  const { maxReaders, observe } = options
  const about = { store, registry, issuer: ISSUER, sign, clock, timers }
  const hub = openFeed({
    ...about,
    ...(maxReaders === undefined ? {} : { maxReaders }),
    ...(observe === undefined ? {} : { observe }),
  })
  const app = fastify({ forceCloseConnections: 'idle' })
  app.setErrorHandler((error, _request, reply) => {
    const { status, problem, retryAfterSeconds } = answerTo(error)
    if (retryAfterSeconds !== undefined) reply.header('retry-after', retryAfterSeconds)
    return reply.code(status).send(problem)
  })
  const authorize = async () => ({ allowed: true, claims: { client_id: 'reader', exp: 2 ** 40 } }) as unknown as Allow
  const fleet = openFleetHearing({
    store,
    clock,
    timers,
    clockOffsetMs: registry.clockOffsetMs.bind(registry),
    memoryMs: 600_000,
  })
  feedRoutes(app, {
    hub,
    fleet,
    open: false,
    authorize,
    jwks: () => keys.jwks('feed'),
    signedKeys: () => 'keys',
    jwksCacheSeconds: 60,
    clock,
    timers,
    ...options.routes,
  })
  await app.listen({ port: 0, host: '127.0.0.1' })
  const url = `http://127.0.0.1:${(app.server.address() as AddressInfo).port}`
  const trust: FeedTrust = {
    issuer: ISSUER,
    keys: {
      find(kid, alg) {
        const key = kid === undefined ? undefined : keys.publicKey(kid)
        return key === undefined ? undefined : verifyingKey(key.key, alg)
      },
    },
    seek: async () => {},
  }
  return {
    ...world,
    hub,
    fleet,
    app,
    url,
    trust,
    sign,
    read: (place: { epoch: string; after: number } | { last: string }) => openReader(url, place, trust),
    async close() {
      await app.close()
      hub.close()
      await fleet.close()
      await world.close()
    },
  }
}
type Batch = Awaited<ReturnType<typeof readBatch>>['batch']

async function openReader(url: string, place: { epoch: string; after: number } | { last: string }, trust: FeedTrust) {
  const query = 'last' in place ? '' : `?epoch=${place.epoch}&after=${place.after}`
  const headers = 'last' in place ? { 'last-event-id': place.last } : {}
  const response = await new Promise<IncomingMessage>((resolve, reject) => {
    get(`${url}/feed/stream${query}`, { headers, agent: false }, resolve).on('error', reject)
  })
  const batches: Batch[] = []
  const ids: string[] = []
  const state = { ended: false, resets: 0, comments: 0 }
  let text = ''
  let work = Promise.resolve()
  response.on('data', (chunk: Buffer) => {
    text += chunk.toString()
    for (let end = text.indexOf('\n\n'); end >= 0; end = text.indexOf('\n\n')) {
      const event = text.slice(0, end)
      text = text.slice(end + 2)
      if (event.startsWith(':')) state.comments++
      if (event.startsWith('event: reset')) state.resets++
      const [, id, data] = /^id: (.*)\nevent: batch\ndata: (.*)$/.exec(event) ?? []
      if (id === undefined || data === undefined) continue
      ids.push(id)
      work = work.then(async () => void batches.push((await readBatch(data, trust)).batch))
    }
  })
  response.on('error', () => {})
  response.on('close', () => {
    state.ended = true
  })
  return {
    status: response.statusCode,
    headers: response.headers,
    batches,
    ids,
    state,
    last: () => batches.at(-1)?.to ?? 0,
    /** Numbers of the entries that arrived, verified, in the order they came. */
    seqs: () => batches.flatMap(({ from, to }) => Array.from({ length: to - from + 1 }, (_, i) => from + i)),
    response,
    settled: () => work,
    close: () => response.destroy(),
  }
}

export const range = (from: number, to: number): number[] => Array.from({ length: to - from + 1 }, (_, i) => from + i)
