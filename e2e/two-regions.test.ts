/**
 * Two regions as an operator would run them: two PostgreSQL clusters, two nodes in west and one in east, all processes, each region reached
 * by services over the issuer's one name. What is revoked in one dies in both; a cut link shows; what lives in west is judged there.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { until } from '@signet/testkit/until.ts'
import type { Validator } from '@signet/validator'
import { type Region, startRegions } from './regions-world.ts'
import { API, claimsOf, patientRequest, unavailable } from './world.ts'

test('two regions on two PostgreSQL clusters', { skip: await unavailable('postgres') }, async () => {
  const world = await startRegions({ west: 2, east: 1 })
  try {
    const [west, east] = world.regions as [Region, Region]
    const validators = [west.validator, east.validator]
    const [here, there] = validators as [Validator, Validator]
    const check = (validator: Validator, token: string, needs = 'notes:read') =>
      validator.validate({ method: 'GET', url: '/', headers: { authorization: `Bearer ${token}` } }, { needs })
    const allowed = async (validator: Validator, token: string, needs?: string) => (await check(validator, token, needs)).allowed

    // Somebody signs in in west; what he gets is good in both.
    const person = await west.admin.call('createSubject', { body: { username: 'ada', password: 'a long enough passphrase' } })
    const login = { username: 'ada', password: 'a long enough passphrase' }
    const first = await world.signIn(login)
    for (const validator of [here, there]) await until(() => allowed(validator, first.access_token, 'notes:write'))

    // He is served in east: his refresh token lives in west, and that is where it is rotated.
    const next = await east.refreshAtLast(first.refresh_token as string)
    assert.equal(next.status, 200, JSON.stringify(next.body))

    // Revoked at either node of west, dead in both regions; between the regions it takes the link's time more.
    for (let round = 0; round < 12; round++) {
      const job = { grant_type: 'client_credentials', scope: 'notes:read', resource: API }
      const token = (await patientRequest(west.url, west.shop, job)).body.access_token
      for (const validator of validators) await until(() => allowed(validator, token))
      const target = { kind: 'token', id: claimsOf(token).jti } as const
      await west.adminAt(round % 2).call('revoke', { body: { target, reason: 'story' } })
      for (const validator of validators) await until(async () => !(await allowed(validator, token)))
    }

    // Cut off from west, east knows that it grows stale: what can't bear that closes, what can goes on.
    west.network.cut()
    const last = next.body
    const { sid } = claimsOf(last.access_token)
    await west.admin.call('revoke', { body: { target: { kind: 'session', id: sid }, reason: 'story' } })
    await until(async () => !(await allowed(here, last.access_token)))
    assert.equal(await allowed(there, last.access_token), true)
    await until(async () => {
      const verdict = await check(there, last.access_token, 'notes:write')
      return !verdict.allowed && verdict.status === 503
    })
    assert.equal(await allowed(there, last.access_token), true, 'an hour is not over')
    const away = await east.refresh(last.refresh_token as string)
    assert.deepEqual([away.status, away.body.reason], [503, 'region_unavailable'])
    west.network.heal()
    await until(async () => !(await allowed(there, last.access_token)))
    const gone = await east.refreshAtLast(last.refresh_token as string)
    assert.deepEqual([gone.status, gone.body.error], [400, 'invalid_grant'])

    // One node of west less: the other goes on telling east.
    await west.nodes[0]?.kill()
    const receipt = await west
      .adminAt(1)
      .call('revoke', { body: { target: { kind: 'subject', id: person.id }, reason: 'story' } })
    assert.ok(receipt.seq > 0)
    await until(async () => {
      const { items } = await east.admin.call('listRevocations', { query: { limit: 50 } })
      return items.some((entry) => entry.target === person.id)
    })
  } finally {
    await world.close()
  }
})
