import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { test } from 'node:test'
import { joinEvents, splitEvents } from '@signet/kernel/audit-entry.ts'
import { idTimeMs, isUuidV7 } from '@signet/kernel/ids.ts'
import { encodeOpaque, type OpaqueKind, PREFIXES } from '@signet/kernel/opaque-token.ts'
import { manualClock, seededChance } from '@signet/testkit/surroundings.ts'
import fc from 'fast-check'
import { AUDIT_EVENT_TYPES, AUDIT_ID_ROLES, type AuditDetail, type AuditIds, audited } from './events.ts'

const clock = manualClock(1_800_000_000_000)
const chance = seededChance('events')
const made = (ids: AuditIds, detail?: AuditDetail) => audited(clock, chance, 'token.issued', 'client:web-app', ids, detail)

test('an event says when, what, who and whom, and leaves out what is undefined', () => {
  const event = made({ subject: 's', session: undefined }, { scope: ['read'], seconds: 300, bound: false, acr: undefined })
  assert.ok(isUuidV7(event.id) && idTimeMs(event.id) === event.atMs)
  assert.deepEqual(
    { ...event, id: '' },
    {
      id: '',
      atMs: 1_800_000_000_000,
      type: 'token.issued',
      actor: 'client:web-app',
      ids: { subject: 's' },
      detail: { scope: ['read'], seconds: 300, bound: false },
    },
  )
  assert.ok(!('detail' in made({}, { acr: undefined })))
})

test('whatever a request put there, values are short and printable and the batch can be split again', () => {
  const anything = fc.oneof(
    fc.string({ unit: 'binary', maxLength: 400 }),
    fc.string({ unit: 'grapheme', maxLength: 20 }),
    fc.constant(',\n'.repeat(200)),
  )
  fc.assert(
    fc.property(fc.array(fc.tuple(anything, anything), { minLength: 1, maxLength: 5 }), (values) => {
      const events = values.map(([id, value]) => JSON.stringify(made({ client: id }, { reason: value, list: [value, id] })))
      assert.deepEqual(splitEvents(joinEvents(events)), events)
      for (const text of events) {
        const { ids, detail } = JSON.parse(text) as { ids: { client: string }; detail: { reason: string } }
        for (const value of [ids.client, detail.reason]) {
          assert.ok(value.length <= 256)
          assert.ok(value.isWellFormed())
          assert.doesNotMatch(value, /[\p{Cc}\u2028\u2029\u202e]/u)
        }
      }
    }),
    { numRuns: 50 },
  )
})

test('no token gets into the record, wherever it stands', () => {
  const kinds = fc.constantFrom(...(Object.keys(PREFIXES) as OpaqueKind[]))
  const opaque = fc
    .tuple(kinds, fc.uint8Array({ minLength: 32, maxLength: 60 }))
    .map(([kind, payload]) => encodeOpaque(kind, payload))
  const part = fc.uint8Array({ minLength: 20, maxLength: 200 }).map((bytes) => Buffer.from(bytes).toString('base64url'))
  const jws = fc
    .tuple(fc.constantFrom('eyJhbGciOiJFUzI1NiJ9', 'eyJ0eXAiOiJhdCtqd3QifQ'), part, part)
    .map((parts) => parts.join('.'))
  fc.assert(
    fc.property(fc.oneof(opaque, jws), fc.string({ maxLength: 300 }), fc.string({ maxLength: 300 }), (token, before, after) => {
      const text = JSON.stringify(made({ client: before + token + after }, { reason: `${before} ${token}`, list: [token] }))
      assert.ok(!text.includes(token))
      assert.ok(!text.includes(token.slice(0, 40)))
    }),
  )
})

test('a list is cut, and a number that JSON lacks is written out', () => {
  const { detail = {} } = made({}, { list: new Array<string>(100).fill('x'), rate: Number.NaN })
  assert.equal((detail.list as string[]).length, 64)
  assert.equal(detail.rate, 'NaN')
})

test('docs/audit-events.md names every event type and every id, and no other', async () => {
  const page = await readFile(new URL('../../../docs/audit-events.md', import.meta.url), 'utf8')
  const firstColumn = (heading: string) => {
    const section = page.split(`## ${heading}\n`)[1]?.split('\n## ')[0] ?? ''
    return [...section.matchAll(/^\| `([^`]+)`/gm)].map(([, name]) => name)
  }
  assert.deepEqual(firstColumn('Types').sort(), [...AUDIT_EVENT_TYPES, 'admin.*'].sort())
  assert.deepEqual(firstColumn('Ids').sort(), [...AUDIT_ID_ROLES].sort())
})
