/** Every kind of target, taken back at the authority, is refused by a validator in another process; what does not hang on it lives on. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { PATIENCE_MS } from '@signet/testkit/until.ts'
import { type RemoteValidator, startValidator } from './remote-validator.ts'
import { API, Browser, claimsOf, createWorld, type Engine, grant, type Tokens, unavailable, type World } from './world.ts'

for (const engine of ['sqlite', 'postgres'] satisfies Engine[]) {
  const why = await unavailable(engine)
  describe(`taking back on ${engine}`, { skip: why ?? false }, () => {
    it('refuses a token, its grant, session, device, subject, client, key, scope and issuer, each in turn', async () => {
      const world = await createWorld({ engine })
      let validator: RemoteValidator | undefined
      try {
        await world.resource()
        const shop = await world.client()
        const feedCredentials = await world.feedCredentials()
        validator = await startValidator({
          issuer: world.issuer,
          audience: API,
          feedCredentials,
        })

        for (const kind of ['token', 'grant', 'session', 'device', 'subject', 'client', 'key', 'scope', 'issuer'] as const) {
          // Two people, so that what happens to one shows not to happen to the other.
          const [victim, bystander] = [await signedIn(world, shop), await signedIn(world, shop)]
          assert.equal((await validator.check(victim.access_token)).allowed, true, `${kind}: refused before it was revoked`)
          const receipt = await world.admin.call('revoke', {
            body: { target: { kind, id: idOf(kind, victim, world) }, reason: 'story' },
            idempotencyKey: `story-${kind}`,
            scope: kind === 'key' ? 'signet:keys' : kind === 'issuer' ? 'signet:admin' : 'signet:revoke',
          })
          const acknowledgedAt = performance.timeOrigin + performance.now()
          const { verdict, atMs } = await validator.untilDenied(victim.access_token, PATIENCE_MS)
          assert.equal(verdict.allowed, false, `${kind}: still accepted after ${PATIENCE_MS} ms`)
          assert.equal(!verdict.allowed && verdict.reason, kind === 'key' ? reasonFor(verdict) : 'revoked', kind)
          assert(receipt.seq > 0)
          const wide = ['client', 'key', 'scope', 'issuer'].includes(kind)
          assert.equal((await validator.check(bystander.access_token)).allowed, !wide, `${kind}: the bystander`)
          process.stdout.write(
            `# ${engine}: ${kind} refused ${Math.max(0, atMs - acknowledgedAt).toFixed(1)} ms after the acknowledgment\n`,
          )

          // Nothing is over for good but what was taken back: a new sign-in is good at once, on the new key too.
          const anew = await signedIn(world, shop)
          assert.equal((await validator.check(anew.access_token)).allowed, true, `${kind}: a sign-in after it is refused`)
        }
      } finally {
        await validator?.stop()
        await world.close()
      }
    })

    it('answers a thousand identical requests with one entry', async () => {
      const world = await createWorld({ engine })
      try {
        const person = await world.person()
        const before = (await world.admin.call('listRevocations', { query: { limit: 500 } } as never)).head.seq
        const receipts: { seq: number; epoch: string }[] = []
        for (let i = 0; i < 20; i++) {
          const some = Array.from({ length: 50 }, () =>
            world.admin.call('revoke', {
              body: { target: { kind: 'subject', id: person.id }, reason: 'again' },
              idempotencyKey: 'one-and-the-same',
            }),
          )
          receipts.push(...(await Promise.all(some)))
        }
        assert.equal(new Set(receipts.map(({ epoch, seq }) => `${epoch}:${seq}`)).size, 1)
        const { head, items } = await world.admin.call('listRevocations', { query: { after: before, limit: 500 } } as never)
        assert.equal(head.seq, receipts[0]?.seq)
        // One, and those that raised it if its commit was late: each has a larger cutoff than the one before.
        const cutoffs = items.map(({ cutoff_ms }) => cutoff_ms)
        assert.deepEqual([items.length, cutoffs], [head.seq - before, [...new Set(cutoffs)].sort((a, b) => a - b)])
        assert.ok(items.length <= 4)
      } finally {
        await world.close()
      }
    })

    it('suspends and resumes a person without a new sign-in', async () => {
      const world = await createWorld({ engine })
      try {
        await world.resource()
        const shop = await world.client()
        const tokens = await signedIn(world, shop)
        const target = { kind: 'subject', id: claimsOf(tokens.access_token).sub } as const
        await world.admin.call('suspend', { body: { target, reason: 'on leave' } } as never)
        const refresh = () => world.token(shop, { grant_type: 'refresh_token', refresh_token: tokens.refresh_token as string })
        const refused = await refresh()
        assert.notEqual(refused.status, 200)
        assert.notEqual(
          refused.body.error,
          'invalid_grant',
          'clients throw tokens away on invalid_grant, but this one will be good again',
        )
        await world.admin.call('resume', { params: target, query: {} } as never)
        assert.equal((await refresh()).status, 200)
      } finally {
        await world.close()
      }
    })
  })
}

async function signedIn(world: World, client: Awaited<ReturnType<World['client']>>): Promise<Tokens> {
  return grant(world, new Browser(), client, await world.person())
}

function idOf(kind: string, tokens: Tokens, world: World): string {
  const claims = claimsOf(tokens.access_token)
  const header = JSON.parse(Buffer.from(tokens.access_token.split('.')[0] as string, 'base64url').toString()) as { kid: string }
  const ids: Record<string, string> = {
    token: claims.jti,
    grant: claims.gid,
    session: claims.sid,
    device: claims.did,
    subject: claims.sub,
    client: claims.client_id as string,
    key: header.kid,
    scope: String(claims.scope).split(' ')[0] as string,
    issuer: world.issuer,
  }
  return ids[kind] as string
}

/** A compromised key may be refused by its entry or by its absence from the key set, whichever comes first. */
function reasonFor(verdict: { allowed: boolean; reason?: string }): string {
  return verdict.reason === 'unknown_key' ? 'unknown_key' : 'revoked'
}
