import assert from 'node:assert/strict'
import { after, before, describe, it } from 'node:test'
import type { ClientId } from '@signet/kernel/ids.ts'
import { basicAuth, type FormAnswer, startTestAuthority, TEST_REDIRECT, type TestAuthority } from '@signet/testkit/authority.ts'
import { manualSurroundings } from '@signet/testkit/surroundings.ts'

let authority: TestAuthority
/** It stands still, so that no budget comes back while a slow machine asks. */
const surroundings = manualSurroundings('limits', Date.now())
before(async () => {
  authority = await startTestAuthority({
    surroundings,
    settings: {
      clientRate: { perSecond: 1, burst: 20 },
      addressRate: { perSecond: 1, burst: 10 },
      familyRate: { perSecond: 1, burst: 3 },
    },
  })
  await authority.addResource()
  for (const id of ['flood', 'quiet', 'third', 'fourth']) await authority.addClient({ id: id as ClientId })
  await authority.addClient({ id: 'spa' as ClientId, authMethod: 'none', platform: 'browser' })
  await authority.addClient({ id: 'spa2' as ClientId, authMethod: 'none', platform: 'browser' })
})
after(() => authority.close())

const own = (client: string, secret?: string) =>
  authority.post('/token', { grant_type: 'client_credentials' }, basicAuth(client, secret))
const asPublic = (client: string) =>
  authority.post('/token', { grant_type: 'refresh_token', refresh_token: 'x', client_id: client })
const many = (count: number, ask: () => Promise<FormAnswer>) => Promise.all(Array.from({ length: count }, ask))
const slowed = (answers: readonly FormAnswer[]) => answers.filter(({ status }) => status === 429)

describe('limits at the token endpoint', () => {
  it('slow down a client over its budget, and none under its own', async () => {
    const flood = slowed(await many(60, () => own('flood')))
    assert.equal(flood.length, 40)
    assert.deepEqual([flood[0]?.body.error, flood[0]?.body.reason, flood[0]?.body.action], ['slow_down', 'client_rate', 'retry'])
    assert.ok(Number(flood[0]?.headers.get('retry-after')) >= 1)
    assert.deepEqual(new Set((await many(15, () => own('quiet'))).map(({ status }) => status)), new Set([200]))
  })

  it('are not spent by strangers who use a name without its secret', async () => {
    const guesses = await many(40, () => own('third', 'wrong'))
    assert.deepEqual(new Set(guesses.map(({ status }) => status)), new Set([401, 429]))
    assert.ok(slowed(guesses).every(({ body }) => body.reason === 'address_rate'))
    assert.deepEqual(new Set((await many(15, () => own('third'))).map(({ status }) => status)), new Set([200]))
  })

  it('count public clients apart from each other', async () => {
    assert.equal(slowed(await many(30, () => asPublic('spa'))).length, 20)
    assert.equal(slowed(await many(8, () => asPublic('spa2'))).length, 0)
  })

  it('slow down refreshes of one family, without harm to it', async () => {
    const signedIn = await authority.signIn((await authority.addSubject()).id)
    const { code, verifier } = await authority.issueCode({ client: 'fourth' as ClientId }, signedIn)
    const form = { grant_type: 'authorization_code', code, code_verifier: verifier, redirect_uri: TEST_REDIRECT }
    let token = (await authority.post('/token', form, basicAuth('fourth'))).body.refresh_token
    const refresh = () => authority.post('/token', { grant_type: 'refresh_token', refresh_token: token }, basicAuth('fourth'))
    for (let n = 0; n < 3; n++) token = (await refresh()).body.refresh_token
    const { status, body, headers } = await refresh()
    assert.deepEqual([status, body.error, body.reason], [429, 'slow_down', 'family_rate'])
    surroundings.clock.advance(Number(headers.get('retry-after')) * 1000)
    await authority.registry.lookNow()
    assert.equal((await refresh()).status, 200)
  })

  it('bound what refusals write to the record', async () => {
    const count = async () => {
      const found = await authority.store.audit.search({ text: 'token.refused', fromMs: 0, toMs: Date.now() + 1000, limit: 500 })
      return found
        .flatMap(({ events }) => JSON.parse(events) as { type: string }[])
        .filter(({ type }) => type === 'token.refused').length
    }
    for (let n = 0; n < 8; n++) await many(100, () => own('nobody'))
    const recorded = await count()
    assert.ok(recorded > 0 && recorded <= 260, `${recorded}`)
  })
})
