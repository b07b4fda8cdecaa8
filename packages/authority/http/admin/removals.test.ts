import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import type { AdminClient } from '@signet/api/client.ts'
import type { Call } from '@signet/api/schema.ts'
import type { SubjectId } from '@signet/kernel/ids.ts'
import { startPostgres } from '@signet/testkit/postgres.ts'
import { openPostgresStore } from '../../store/postgres.ts'
import { realSurroundings } from '../../surroundings.ts'
import { type AdminWorld, refusedWith, startAdminWorld } from './admin.testkit.ts'

const server = await startPostgres()
after(() => ('skip' in server ? undefined : server.stop()))

const JOB: NonNullable<Call<'createClient'>['body']> = {
  name: 'A job',
  platform: 'service',
  auth_method: 'client_secret_basic',
  grant_types: ['client_credentials'],
}

/** What can be removed: how it is made, how it is removed, and what is said when it is not there. */
const REMOVALS: Readonly<Record<string, (world: AdminWorld) => Promise<Removal>>> = {
  async client({ admin }) {
    const { id } = await admin.call('createClient', { body: JOB })
    return {
      remove: (by, given) => by.call('deleteClient', { params: { id }, ...given }),
      unknown: 'unknown_client',
      event: 'client.deleted',
    }
  },
  async resource({ admin }) {
    const params = { uri: 'https://gone.example' }
    await admin.call('putResource', { params, body: { name: 'Gone', scopes: [] } })
    return {
      remove: (by, given) => by.call('deleteResource', { params, ...given }),
      unknown: 'unknown_id',
      event: 'resource.deleted',
    }
  },
  async person({ admin }) {
    const { id } = await admin.call('createSubject', { body: { username: 'gone' } })
    return {
      remove: (by, given) => by.call('deleteSubject', { params: { id }, ...given }),
      unknown: 'unknown_subject',
      event: 'subject.deleted',
    }
  },
  async passkey({ admin, authority }) {
    const { id } = await admin.call('createSubject', { body: { username: 'keyed' } })
    const passkey = {
      id: 'cred-1',
      subject: id as SubjectId,
      publicKey: new Uint8Array(8),
      counter: 0,
      transports: [],
      name: 'A key',
      createdAt: 1,
    }
    await authority.store.transact((tx) => tx.subjects.addPasskey(passkey))
    const params = { id, passkey: 'cred-1' }
    return {
      remove: (by, given) => by.call('deletePasskey', { params, ...given }),
      unknown: 'unknown_passkey',
      event: 'passkey.removed',
    }
  },
}

interface Removal {
  remove(by: AdminClient, given?: { idempotencyKey?: string }): Promise<unknown>
  readonly unknown: string
  readonly event: string
}

for (const engine of ['sqlite', 'postgres'] as const)
  describe(`on ${engine}, a removal`, { skip: engine === 'postgres' && 'skip' in server ? server.skip : false }, () => {
    let world: AdminWorld
    before(async () => {
      if (engine === 'sqlite' || 'skip' in server) world = await startAdminWorld()
      else
        world = await startAdminWorld({
          store: await openPostgresStore({ url: await server.freshDatabase(), surroundings: realSurroundings() }),
        })
    })
    after(async () => {
      await world.authority.close()
      if (engine === 'postgres') await world.authority.store.close()
    })

    for (const [what, make] of Object.entries(REMOVALS))
      test(`of a ${what} may be asked for again by whoever had no answer, and by nobody else`, async () => {
        const { remove, unknown, event } = await make(world)
        const first = { idempotencyKey: `remove-${what}` }
        await Promise.all([1, 2, 3].map(() => remove(world.admin, first)))
        await remove(world.admin, first)
        assert.equal((await world.events(event)).length, 1)
        await assert.rejects(remove(world.admin), refusedWith(404, unknown))
        await assert.rejects(remove(await world.as('signet:admin'), first), refusedWith(404, unknown))
        const another = world.admin.call('deleteClient', { params: { id: 'another' }, ...first })
        await assert.rejects(another, refusedWith(409, 'idempotency_key_reused'))
      })

    test('that was refused is not remembered as done', async () => {
      const again = () => world.admin.call('deleteClient', { params: { id: 'later' }, idempotencyKey: 'too-soon' })
      await assert.rejects(again(), refusedWith(404, 'unknown_client'))
      const body = { ...JOB, id: 'later' }
      await world.admin.call('createClient', { body })
      await again()
      assert.equal(await world.authority.store.clients.find('later' as never), undefined)
    })

    test('that is asked for again leaves a client alone that has the id by now', async () => {
      const body = { ...JOB, id: 'phoenix' }
      const remove = () => world.admin.call('deleteClient', { params: { id: 'phoenix' }, idempotencyKey: 'once' })
      await world.admin.call('createClient', { body })
      await remove()
      await world.admin.call('createClient', { body })
      await remove()
      assert.ok(await world.authority.store.clients.find('phoenix' as never))
    })
  })
