/** A token that lives in another region is judged at its home, wherever it is shown; nobody loses it because a region is away. */
import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import type { ClientId } from '@signet/kernel/ids.ts'
import { basicAuth, TEST_REDIRECT, type TestAuthority } from '@signet/testkit/authority.ts'
import { createDpopKey } from '@signet/testkit/dpop.ts'
import { startTwoRegions, type TwoRegions } from '@signet/testkit/regions.ts'
import { until } from '@signet/testkit/until.ts'
import { openSqliteStore } from '../store/sqlite.ts'
import type { Store } from '../store/store.ts'
import { realSurroundings, sha256 } from '../surroundings.ts'
import { createForward, forwardedAnswer, MAX_OF_CALLER } from './forward.ts'
import type { Link } from './link.ts'

const APP = { id: 'app' as ClientId } as const
const EAST_SECRET = 'what the application proves itself with in east'

describe('a token that lives in another region', () => {
  let two: TwoRegions
  let store: Store
  before(async () => {
    store = await openSqliteStore({ path: ':memory:', surroundings: realSurroundings() })
    two = await startTwoRegions({ east: { store } })
    for (const region of [two.west, two.east]) {
      await region.addResource()
    }
    await two.west.addClient(APP)
    // Each region has a secret of its own for it.
    await two.east.addClient({ ...APP, secrets: [{ sha256: sha256(EAST_SECRET), createdAt: 0 }] })
  })
  after(async () => {
    await two.close()
    await store.close()
  })

  const authAt = (region: TestAuthority) => basicAuth(APP.id, region === two.east ? EAST_SECRET : undefined)
  const refresh = (region: TestAuthority, token: string, headers: Record<string, string> = authAt(region)) =>
    region.post('/token', { grant_type: 'refresh_token', refresh_token: token }, headers)

  async function code(region: TestAuthority, extra: Record<string, string> = {}) {
    const person = await region.addSubject()
    const issued = await region.issueCode({ client: APP.id, ...extra }, await region.signIn(person.id))
    return { grant_type: 'authorization_code', code: issued.code, redirect_uri: TEST_REDIRECT, code_verifier: issued.verifier }
  }

  async function grant(region: TestAuthority): Promise<{ refresh_token: string; access_token: string }> {
    const answer = await region.post('/token', await code(region), authAt(region))
    assert.equal(answer.status, 200, answer.text)
    return answer.body
  }

  test('is refreshed through its home, with one successor for all who ask at once anywhere', async () => {
    const { west, east } = two
    const first = await grant(west)
    const answers = await Promise.all([east, west, east, west, east].map((region) => refresh(region, first.refresh_token)))
    for (const answer of answers) assert.equal(answer.status, 200, answer.text)
    assert.equal(new Set(answers.map(({ body }) => body.refresh_token)).size, 1)
    // And what came from there is a token of both.
    const [{ body }] = answers as [(typeof answers)[0]]
    const { access_token, refresh_token } = body
    assert.equal((await east.post('/introspect', { token: refresh_token }, authAt(east))).body.active, true)
    assert.equal((await east.post('/introspect', { token: access_token }, authAt(east))).body.active, true)
  })

  test('keeps its binding to a key on the way, whoever gives the nonces', async () => {
    const { west, east } = two
    const key = createDpopKey()
    const send = async (region: TestAuthority, form: Record<string, string>) => {
      let nonce: string | undefined
      for (let attempt = 0; ; attempt++) {
        const about = { method: 'POST', url: `${west.issuer}/token`, ...(nonce !== undefined && { nonce }) }
        const answer = await region.post('/token', form, () => ({ ...authAt(region), dpop: key.proof(about) }))
        nonce = answer.headers.get('dpop-nonce') ?? undefined
        if (answer.body?.error !== 'use_dpop_nonce' || attempt > 2) return answer
      }
    }
    const first = await send(west, await code(west))
    assert.equal(first.body?.token_type, 'DPoP', first.text)
    const form = { grant_type: 'refresh_token', refresh_token: first.body.refresh_token }
    const bare = await refresh(east, first.body.refresh_token)
    assert.deepEqual([bare.status, bare.body.error], [400, 'invalid_dpop_proof'])
    const next = await send(east, form)
    assert.equal(next.status, 200, next.text)
  })

  test('may be a code: what the browser got in one region is redeemed in another, once', async () => {
    const { west, east } = two
    const form = await code(west)
    assert.equal((await east.post('/token', form, authAt(east))).status, 200)
    const again = await east.post('/token', form, authAt(east))
    assert.deepEqual([again.status, again.body.error], [400, 'invalid_grant'])
  })

  test('is revoked at its home, and that ends it everywhere', async () => {
    const { west, east } = two
    const { refresh_token, access_token } = await grant(west)
    assert.equal((await east.post('/revoke', { token: refresh_token }, authAt(east))).status, 200)
    const refused = await refresh(east, refresh_token)
    assert.deepEqual([refused.status, refused.body.error], [400, 'invalid_grant'])
    await two.settled()
    for (const region of [west, east]) {
      assert.equal((await region.post('/introspect', { token: access_token }, authAt(region))).body.active, false)
    }
  })

  test('is a fault to ask about while its home cannot be reached, never a refusal; afterwards it is as good as before', async () => {
    const { west, east } = two
    const { refresh_token } = await grant(west)
    two.cut()
    for (const path of ['/revoke', '/introspect', '/leaks']) {
      const answer = await east.post(path, { token: refresh_token }, path === '/leaks' ? {} : authAt(east))
      assert.deepEqual([answer.status, answer.body.reason], [503, 'region_unavailable'], path)
    }
    const away = await refresh(east, refresh_token)
    assert.deepEqual([away.status, away.body.reason, away.headers.get('retry-after')], [503, 'region_unavailable', '2'])
    assert.equal((await refresh(west, refresh_token)).status, 200)
    two.heal()
    await two.settled()
    // The answer of the refresh above was lost, so to speak: within the grace it is given again.
    assert.equal((await refresh(east, refresh_token)).status, 200)
  })

  test('is over once its region is declared lost, and never lives twice: what that region signs beyond the cut dies when it heals', async () => {
    const { west, east } = two
    const { refresh_token, access_token } = await grant(west)
    const others = await grant(east)
    two.cut()
    await until(() => east.regions?.status()[0]?.problem !== undefined)
    const done = await east.regions?.takeOver('west', { reason: 'lost', actor: 'operator:test' })
    assert.ok((done?.keys ?? 0) >= 2 && (done?.ageMs ?? 1e9) < 60_000)
    const { regions } = east
    assert.ok(
      (regions?.ageMs() ?? 1e9) < (regions?.status()[0]?.ageMs ?? 0),
      'what it signed is refused, so its age holds up nobody',
    )
    const active = async (region: TestAuthority, token: string) => {
      await region.registry.lookNow()
      return (await region.post('/introspect', { token }, authAt(region))).body.active
    }
    assert.deepEqual([await active(east, access_token), await active(east, others.access_token)], [false, true])
    // A hundred at once, here and there: here each is told to sign in anew, there the family has one successor.
    const [here, there] = await Promise.all(
      [east, west].map((region) => Promise.all(Array.from({ length: 50 }, () => refresh(region, refresh_token)))),
    )
    assert.deepEqual([...new Set(here?.map(({ body }) => body.error))], ['invalid_grant'])
    const given = new Set(there?.filter(({ status }) => status === 200).map(({ body }) => body.refresh_token))
    assert.equal(given.size, 1)
    assert.deepEqual(
      [...new Set(there?.map(({ status }) => status))].filter((status) => status !== 200 && status !== 400),
      [],
    )
    const beyond = there?.find(({ status }) => status === 200)?.body.access_token as string
    assert.equal(await active(west, beyond), true)
    two.heal()
    await until(() => east.regions?.status()[0]?.takenOver === false)
    await until(async () => !(await active(west, beyond)))
    // It has heard of it, and ended what began there. A hundred more, at its home as well: nobody has a successor anywhere.
    const newest = [...given][0] as string
    for (const token of [newest, refresh_token]) {
      const askers = Array.from({ length: 100 }, (_, index) => refresh(index % 2 === 0 ? east : west, token))
      assert.deepEqual([...new Set((await Promise.all(askers)).map(({ body }) => body.error))], ['invalid_grant'])
    }
    assert.equal(await active(west, newest), false)
    assert.deepEqual(await recorded(east), ['region.taken_over', 'region.returned'])
    assert.deepEqual(await recorded(west), ['region.families_ended'])
    assert.ok(((await west.regions?.familiesEndedMs()) ?? 0) > 0)
    // What began in the other region goes on, and what begins now in the one that returned is good in both.
    const renewed = await grant(west)
    for (const { access_token: token } of [others, renewed]) {
      await until(() => active(east, token))
      assert.equal(await active(west, token), true)
    }
    assert.equal((await refresh(east, renewed.refresh_token)).status, 200)
  })

  test('is not rotated by a region that was away when it was declared lost, from its first request on', async () => {
    const { west, east } = two
    const { refresh_token } = await grant(east)
    await two.restartEast(async () => {
      await until(() => west.regions?.status()[0]?.problem !== undefined)
      await west.regions?.takeOver('east', { reason: 'lost', actor: 'operator:test' })
    })
    const answers = await Promise.all(Array.from({ length: 100 }, () => refresh(two.east, refresh_token)))
    assert.deepEqual([...new Set(answers.map(({ body }) => body.error))], ['invalid_grant'])
    await until(() => west.regions?.status()[0]?.takenOver === false)
  })

  test('is unknown only when every region says so, and who has not proven himself asks nobody', async () => {
    const { east } = two
    const { refresh_token } = await grant(two.west)
    const stranger = await refresh(east, refresh_token, basicAuth('nobody'))
    assert.equal(stranger.status, 401)
    const pretender = await refresh(east, refresh_token, { 'signet-vouched': `${'A'.repeat(43)}.app` })
    assert.deepEqual([pretender.status, pretender.body.reason], [401, 'client_credentials_missing'])
    const other = await startOther()
    try {
      const answer = await refresh(east, other.token)
      assert.deepEqual([answer.status, answer.body.error, answer.body.reason], [400, 'invalid_grant', 'refresh_token_unknown'])
    } finally {
      await other.close()
    }
  })

  test('is not given for the name of its client alone, though a region knows that client as a public one', async () => {
    const { west, east } = two
    const careless = { id: 'careless' as ClientId }
    await west.addClient(careless)
    await east.addClient({ ...careless, authMethod: 'none', secrets: [] })
    const person = await west.addSubject()
    const issued = await west.issueCode({ client: careless.id }, await west.signIn(person.id))
    const form = {
      grant_type: 'authorization_code',
      code: issued.code,
      redirect_uri: TEST_REDIRECT,
      code_verifier: issued.verifier,
    }
    const { refresh_token } = (await west.post('/token', form, basicAuth(careless.id))).body
    const answer = await east.post('/token', { grant_type: 'refresh_token', refresh_token, client_id: careless.id })
    assert.deepEqual([answer.status, answer.body.error], [401, 'invalid_client'])
    assert.equal((await refresh(west, refresh_token, basicAuth(careless.id))).status, 200)
  })

  test("is all that a region can ask about in a client's name: nothing is begun there, and nothing else slips in", async () => {
    const { west } = two
    await west.addClient({ id: 'machine' as ClientId, grantTypes: ['client_credentials'], scopes: ['api:read'] })
    const link = { grant_type: 'client_credentials', scope: 'signet:region', resource: west.issuer }
    const { access_token } = (await west.post('/token', link, basicAuth('region-east'))).body
    const about = { region: 'east', headers: {}, address: '127.0.0.1' }
    const begun = { path: '/token', form: 'grant_type=client_credentials&scope=api%3Aread', client: 'machine', token: 'x' }
    const { refresh_token } = await grant(west)
    const other = `grant_type=refresh_token&refresh_token=${refresh_token}`
    const nobody = { path: '/token', form: other, token: refresh_token, client: 'a\u0000\ud800' }
    for (const asked of [
      nobody,
      begun,
      { ...begun, client: 'app', form: other },
      { ...begun, path: '/revoke', form: 'token=y' },
    ]) {
      const answer = await fetch(`${west.url}/region/forward`, {
        method: 'POST',
        headers: { authorization: `Bearer ${access_token}`, 'content-type': 'application/json' },
        body: JSON.stringify({ ...about, ...asked }),
      })
      const body = (await answer.json()) as { reason?: string }
      assert.deepEqual([answer.status, body.reason], [400, 'malformed_question'], JSON.stringify(body))
    }
  })

  test('comes back with the headers of an answer to a token alone, whatever its home sends', () => {
    const headers = {
      'content-type': 'application/json',
      'set-cookie': '__Host-signet_session=x',
      location: 'https://evil.example',
    }
    const read = forwardedAnswer.parse({ known: true, status: 200, headers, body: '{}' })
    assert.deepEqual(read.known && read.headers, { 'content-type': 'application/json' })
  })

  test('is asked about beside the questions of a client that floods', async () => {
    const open: (() => void)[] = []
    const link = {
      get: () => Promise.reject(new Error('unused')),
      post: () => new Promise((resolve) => open.push(() => resolve({ known: false }))),
      close: () => undefined,
    } as unknown as Link
    const forward = createForward({ self: 'east', links: new Map([['west', link]]), isTakenOver: async () => false })
    const about = { path: '/introspect', token: 'x', form: 'token=x', headers: {}, proven: true, address: '127.0.0.1' } as const
    const flood = Array.from({ length: 300 }, () => forward({ ...about, client: 'flood' }, 'flood'))
    const calm = forward({ ...about, client: 'calm' }, 'calm')
    const ended = Promise.allSettled([...flood, calm])
    await new Promise(setImmediate)
    assert.equal(open.length, MAX_OF_CALLER + 1)
    for (const answer of open) answer()
    const outcomes = (await ended).map(({ status }) => status)
    assert.deepEqual(
      [outcomes.filter((status) => status === 'fulfilled').length, outcomes.at(-1)],
      [MAX_OF_CALLER + 1, 'fulfilled'],
    )
    const later = forward({ ...about, client: 'flood' }, 'flood') // Its places are free again.
    await new Promise(setImmediate)
    open.at(-1)?.()
    assert.equal(await later, undefined)
  })

  /** What its record says of regions, but for pages taken over. */
  async function recorded(region: TestAuthority): Promise<string[]> {
    const batches = await region.store.audit.search({ text: 'region.', fromMs: 0, toMs: Number.MAX_SAFE_INTEGER, limit: 500 })
    const types = batches.flatMap(({ events }) => (JSON.parse(events) as { type: string }[]).map(({ type }) => type))
    return types.filter((type) => type.startsWith('region.') && type !== 'region.revocations_taken_over')
  }

  /** A refresh token that is well-formed and of another authority altogether. */
  async function startOther() {
    const apart = await startTwoRegions()
    await apart.west.addClient(APP)
    await apart.west.addResource()
    const { refresh_token } = await grant(apart.west)
    return { token: refresh_token, close: () => apart.close() }
  }
})
