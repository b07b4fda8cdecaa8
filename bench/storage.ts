/**
 * The store under rotations: what grouping commits brings on SQLite, what one row per family brings on PostgreSQL against a row per refresh
 * token, and what a family weighs on disk.
 */
import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import { openPostgresStore } from '@signet/authority/store/postgres.ts'
import { openSqliteStore } from '@signet/authority/store/sqlite.ts'
import type { Store } from '@signet/authority/store/store.ts'
import { realSurroundings } from '@signet/authority/surroundings.ts'
import { startPostgres } from '@signet/testkit/postgres.ts'
import pg from 'pg'
import { type Benchmark, oursAtMost, type Pace, type Row, ratioAtLeast } from './benchmark.ts'
import { createRotator, makeFamilies } from './families.ts'
import { createSuccessorTable } from './peers/successor-table.ts'
import { comparison, interleave, ratePerSecondAsync } from './rounds.ts'

const surroundings = realSurroundings()

export const benchmark: Benchmark = async ({ pace, scratch }) => {
  const rows = await onSqlite(pace, scratch)
  const postgres = await startPostgres()
  if ('skip' in postgres) {
    console.log(`  PostgreSQL is left out: ${postgres.skip}`)
    return rows
  }
  try {
    rows.push(...(await onPostgres(pace, postgres)))
  } finally {
    await postgres.stop()
  }
  return rows
}

async function onSqlite(pace: Pace, scratch: string): Promise<Row[]> {
  const path = join(scratch, 'rotations.db')
  const store = await openSqliteStore({ path, surroundings })
  const rotate = createRotator(store, await makeFamilies(store, pace.quick ? 5_000 : 50_000))
  try {
    const turns = await interleave(
      {
        grouped: (turnMs) => ratePerSecondAsync(rotate, turnMs, 128),
        single: (turnMs) => ratePerSecondAsync(rotate, turnMs, 1),
      },
      pace,
    )
    return [
      comparison(
        {
          name: 'S1 rotations on SQLite FULL, 128 in flight against one at a time',
          unit: '/s',
          target: ratioAtLeast(8),
          note: 'each with its audit event, acknowledged when durable',
        },
        turns.grouped,
        turns.single,
      ),
      await sqliteSize(pace, scratch),
    ]
  } finally {
    await store.close()
  }
}

async function sqliteSize(pace: Pace, scratch: string): Promise<Row> {
  const path = join(scratch, 'size.db')
  const sizeWith = async (families: number) => {
    const store = await openSqliteStore({ path, surroundings })
    await makeFamilies(store, families)
    await store.close() // Brings the log into the file.
    return (await stat(path)).size
  }
  const count = pace.quick ? 20_000 : 200_000
  const empty = await sizeWith(0)
  const bytes = ((await sizeWith(count)) - empty) / count
  return { name: 'S4 bytes per refresh family, SQLite', ours: bytes, target: oursAtMost(160), unit: 'B', rounds: 1 }
}

async function onPostgres(pace: Pace, postgres: { freshDatabase(): Promise<string> }): Promise<Row[]> {
  const url = await postgres.freshDatabase()
  const store = await openPostgresStore({ url, surroundings })
  const peer = await createSuccessorTable(await postgres.freshDatabase())
  try {
    const size = await postgresSize(pace, store, url)
    const rotate = createRotator(store, await makeFamilies(store, 5_000))
    const turns = await interleave(
      {
        ours: (turnMs) => ratePerSecondAsync(rotate, turnMs, 32),
        statements: (turnMs) => ratePerSecondAsync(peer.rotate, turnMs, 32),
      },
      pace,
    )
    return [
      comparison(
        {
          name: 'S2 rotations on PostgreSQL at 32 in flight, against five statements',
          unit: '/s',
          target: ratioAtLeast(10),
          note: 'the five: read by hash, mark, insert successor, outbox row, audit row, in one transaction, over 8 connections',
        },
        turns.ours,
        turns.statements,
      ),
      size,
    ]
  } finally {
    await peer.close()
    await store.close()
  }
}

async function postgresSize(pace: Pace, store: Store, url: string): Promise<Row> {
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  try {
    const size = async () => Number((await client.query('SELECT pg_database_size(current_database()) AS size')).rows[0].size)
    const count = pace.quick ? 20_000 : 100_000
    const empty = await size()
    await makeFamilies(store, count)
    const bytes = ((await size()) - empty) / count
    return { name: 'S4 bytes per refresh family, PostgreSQL', ours: bytes, target: oursAtMost(260), unit: 'B', rounds: 1 }
  } finally {
    await client.end()
  }
}
