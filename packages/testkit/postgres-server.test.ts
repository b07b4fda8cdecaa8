import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { after, describe, test } from 'node:test'
import { type PostgresServer, startPostgresServer } from './postgres-server.ts'

describe('a PostgreSQL of our own', () => {
  const families: PostgresServer[] = []
  after(async () => {
    for (const one of families) await one.close()
  })

  for (const listen of ['socket', 'tcp'] as const) {
    test(`has a standby that takes over when it is killed (${listen})`, async () => {
      const primary = await startPostgresServer({ listen })
      families.push(primary)
      await primary.query('create table t (n int)')
      const standby = await primary.addStandby('second')
      await primary.set('synchronous_standby_names', 'second')
      await primary.query('insert into t values (1)')
      await assert.rejects(standby.query('insert into t values (2)'), /read-only/)

      await primary.kill()
      await assert.rejects(primary.query('select 1'))
      await standby.promote()
      await standby.query('insert into t values (2)')
      assert.deepEqual(await standby.query('select n from t order by n'), [{ n: 1 }, { n: 2 }])

      // Its place is taken by a new one, made from the new primary, and the old one comes back as it was.
      const third = await standby.addStandby('third')
      assert.equal((await third.query('select pg_is_in_recovery() as standby'))[0]?.standby, true)
      await primary.start()
      await primary.set('synchronous_standby_names', '').catch(() => undefined)
    })
  }

  test('answers nobody while it is frozen, and goes on where it was', async () => {
    const server = await startPostgresServer()
    families.push(server)
    const { default: pg } = await import('pg')
    const client = new pg.Client({ connectionString: server.url })
    await client.connect()
    server.pause()
    let answered = false
    const asked = client.query('select 1').then(() => {
      answered = true
    })
    await new Promise((resolve) => setTimeout(resolve, 200))
    assert.equal(answered, false)
    server.resume()
    await asked
    await client.end()
  })

  test('leaves nothing behind', async () => {
    const server = await startPostgresServer()
    const socket = decodeURIComponent(server.url.replace(/^.*@/, '').replace(/\/postgres$/, ''))
    assert.ok(existsSync(socket))
    await server.close()
    assert.ok(!existsSync(socket))
  })
})
