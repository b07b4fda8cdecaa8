/**
 * The authority is killed at random moments under load, again and again, on either store. Afterwards every acknowledged write must be
 * there, no rotation may be half done, and the record must verify.
 */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { ApiError } from '@signet/api/errors.ts'
import { until } from '@signet/testkit/until.ts'
import { Browser, createWorld, type Engine, grant, unavailable, type World } from './world.ts'

const ROUNDS = Number(process.env.SIGNET_KILLS ?? 50)
const FAMILIES = 8

interface Holder {
  /** The last refresh token that an answer carried. */
  refreshToken: string
  rotations: number
}
interface Acknowledged {
  readonly seq: number
  readonly epoch: string
  readonly refreshToken: string
}

for (const engine of ['sqlite', 'postgres'] satisfies Engine[]) {
  const why = await unavailable(engine)
  describe(`kill -9 under load on ${engine}`, { skip: why ?? false }, () => {
    it(`loses nothing that was acknowledged, ${ROUNDS} times`, async () => {
      const world = await createWorld({ engine, policy: { graceSeconds: 300 } })
      try {
        await world.resource()
        const client = await world.client()
        const person = await world.person()
        const browser = new Browser()
        const newHolder = async (): Promise<Holder> => ({
          refreshToken: (await grant(world, browser, client, person)).refresh_token as string,
          rotations: 0,
        })
        const holders: Holder[] = []
        for (let i = 0; i < FAMILIES; i++) holders.push(await newHolder())
        const revoked: Acknowledged[] = []

        // So long that on this machine a revocation comes through before the kill about as often as not.
        let longestMs = 200
        for (let round = 0; round < ROUNDS; round++) {
          const doomed = await newHolder()
          const load = new AbortController()
          const [rotatedBefore, revokedBefore] = [rotations(holders), revoked.length]
          const refreshing = holders.map((holder) => refreshUntil(load.signal, world, client, holder))
          const revoking = revokeSoon(world, client, doomed, revoked)
          await new Promise((resolve) => setTimeout(resolve, Math.random() * longestMs))
          await until(() => rotations(holders) > rotatedBefore, 'there is load')
          await world.kill()
          load.abort()
          await Promise.all([...refreshing, revoking])
          longestMs = Math.min(10_000, longestMs * (revoked.length > revokedBefore ? 0.9 : 1.5))
          await world.start()

          for (const holder of holders) {
            // Whether or not the answer in flight was committed, the last token that arrived must work: it is current, or in grace.
            const answer = await world.token(client, { grant_type: 'refresh_token', refresh_token: holder.refreshToken })
            assert.equal(
              answer.status,
              200,
              `round ${round}: a refresh token that was handed out is refused: ${JSON.stringify(answer.body)}`,
            )
            const again = await world.token(client, { grant_type: 'refresh_token', refresh_token: holder.refreshToken })
            assert.equal(again.body.refresh_token, answer.body.refresh_token, `round ${round}: one token, two successors`)
            holder.refreshToken = answer.body.refresh_token as string
          }
          for (const one of revoked.slice(-4)) {
            // Older ones were looked at often enough.
            const answer = await world.token(client, { grant_type: 'refresh_token', refresh_token: one.refreshToken })
            assert.equal(answer.body.error, 'invalid_grant', `round ${round}: an acknowledged revocation is gone`)
          }
          const { head } = await feedHead(world)
          for (const one of revoked) {
            assert.equal(head.epoch, one.epoch)
            assert(head.seq >= one.seq, `round ${round}: the log ends at ${head.seq}, but ${one.seq} was acknowledged`)
          }
        }
        assert(revoked.length > ROUNDS / 4, `too few revocations were acknowledged to prove anything: ${revoked.length}`)
        await auditVerifies(world)
      } finally {
        await world.close()
      }
    })
  })
}

function rotations(holders: readonly Holder[]): number {
  return holders.reduce((sum, holder) => sum + holder.rotations, 0)
}

/** Rotates as fast as it goes; keeps what arrived, forgets what was cut off. */
async function refreshUntil(
  stop: AbortSignal,
  world: World,
  client: { id: string; client_secret?: string | undefined },
  holder: Holder,
): Promise<void> {
  while (!stop.aborted) {
    try {
      const answer = await world.token(client, { grant_type: 'refresh_token', refresh_token: holder.refreshToken })
      if (answer.status === 200) {
        holder.refreshToken = answer.body.refresh_token as string
        holder.rotations++
      } else {
        assert(answer.status === 503 || answer.status === 429, `under load: ${answer.status} ${JSON.stringify(answer.body)}`)
        await new Promise((resolve) => setTimeout(resolve, 20))
      }
    } catch (error) {
      if (error instanceof assert.AssertionError) throw error
      return // The connection broke: the answer in flight is unknown, as it would be for any client.
    }
  }
}

async function revokeSoon(
  world: World,
  client: { id: string; client_secret?: string | undefined },
  doomed: Holder,
  revoked: Acknowledged[],
): Promise<void> {
  const family = (
    await world.token(client, { grant_type: 'refresh_token', refresh_token: doomed.refreshToken }).catch(() => undefined)
  )?.body
  if (family?.access_token === undefined) return
  const gid = JSON.parse(Buffer.from(family.access_token.split('.')[1] as string, 'base64url').toString()).gid as string
  try {
    const receipt = await world.admin.call('revoke', {
      body: { target: { kind: 'grant', id: gid }, reason: 'kill_test' },
      idempotencyKey: gid,
    } as never)
    revoked.push({ ...(receipt as unknown as { seq: number; epoch: string }), refreshToken: family.refresh_token as string })
  } catch {
    // Not acknowledged: nothing is promised.
  }
}

async function feedHead(world: World): Promise<{ head: { epoch: string; seq: number } }> {
  const metadata = await world.admin.metadata()
  const open = () => world.admin.open(`${metadata.signet_feed?.head}?probe=${'p'.repeat(22)}`, 'signet:feed')
  let jws = ''
  await until(async () => {
    try {
      jws = await (await open()).text()
      return true
    } catch (error) {
      if ((error as ApiError).status !== 503) throw error
      return false // The store was late.
    }
  }, 'the head is told')
  return { head: JSON.parse(Buffer.from(jws.split('.')[1] as string, 'base64url').toString()) }
}

async function auditVerifies(world: World): Promise<void> {
  let last: unknown
  for await (const line of world.admin.stream('verifyAudit')) last = line
  assert.equal((last as { sound?: boolean }).sound, true, JSON.stringify(last))
}
