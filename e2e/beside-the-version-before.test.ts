/** An upgrade without an interruption: a node of the program before goes on while one of this program changes the schema under it. */
import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { after, describe, it } from 'node:test'
import { createAdminClient } from '@signet/api/client.ts'
import type { Credentials } from '@signet/api/credentials.ts'
import { until } from '@signet/testkit/until.ts'
import { Client } from 'pg'
import { programBefore } from './program-before.ts'
import {
  Browser,
  claimsOf,
  createWorld,
  grant,
  introspect,
  patientRequest,
  type Tokens,
  unavailable,
  type World,
} from './world.ts'

const OLD = 0
const NEW = 1

const before = await programBefore()
const why = 'skip' in before ? before.skip : await unavailable('postgres')

describe('a node of the program before', { skip: why ?? false }, () => {
  after(() => ('skip' in before ? undefined : before.remove()))

  it('goes on beside one of this program: tokens cross over, and so do revocations', async () => {
    if ('skip' in before) return
    // One after the other: the second finds the first at work, and brings the schema up to date.
    const world = await createWorld({ engine: 'postgres', nodes: 2, programs: [before.main] })
    try {
      assert.ok((await schemaVersion(world.database)) > before.schemaVersion, 'it is not the program before')
      await world.resource()
      const shop = await world.client()
      const at = (node: number) => `http://localhost:${world.nodes[node]?.port}`
      const refresh = async (node: number, { refresh_token }: Tokens) =>
        patientRequest(at(node), shop, { grant_type: 'refresh_token', refresh_token: refresh_token as string })
      const isActive = async (node: number, token: string) => (await introspect(at(node), shop, token)).active

      for (const [revoking, other] of [
        [OLD, NEW],
        [NEW, OLD],
      ] as const) {
        let tokens = await grant(world, new Browser(), shop, await world.person())
        for (const node of [OLD, NEW, OLD, NEW]) {
          const { status, body } = await refresh(node, tokens)
          assert.equal(status, 200, `node ${node}: ${JSON.stringify(body)}`)
          tokens = body
        }
        for (const node of [OLD, NEW]) assert.equal(await isActive(node, tokens.access_token), true)
        const admin = createAdminClient({
          credentials: await credentials(world),
          server: at(revoking),
        })
        const target = { kind: 'grant', id: claimsOf(tokens.access_token).gid } as const
        await admin.call('revoke', { body: { target, reason: 'story' } })
        await until(
          async () => !(await isActive(other, tokens.access_token)),
          `node ${other} hears what node ${revoking} revoked`,
        )
        for (const node of [OLD, NEW]) assert.equal((await refresh(node, tokens)).body.error, 'invalid_grant')
      }
      const proofs = [OLD, NEW].map(async (node) => {
        const admin = createAdminClient({ credentials: await credentials(world), server: at(node) })
        for await (const line of admin.stream('verifyAudit', { body: { copies: [] } })) {
          if (line.kind === 'result') return line.sound
        }
        return undefined
      })
      assert.deepEqual(await Promise.all(proofs), [true, true], "one does not take the other's record for sound")
    } finally {
      await world.close()
    }
  })
})

const credentials = async ({ credentialsFile }: World) => JSON.parse(await readFile(credentialsFile, 'utf8')) as Credentials

async function schemaVersion(database: string): Promise<number> {
  const client = new Client({ connectionString: database })
  await client.connect()
  try {
    return Number((await client.query('select max(version) as newest from schema_migrations')).rows[0].newest)
  } finally {
    await client.end()
  }
}
