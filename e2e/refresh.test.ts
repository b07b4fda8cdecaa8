/** Refreshing under stress, over HTTP, on both stores: races, lost answers, theft, forgery. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { crc32 } from 'node:zlib'
import { PATIENCE_MS, until } from '@signet/testkit/until.ts'
import fc from 'fast-check'
import { startValidator } from './remote-validator.ts'
import { API, Browser, claimsOf, createWorld, type Engine, grant, type Tokens, unavailable, type World } from './world.ts'

type Client = Awaited<ReturnType<World['client']>>

for (const engine of ['sqlite', 'postgres'] satisfies Engine[]) {
  const why = await unavailable(engine)
  describe(`refreshing on ${engine}`, { skip: why ?? false }, () => {
    const story = (
      title: string,
      tell: (world: World, client: Client, tokens: Tokens) => Promise<void>,
      policy: Record<string, unknown> = {},
    ) => {
      it(title, async () => {
        const world = await createWorld({ engine, policy })
        try {
          await world.resource()
          const client = await world.client()
          await tell(world, client, await grant(world, new Browser(), client, await world.person()))
        } finally {
          await world.close()
        }
      })
    }
    const refresh = (world: World, client: Client, refreshToken: string | undefined) =>
      world.token(client, { grant_type: 'refresh_token', refresh_token: refreshToken as string })

    story(
      'a hundred at once with one token all get the same successor, and one generation is spent',
      async (world, client, tokens) => {
        const answers = await Promise.all(Array.from({ length: 100 }, () => refresh(world, client, tokens.refresh_token)))
        assert.deepEqual([...new Set(answers.map(({ status }) => status))], [200])
        assert.equal(new Set(answers.map(({ body }) => body.refresh_token)).size, 1)
        const { items } = await world.admin.call('listGrants', { params: { id: claimsOf(tokens.access_token).sub } })
        assert.deepEqual(
          items.map(({ generation }) => generation),
          [1],
        )
        assert.equal((await refresh(world, client, answers[0]?.body.refresh_token)).status, 200, 'the successor works')
      },
    )

    story(
      'a replay outside grace ends the family, and a validator refuses its access tokens',
      async (world, client, tokens) => {
        const feedCredentials = await world.feedCredentials()
        const validator = await startValidator({
          issuer: world.issuer,
          audience: API,
          feedCredentials,
        })
        try {
          const next = (await refresh(world, client, tokens.refresh_token)).body
          assert.equal((await validator.check(next.access_token)).allowed, true)
          await new Promise((resolve) => setTimeout(resolve, 1100)) // Grace is one second here.
          assert.equal((await refresh(world, client, tokens.refresh_token)).body.error, 'invalid_grant')
          assert.equal(
            (await refresh(world, client, next.refresh_token)).body.error,
            'invalid_grant',
            'the current one ends with the family',
          )
          for (const { access_token } of [tokens, next]) {
            const { verdict } = await validator.untilDenied(access_token, PATIENCE_MS)
            assert.equal(!verdict.allowed && verdict.reason, 'revoked')
          }
        } finally {
          await validator.stop()
        }
      },
      { graceSeconds: 1 },
    )

    story('forged and torn tokens change nothing', async (world, client, tokens) => {
      const genuine = tokens.refresh_token as string
      const subject = claimsOf(tokens.access_token).sub
      const grants = async () => (await world.admin.call('listGrants', { params: { id: subject } })).items
      const before = await grants()
      const forged = fc
        .tuple(
          fc.integer({ min: 4, max: genuine.length - 1 }),
          fc.constantFrom(...'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'),
        )
        .map(([at, letter]) => genuine.slice(0, at) + letter + genuine.slice(at + 1))
        .filter((text) => text !== genuine)
      await fc.assert(
        fc.asyncProperty(
          fc.oneof(
            forged,
            forged.map(withGoodChecksum).filter((text) => text !== genuine),
          ),
          async (text) => {
            const answer = await refresh(world, client, text)
            assert.equal(answer.status, 400)
            assert.equal(answer.body.error, 'invalid_grant')
          },
        ),
        { numRuns: 60 },
      )
      assert.deepEqual(await grants(), before)
      assert.equal((await refresh(world, client, genuine)).status, 200)
    })

    story('a refresh token is not honoured from another client, and its family lives on', async (world, client, tokens) => {
      const other = await world.client()
      assert.equal((await refresh(world, other, tokens.refresh_token)).body.error, 'invalid_grant')
      assert.equal((await refresh(world, client, tokens.refresh_token)).status, 200)
    })

    story(
      'the access token before a refresh is dead at once where policy says so',
      async (world, client, tokens) => {
        const next = (await refresh(world, client, tokens.refresh_token)).body
        const introspect = async (token: string) => (await world.introspect(client, token)).active
        // The cutoff is in the commit of the refresh; the node's own registry follows it within milliseconds.
        await until(async () => !(await introspect(tokens.access_token)), 'the one before is dead')
        assert.equal(await introspect(next.access_token), true)
      },
      { retirePriorAccessTokenAfterSeconds: 0 },
    )
  })
}

/** The same bytes with the checksum made right again: past the first look, so that it is the tag that refuses. */
function withGoodChecksum(text: string): string {
  const bytes = Buffer.from(text.slice(4), 'base64url')
  const payload = bytes.subarray(0, -4)
  const sum = crc32(Buffer.concat([Buffer.from('sgr_'), payload]))
  const tail = Buffer.alloc(4)
  tail.writeUInt32BE(sum)
  return `sgr_${Buffer.concat([payload, tail]).toString('base64url')}`
}
