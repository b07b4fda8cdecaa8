/**
 * The operator's whole way with regions of their own clusters: linked, looked at, one lost with its database, taken over, returned. At no
 * moment has a family of the lost region a successor anywhere, and what it had is over on both sides when it comes back.
 */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { until } from '@signet/testkit/until.ts'
import { type Region, startRegions } from './regions-world.ts'
import { API, claimsOf, patientRequest, unavailable } from './world.ts'

const LOGIN = { username: 'ada', password: 'a long enough passphrase' }
const JOB = { grant_type: 'client_credentials', scope: 'notes:read notes:write', resource: API }

describe('a region is lost, taken over, and returns', { skip: await unavailable('postgres') }, () => {
  for (const others of [['east'], ['east', 'south']]) {
    test(`of ${others.length + 1}`, async () => {
      const world = await startRegions(Object.fromEntries(['west', ...others].map((name) => [name, 1])))
      try {
        await story(world.regions as [Region, ...Region[]])
      } finally {
        await world.close()
      }

      async function story([west, ...left]: [Region, ...Region[]]) {
        await west.admin.call('createSubject', { body: LOGIN })
        const tokens = await world.signIn(LOGIN)
        const jobs = await Promise.all(left.map(jobAt))
        for (const { validator } of world.regions) {
          for (const token of [tokens.access_token, ...jobs]) await until(() => allows(validator, token, 'notes:write'))
        }
        const refreshed = await (left[0] as Region).refreshAtLast(tokens.refresh_token as string)
        assert.equal(refreshed.status, 200)
        const { access_token: access, refresh_token: newest } = refreshed.body as { access_token: string; refresh_token: string }

        // Revoked here, refused there.
        const job = await jobAt(west)
        for (const { validator } of left) await until(() => allows(validator, job))
        const target = { kind: 'token', id: claimsOf(job).jti } as const
        await west.admin.call('revoke', { body: { target, reason: 'story' } })
        for (const { validator } of left) await until(async () => !(await allows(validator, job)))

        // Lost, database and all. The age grows: what cannot bear that closes, what can goes on, and nobody loses a token.
        await west.nodes[0]?.kill()
        await west.database.kill()
        for (const [index, region] of left.entries()) {
          const own = jobs[index] as string
          await until(async () => !(await allows(region.validator, own, 'notes:write')))
          assert.equal(await allows(region.validator, own), true)
          await until(async () => {
            const peer = await viewOf(west, region)
            return peer?.problem === 'unreachable' && (peer.age_ms ?? 0) > 5000 && !peer.taken_over
          }, 'it is told that west is away')
          const away = await region.refresh(newest)
          assert.deepEqual([away.status, away.body.reason], [503, 'region_unavailable'])
        }

        // Taken over in each that is left.
        const body = { reason: 'the data centre burns' }
        for (const { admin } of left) await admin.call('takeOverRegion', { params: { name: 'west' }, body })
        await assertOver(left, newest)
        for (const [index, { validator }] of left.entries()) {
          await until(async () => !(await allows(validator, access)))
          await until(() => allows(validator, jobs[index] as string, 'notes:write'))
        }

        // It returns on what it had. It knows before it answers its first request; then everybody has heard that it knows.
        await west.database.start()
        await west.start()
        await assertOver(world.regions, newest)
        for (const region of left) {
          await until(async () => {
            const peer = await viewOf(west, region)
            return peer?.taken_over === false && peer.problem === undefined
          })
        }
        await until(world.isWhole)
        await assertOver(world.regions, newest)
        await assertOver(world.regions, tokens.refresh_token as string)
        assert.ok((await west.admin.call('listRegions')).families_ended_ms !== null)
        for (const region of left) {
          assert.equal((await region.admin.call('listRegions')).families_ended_ms, null)
          assert.deepEqual(await recorded(region), ['region.taken_over', 'region.returned'])
        }
        assert.deepEqual(
          await recorded(west),
          left.map(() => 'region.families_ended'),
        )

        // What begins there now is good everywhere, and can be taken back everywhere.
        const anew = await world.signIn(LOGIN)
        for (const { validator } of world.regions) await until(() => allows(validator, anew.access_token))
        assert.equal((await (left[0] as Region).refreshAtLast(anew.refresh_token as string)).status, 200)
        const { gid } = claimsOf(anew.access_token)
        await west.admin.call('revoke', { body: { target: { kind: 'grant', id: gid }, reason: 'story' } })
        for (const { validator } of world.regions) await until(async () => !(await allows(validator, anew.access_token)))
        for (const [index, { validator }] of left.entries()) assert.equal(await allows(validator, jobs[index] as string), true)
      }
    })
  }
})

/** A hundred at once, spread over the regions: none gets a successor. */
async function assertOver(regions: readonly Region[], token: string): Promise<void> {
  const askers = Array.from({ length: 100 }, (_, index) => (regions[index % regions.length] as Region).refreshAtLast(token))
  const answers = (await Promise.all(askers)).map(({ status, body }) => `${status} ${body.error}`)
  assert.deepEqual([...new Set(answers)], ['400 invalid_grant'])
}

async function jobAt({ url, shop }: Region): Promise<string> {
  const { status, body } = await patientRequest(url, shop, JOB)
  assert.equal(status, 200, JSON.stringify(body))
  return body.access_token
}

async function allows(validator: Region['validator'], token: string, needs = 'notes:read'): Promise<boolean> {
  const headers = { authorization: `Bearer ${token}` }
  return (await validator.validate({ method: 'GET', url: '/', headers }, { needs })).allowed
}

const viewOf = async ({ name }: Region, { admin }: Region) =>
  (await admin.call('listRegions')).items.find((peer) => peer.name === name)

/** What its record says of regions, but for pages taken over. */
async function recorded({ admin }: Region): Promise<string[]> {
  const { items } = await admin.call('searchAudit', { query: { text: 'region.', limit: 500 } })
  const types = items.map(({ type }) => type)
  return types.filter((type) => type.startsWith('region.') && type !== 'region.revocations_taken_over')
}
