import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { Form, parseForm } from './form.ts'

const form = (text: string): Form => {
  const parsed = parseForm(text)
  assert.ok(parsed instanceof Form, String(parsed))
  return parsed
}

describe('a form', () => {
  it('is read with escapes and plus signs undone', () => {
    const parsed = form('scope=a+b&redirect_uri=https%3A%2F%2Fapp.example%2Fcb%3Fx%3D1&name=%C3%A9')
    assert.equal(parsed.get('scope'), 'a b')
    assert.equal(parsed.get('redirect_uri'), 'https://app.example/cb?x=1')
    assert.equal(parsed.get('name'), 'é')
  })

  it('takes an empty parameter for an absent one', () => {
    assert.equal(form('scope=&state').get('scope'), undefined)
    assert.equal(form('scope=&state').get('state'), undefined)
    assert.equal(form('').get('scope'), undefined)
  })

  it('lets only resource come several times', () => {
    assert.deepEqual(form('resource=a&resource=b').resources, ['a', 'b'])
    for (const text of ['scope=a&scope=b', 'scope=a&scope=a', 'scope=&scope=a', 'unknown=1&unknown=2', 'sc%6fpe=a&scope=b'])
      assert.equal(parseForm(text), 'repeated_parameter', text)
  })

  it('refuses what is not a form', () => {
    for (const text of ['a=%', 'a=%zz', 'a=%ff', '%c0%80=a', 'a=b c', 'a=é', 'a=b\r\nc: d', '{"a":1, "b":2}'])
      assert.equal(parseForm(text), 'malformed_form', text)
  })

  it('refuses control characters, escaped too', () => {
    for (const text of ['a=%00', 'a=x%0d%0aSet-Cookie:%20a', 'a=%7f', 'a%0a=b', 'a=%C2%85'])
      assert.equal(parseForm(text), 'control_character', text)
  })

  it('is bounded in its parameters', () => {
    const many = Array.from({ length: 65 }, (_, n) => `p${n}=1`).join('&')
    assert.equal(parseForm(many), 'too_many_parameters')
    assert.equal(parseForm(Array.from({ length: 65 }, () => 'resource=a').join('&')), 'too_many_parameters')
  })

  it('is not fooled by names that objects have', () => {
    const parsed = form('__proto__=1&constructor=2')
    assert.equal(parsed.get('__proto__'), '1')
    assert.equal(parsed.get('toString'), undefined)
  })

  it('reads what URLSearchParams writes', () => {
    const text = fc.string({ unit: 'grapheme', maxLength: 20 }).filter((s) => s.isWellFormed() && !/\p{Cc}/u.test(s))
    fc.assert(
      fc.property(fc.uniqueArray(fc.tuple(text, text), { maxLength: 8, selector: ([name]) => name }), (pairs) => {
        const kept = pairs.filter(([name]) => name !== 'resource')
        const parsed = form(new URLSearchParams(kept).toString())
        for (const [name, value] of kept) assert.equal(parsed.get(name), value === '' ? undefined : value)
      }),
      { numRuns: 200 },
    )
  })
})
