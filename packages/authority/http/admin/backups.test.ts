import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { startPostgres } from '@signet/testkit/postgres.ts'
import { openPostgresStore } from '../../store/postgres.ts'
import { realSurroundings } from '../../surroundings.ts'
import { refusedWith, startAdminWorld } from './admin.testkit.ts'

const server = await startPostgres()
after(() => ('skip' in server ? undefined : server.stop()))

test('PostgreSQL is asked for no copy and for no list of copies: its own tools make them', {
  skip: 'skip' in server && server.skip,
}, async () => {
  if ('skip' in server) return
  const store = await openPostgresStore({ url: await server.freshDatabase(), surroundings: realSurroundings() })
  const { admin, authority } = await startAdminWorld({ store })
  try {
    await assert.rejects(admin.call('listBackups'), refusedWith(409, 'backup_not_here'))
    await assert.rejects(admin.stream('startBackup', { body: {} }).next(), refusedWith(409, 'backup_not_here'))
  } finally {
    await authority.close()
    await store.close()
  }
})

test('there are no backups before one is made', async () => {
  const { admin, authority } = await startAdminWorld()
  try {
    assert.deepEqual(await admin.call('listBackups'), { items: [] })
  } finally {
    await authority.close()
  }
})
