import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { idTimeMs, isUuidV7, newId, uuidV7TimeMs } from './ids.ts'

const chance = fc.uint8Array({ minLength: 16, maxLength: 16 }).map((bytes) => ({ bytes: () => bytes.slice() }))

test('an id says when it was made, in either way of asking', () => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 2 ** 48 - 1 }), chance, (atMs, bytes) => {
      const id = newId<string>(atMs, bytes)
      assert.ok(isUuidV7(id))
      assert.equal(idTimeMs(id), atMs)
      assert.equal(uuidV7TimeMs(id), atMs)
    }),
  )
})

test('both ways agree about what is no UUIDv7', () => {
  const spoilt = fc.tuple(chance, fc.nat(35), fc.constantFrom(...'0789abcfgAF-x é'.split(''))).map(([bytes, at, character]) => {
    const id = newId<string>(1_800_000_000_000, bytes)
    return id.slice(0, at) + character + id.slice(at + 1)
  })
  fc.assert(
    fc.property(fc.oneof(spoilt, fc.uuid(), fc.string()), (text) => assert.equal(uuidV7TimeMs(text) >= 0, isUuidV7(text))),
    { numRuns: 1000 },
  )
})
