import type {
  DeviceLookups,
  DeviceRecord,
  DeviceTransitions,
  SessionLookups,
  SessionRecord,
  SessionTransitions,
} from '../ports/sessions.ts'
import { bytes, id, integer, json, standing, table, text } from './columns.ts'
import { uuidPageOf } from './page.ts'
import type { Sql, Work } from './sql.ts'
import { changeStanding } from './standing.ts'

const sessions = table<SessionRecord>('sessions', {
  id: ['id', id],
  ...standing,
  subject: ['subject', id],
  device: ['device', id],
  secretHash: ['secret_hash', bytes],
  createdAtMs: ['created_at_ms', integer],
  authAt: ['auth_at', integer],
  acr: ['acr', text],
  amr: ['amr', json],
  idleExpiresAt: ['idle_expires_at', integer],
  expiresAt: ['expires_at', integer],
})

const devices = table<DeviceRecord>('devices', {
  id: ['id', id],
  ...standing,
  subject: ['subject', id],
  secretHash: ['secret_hash', bytes],
  name: ['name', text],
  createdAt: ['created_at', integer],
  lastSeenAt: ['last_seen_at', integer],
})

export function sessionLookups(sql: Sql): SessionLookups {
  const { dialect } = sql
  return {
    async find(session) {
      const row = await sql.readOne(`select ${sessions.columns} from sessions where id = $1`, [dialect.id(session)])
      return row && sessions.read(row, dialect)
    },
    async ofSubject(subject, page) {
      const { after, limit } = uuidPageOf(page)
      const text = `select ${sessions.columns} from sessions where subject = $1 and id > $2 order by id limit $3`
      return (await sql.read(text, [dialect.id(subject), dialect.id(after), limit])).map((row) => sessions.read(row, dialect))
    },
  }
}

export function sessionTransitions(work: Work): SessionTransitions {
  const { dialect } = work
  return {
    async create(session) {
      await work.write(sessions.insert, sessions.values(session, dialect))
    },
    async reauthenticate(session, proof) {
      const values = [dialect.id(session), proof.authAt, proof.acr, JSON.stringify(proof.amr), proof.secretHash]
      const text = 'update sessions set auth_at = $2, acr = $3, amr = $4, secret_hash = $5 where id = $1 and status = 0'
      return (await work.write(text, values)) === 1
    },
    async touch(session, idleExpiresAt) {
      const values = [dialect.id(session), idleExpiresAt]
      return (await work.write('update sessions set idle_expires_at = $2 where id = $1 and status = 0', values)) === 1
    },
    changeStanding: (session, change) =>
      changeStanding(work, { table: 'sessions', key: dialect.id(session), hasRevoked: true }, change),
  }
}

export function deviceLookups(sql: Sql): DeviceLookups {
  const { dialect } = sql
  return {
    async find(device) {
      const row = await sql.readOne(`select ${devices.columns} from devices where id = $1`, [dialect.id(device)])
      return row && devices.read(row, dialect)
    },
    async ofSubject(subject, page) {
      const { after, limit } = uuidPageOf(page)
      const text = `select ${devices.columns} from devices where subject = $1 and id > $2 order by id limit $3`
      return (await sql.read(text, [dialect.id(subject), dialect.id(after), limit])).map((row) => devices.read(row, dialect))
    },
  }
}

export function deviceTransitions(work: Work): DeviceTransitions {
  const { dialect } = work
  return {
    async create(device) {
      await work.write(devices.insert, devices.values(device, dialect))
    },
    async touch(device, lastSeenAt) {
      return (await work.write('update devices set last_seen_at = $2 where id = $1', [dialect.id(device), lastSeenAt])) === 1
    },
    changeStanding: (device, change) =>
      changeStanding(work, { table: 'devices', key: dialect.id(device), hasRevoked: true }, change),
  }
}
