import type { SubjectId } from '@signet/kernel/ids.ts'
import {
  MAX_PASSKEYS,
  type PasskeyRecord,
  type SubjectLookups,
  type SubjectRecord,
  type SubjectTransitions,
} from '../ports/subjects.ts'
import { bytes, id, integer, json, standing, table, text } from './columns.ts'
import { uuidPageOf } from './page.ts'
import type { Sql, Work } from './sql.ts'
import { changeStanding, withdraw } from './standing.ts'

const subjects = table<SubjectRecord>('subjects', {
  id: ['id', id],
  ...standing,
  username: ['username', text],
  passwordHash: ['password_hash', text],
  claims: ['claims', json],
  roles: ['roles', json],
  createdAt: ['created_at', integer],
})

const passkeys = table<PasskeyRecord>('passkeys', {
  id: ['id', text],
  subject: ['subject', id],
  publicKey: ['public_key', bytes],
  counter: ['counter', integer],
  transports: ['transports', json],
  name: ['name', text],
  createdAt: ['created_at', integer],
  lastUsedAt: ['last_used_at', integer],
})

/** Passkeys that are read of one subject. Stores of an earlier program may hold more than may be added today. */
const MAX_LISTED = 100

export function subjectLookups(sql: Sql): SubjectLookups {
  const { dialect } = sql
  return {
    async find(subject) {
      const row = await sql.readOne(`select ${subjects.columns} from subjects where id = $1`, [dialect.id(subject)])
      return row && subjects.read(row, dialect)
    },
    async findByUsername(username) {
      const row = await sql.readOne(`select ${subjects.columns} from subjects where username = $1`, [username])
      return row && subjects.read(row, dialect)
    },
    async list(page) {
      const { after, limit } = uuidPageOf(page)
      const text = `select ${subjects.columns} from subjects where id > $1 order by id limit $2`
      return (await sql.read(text, [dialect.id(after), limit])).map((row) => subjects.read(row, dialect))
    },
    async count() {
      return (await sql.readOne('select count(*) as n from subjects', []))?.n as number
    },
    async passkeys(subject) {
      const text = `select ${passkeys.columns} from passkeys where subject = $1 order by created_at, id limit ${MAX_LISTED}`
      return (await sql.read(text, [dialect.id(subject)])).map((row) => passkeys.read(row, dialect))
    },
    async passkey(credentialId) {
      const row = await sql.readOne(`select ${passkeys.columns} from passkeys where id = $1`, [credentialId])
      return row && passkeys.read(row, dialect)
    },
  }
}

export function subjectTransitions(work: Work): SubjectTransitions {
  const { dialect } = work
  /** What is decided about a person is decided one thing after another, also within one transaction. */
  const hold = (subject: SubjectId) => work.hold(`subject ${subject}`)
  return {
    find: subjectLookups(work).find,
    passkeys: subjectLookups(work).passkeys,
    async create(subject) {
      return (await work.write(`${subjects.insert} on conflict do nothing`, subjects.values(subject, dialect))) === 1
    },
    async update(subject, before) {
      await hold(subject.id)
      const changing = (record: SubjectRecord) => [record.username, JSON.stringify(record.claims), JSON.stringify(record.roles)]
      const written = await work.write(
        `update subjects set username = $2, claims = $3, roles = $4
         where id = $1 and not exists (select 1 from subjects as other where other.username = $2 and other.id <> $1)
         ${before === undefined ? '' : 'and username = $5 and claims = $6 and roles = $7'}`,
        [dialect.id(subject.id), ...changing(subject), ...(before === undefined ? [] : changing(before))],
      )
      return written === 1
    },
    async setPassword(subject, passwordHash) {
      await hold(subject)
      const values = [dialect.id(subject), passwordHash ?? null]
      return (await work.write('update subjects set password_hash = $2 where id = $1', values)) === 1
    },
    async changeStanding(subject, change) {
      await hold(subject)
      return changeStanding(work, { table: 'subjects', key: dialect.id(subject), hasRevoked: true }, change)
    },
    async withdraw(subject, made, before) {
      await hold(subject)
      return withdraw(work, 'subjects', dialect.id(subject), made, before)
    },
    async delete(subject) {
      await hold(subject)
      const key = dialect.id(subject)
      // Sessions and families end with their subject's standing, which is gone now; their rows go when they expire.
      await work.write('delete from passkeys where subject = $1', [key])
      await work.write('delete from consents where subject = $1', [key])
      await work.write('delete from devices where subject = $1', [key])
      return (await work.write('delete from subjects where id = $1', [key])) === 1
    },
    async addPasskey(passkey) {
      await hold(passkey.subject)
      const subject = dialect.id(passkey.subject)
      // Changes nothing but holds the row, so that of two nodes that add at once the second counts what the first added.
      if ((await work.write('update subjects set status = status where id = $1', [subject])) === 0) return 'no_subject'
      const held = await work.readOne('select count(*) as n from passkeys where subject = $1', [subject])
      if ((held?.n as number) >= MAX_PASSKEYS) return 'too_many'
      const written = await work.write(`${passkeys.insert} on conflict do nothing`, passkeys.values(passkey, dialect))
      return written === 1 ? 'added' : 'taken'
    },
    async usePasskey(id, counter, usedAt) {
      // WebAuthn §6.1.1: an authenticator that counts must count up; one that always says 0 does not count.
      const written = await work.write(
        `update passkeys set counter = $2, last_used_at = $3
         where id = $1 and ($2 > counter or ($2 = 0 and counter = 0))`,
        [id, counter, usedAt],
      )
      return written === 1
    },
    async deletePasskey(subject, id) {
      await hold(subject)
      return (await work.write('delete from passkeys where subject = $1 and id = $2', [dialect.id(subject), id])) === 1
    },
  }
}
