import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { decodeSegment, parseHeader, parseJws, parseSegment } from './jws.ts'

const json = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString('base64url')

test('a segment decodes exactly when it is canonical base64url', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 40 }), (bytes) => {
      const text = Buffer.from(bytes).toString('base64url')
      assert.deepEqual(new Uint8Array(decodeSegment(text) as Buffer), bytes)
    }),
  )
  const anyText = fc.string({ unit: fc.constantFrom(...'ABCgwQ048-_+/= \n.é~'.split('')), maxLength: 12 })
  fc.assert(
    fc.property(anyText, (text) => {
      const bytes = decodeSegment(text)
      if (bytes !== undefined) assert.equal(bytes.toString('base64url'), text)
    }),
    { numRuns: 2000 },
  )
  for (const bad of ['A', 'AB', 'AAB', 'AA==', 'A+AA', 'A/AA', 'AA A', 'AAAAA', 'A\u0100AA'])
    assert.equal(decodeSegment(bad), undefined, bad)
})

test('a payload is a JSON object or nothing', () => {
  assert.deepEqual(parseSegment(json({ a: 1 })), { a: 1 })
  for (const bad of ['[]', '1', 'null', '"a"', '{', '']) {
    assert.equal(parseSegment(Buffer.from(bad).toString('base64url')), undefined, bad)
  }
})

test('a header with an extension, a wrong shape or an algorithm we lack is refused', () => {
  assert.equal(parseHeader(json({ alg: 'ES256', crit: ['b64'] })), 'malformed')
  assert.equal(parseHeader(json({ alg: 'ES256', crit: [] })), 'malformed')
  assert.equal(parseHeader(json({ alg: 'ES256', kid: 7 })), 'malformed')
  assert.equal(parseHeader(json({ alg: 'ES256', typ: 7 })), 'malformed')
  assert.equal(parseHeader(json({})), 'malformed')
  for (const alg of ['none', 'None', 'HS256', 'HS512', 'RSA-OAEP', 'es256', 'toString', '__proto__', '']) {
    assert.equal(parseHeader(json({ alg })), 'unsupported_algorithm', alg)
  }
})

test('media types compare without case and with or without application/', () => {
  const typ = (value: string) => (parseHeader(json({ alg: 'ES256', typ: value })) as { typ: string }).typ
  assert.equal(typ('at+jwt'), 'at+jwt')
  assert.equal(typ('AT+JWT'), 'at+jwt')
  assert.equal(typ('application/at+jwt'), 'at+jwt')
})

test('what is not three segments is malformed', () => {
  const h = json({ alg: 'ES256' })
  const p = json({ a: 1 })
  const bad = [
    '',
    '.',
    '..',
    `${h}`,
    `${h}.${p}`,
    `${h}.${p}.`,
    `.${p}.AAAA`,
    `${h}..AAAA`,
    `${h}.${p}.AAAA.AAAA`,
    ` ${h}.${p}.AAAA`,
  ]
  for (const text of bad) assert.equal(parseJws(text, 8192), 'malformed', text)
  assert.equal(parseJws(`${h}.${p}.AAAA`, 10), 'malformed')
  assert.equal(typeof parseJws(`${h}.${p}.AAAA`, 8192), 'object')
})

test('any text is answered, never thrown at', () => {
  fc.assert(
    fc.property(fc.oneof(fc.string(), fc.string({ unit: 'binary' })), fc.string(), fc.string(), (a, b, c) => {
      parseJws(a, 8192)
      parseJws(`${a}.${b}.${c}`, 8192)
    }),
  )
})
