import assert from 'node:assert/strict'
import { test } from 'node:test'
import { placeOf, SeenTokens } from './seen-tokens.ts'
import type { SeenToken } from './token.ts'

const seen = (text: string) => ({ text }) as SeenToken

/** Two texts whose ends make the same place: 31 × 'b' + 'a' = 31 × 'a' + '\u0080'. */
const ONE = 'header.payload.1234567ba'
const OTHER = 'header.payload.1234567a\u0080'

test('a token is found by its whole text, not by the end of its signature', () => {
  const tokens = new SeenTokens(8)
  const genuine = seen('header.payload.signature')
  tokens.set(genuine)
  assert.equal(tokens.get('header.payload.signature'), genuine)
  assert.equal(tokens.get('header.forgery.signature'), undefined)
  assert.equal(tokens.get('signature'), undefined)
  assert.equal(tokens.get(''), undefined)
})

test('of two tokens with one place the later is kept, and forgetting the earlier does not take it along', () => {
  assert.equal(placeOf(ONE), placeOf(OTHER))
  const tokens = new SeenTokens(8)
  const [one, other] = [seen(ONE), seen(OTHER)]
  tokens.set(one)
  tokens.set(other)
  assert.equal(tokens.get(ONE), undefined)
  assert.equal(tokens.get(OTHER), other)
  tokens.delete(one)
  assert.equal(tokens.get(OTHER), other)
  tokens.delete(other)
  assert.equal(tokens.get(OTHER), undefined)
  assert.equal(tokens.size, 0)
})

test('no more tokens are kept than there is room for', () => {
  const tokens = new SeenTokens(8)
  for (let i = 0; i < 1000; i++) tokens.set(seen(`header.payload.${i}`))
  assert.ok(tokens.size <= 8)
  assert.ok(tokens.get('header.payload.999'))
})
