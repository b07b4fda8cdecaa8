/** Small memories that refuse a second time: replays, attempts, repeated requests. */
import type { IdempotencyTransitions, ReplayTransitions, ThrottleTransitions } from '../ports/guards.ts'
import type { Gathering, Value, Work } from './sql.ts'

export function replayTransitions(work: Work): ReplayTransitions {
  return { remember: (key, expiresAt) => work.gather(remembrance, { key, expiresAt }) }
}

interface Remembered {
  readonly key: Uint8Array
  readonly expiresAt: number
}

// What has expired but was not purged yet counts as forgotten.
const remembrance: Gathering<Remembered, boolean> = {
  name: 'replay.remember',
  key: ({ key }) => hex(key),
  async one(work, { key, expiresAt }) {
    const written = await work.write(
      `insert into replay (key, expires_at) values ($1, $2)
       on conflict (key) do update set expires_at = excluded.expires_at where replay.expires_at < $3`,
      [key, expiresAt, nowAt(work)],
    )
    return written === 1
  },
  async many(work, items) {
    const rows = await work.writeRows(
      `insert into replay (key, expires_at) select * from unnest($1::bytea[], $2::bigint[])
       on conflict (key) do update set expires_at = excluded.expires_at where replay.expires_at < $3 returning key`,
      [items.map(({ key }) => key), items.map(({ expiresAt }) => expiresAt), nowAt(work)],
    )
    const won = new Set(rows.map((row) => hex(work.dialect.readBytes(row.key))))
    return items.map(({ key }) => won.has(hex(key)))
  },
}

const hex = (bytes: Uint8Array): string => (bytes as Uint8Array & { toHex(): string }).toHex()
const nowAt = (work: Work): number => Math.floor(work.nowMs / 1000)

export function throttleTransitions(work: Work): ThrottleTransitions {
  return {
    async take(key, limit) {
      const each = Math.max(1, Math.ceil(limit.intervalMs))
      const interval = each * (limit.count ?? 1)
      // GCRA: `tat` is when the bucket is full again. A token may be taken while that lies at most a burst ahead.
      const values: Value[] = [key, work.nowMs, interval, each * Math.max(1, Math.floor(limit.burst))]
      const larger = work.dialect.larger
      const rows = await work.writeRows(
        `insert into throttle (key, tat_ms) values ($1, cast($2 as bigint) + cast($3 as bigint))
         on conflict (key) do update set tat_ms = ${larger}(throttle.tat_ms, $2) + $3
         where ${larger}(throttle.tat_ms, $2) + $3 - $2 <= $4 returning tat_ms`,
        values,
      )
      if (rows.length === 1) return { allowed: true, retryAfterMs: 0 }
      const full = (await work.readOne('select tat_ms from throttle where key = $1', [key]))?.tat_ms as number
      return { allowed: false, retryAfterMs: Math.max(1, full + interval - (values[3] as number) - work.nowMs) }
    },
    async clear(key) {
      await work.write('delete from throttle where key = $1', [key])
    },
  }
}

export function idempotencyTransitions(work: Work): IdempotencyTransitions {
  return {
    async find(key) {
      const text = 'select answer from idempotency where key = $1 and expires_at > $2'
      return (await work.readOne(text, [key, nowAt(work)]))?.answer as string | undefined
    },
    async put(key, answer, expiresAt) {
      const written = await work.write(
        `insert into idempotency (key, answer, expires_at) values ($1, $2, $3) on conflict (key) do update
         set answer = excluded.answer, expires_at = excluded.expires_at where idempotency.expires_at <= $4`,
        [key, answer, expiresAt, nowAt(work)],
      )
      // Somebody with the same key was first: run again and find his answer.
      if (written === 0) work.again()
    },
  }
}
