/** Single-use handles (authorization codes and the like) and sign-ins under way, both known by the hash of a handle. */
import type {
  CodeLookups,
  CodePurpose,
  CodeRecord,
  CodeTransitions,
  InteractionLookups,
  InteractionRecord,
  InteractionTransitions,
} from '../ports/handles.ts'
import { bytes, id, integer, oneOf, table, text } from './columns.ts'
import type { Sql, Work } from './sql.ts'

const PURPOSES: readonly CodePurpose[] = ['authorization_code', 'setup', 'logout']
const purposeCode = oneOf(PURPOSES)

const codes = table<CodeRecord>('codes', {
  hash: ['hash', bytes],
  purpose: ['purpose', purposeCode],
  payload: ['payload', text],
  family: ['family', id],
  expiresAt: ['expires_at', integer],
})
/** JSON of a code, in characters. */
const MAX_CODE_PAYLOAD = 16 * 1024
/** JSON of an interaction, in characters. */
const MAX_INTERACTION_PAYLOAD = 32 * 1024

const OF_CODE = 'hash = $1 and purpose = $2 and expires_at > $3'

export function codeLookups(sql: Sql): CodeLookups {
  const { dialect } = sql
  return {
    async find(hash, purpose, nowAt) {
      const values = [hash, purposeCode.write(purpose, dialect), nowAt]
      const row = await sql.readOne(`select ${codes.columns}, spent from codes where ${OF_CODE}`, values)
      return row && { spent: row.spent === 1, code: codes.read(row, dialect) }
    },
  }
}

export function codeTransitions(work: Work): CodeTransitions {
  const { dialect } = work
  const { find } = codeLookups(work)
  return {
    async create(code) {
      bounded(code.payload, MAX_CODE_PAYLOAD)
      await work.write(codes.insert, codes.values(code, dialect))
    },
    async consume(hash, purpose, nowAt) {
      const values = [hash, purposeCode.write(purpose, dialect), nowAt]
      const spend = `update codes set spent = 1 where ${OF_CODE} and spent = 0 returning ${codes.columns}`
      const [won] = await work.writeRows(spend, values)
      if (won !== undefined) return { outcome: 'won', code: codes.read(won, dialect) }
      // Spent rows stay until they expire, so that a second use is known for what it is.
      const found = await find(hash, purpose, nowAt)
      return found && { outcome: 'spent', code: found.code }
    },
  }
}

const interactions = table<InteractionRecord>('interactions', {
  hash: ['hash', bytes],
  browserHash: ['browser_hash', bytes],
  payload: ['payload', text],
  version: ['version', integer],
  expiresAt: ['expires_at', integer],
})

export function interactionLookups(sql: Sql): InteractionLookups {
  return {
    async find(hash) {
      const row = await sql.readOne(`select ${interactions.columns} from interactions where hash = $1`, [hash])
      return row && interactions.read(row, sql.dialect)
    },
  }
}

export function interactionTransitions(work: Work): InteractionTransitions {
  return {
    async create(interaction) {
      bounded(interaction.payload, MAX_INTERACTION_PAYLOAD)
      await work.write(interactions.insert, interactions.values(interaction, work.dialect))
    },
    async update(hash, version, payload) {
      bounded(payload, MAX_INTERACTION_PAYLOAD)
      const text = 'update interactions set payload = $3, version = version + 1 where hash = $1 and version = $2'
      return (await work.write(text, [hash, version, payload])) === 1
    },
    async finish(hash, version) {
      return (await work.write('delete from interactions where hash = $1 and version = $2', [hash, version])) === 1
    },
  }
}

function bounded(payload: string, most: number): void {
  if (payload.length > most) throw new Error(`a payload of ${payload.length} characters is above the bound of ${most}`)
}
