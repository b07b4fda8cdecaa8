import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { AccessTokenClaims } from '@signet/kernel/claims.ts'
import { compilePermissions } from './permissions.ts'

const claims = (more: object): AccessTokenClaims => more as AccessTokenClaims
const NOW = 1_800_000_000_000

test('without a map each scope is a permission of its own name, with the default bound', () => {
  const permissions = compilePermissions(undefined, 30)
  const holding = permissions.holding(claims({ scope: 'a b a' }))
  assert.deepEqual(holding.names, ['a', 'b'])
  assert.deepEqual(permissions.bearable(holding, NOW, 30_000), ['a', 'b'])
  assert.deepEqual(permissions.bearable(holding, NOW, 30_001), [])
  assert.deepEqual(permissions.holding(claims({})).names, [])
  assert.doesNotThrow(() => permissions.check('anything'))
})

test('with a map a scope gives exactly what names it, and an unmapped one nothing', () => {
  const permissions = compilePermissions(
    { read: { scopes: ['catalogue', 'admin'] }, write: { scopes: ['admin'], maxStalenessSeconds: 2 }, own: {} },
    30,
  )
  const names = (scope: string) => permissions.holding(claims({ scope })).names
  assert.deepEqual(names('catalogue'), ['read'])
  assert.deepEqual(names('admin'), ['read', 'write'])
  assert.deepEqual(names('own'), ['own'])
  assert.deepEqual(names('read write superuser'), [])
  assert.deepEqual([permissions.tightestMs, permissions.widestMs], [2000, 30_000])
  assert.deepEqual(permissions.scopes, ['catalogue', 'admin', 'own'])
  assert.throws(() => permissions.check('wirte'), /No permission is called 'wirte'. Known: read, write, own/)
  assert.throws(() => permissions.check(['read', 'x']), TypeError)
})

test('permissions shrink one by one as staleness grows', () => {
  const permissions = compilePermissions(
    { a: { maxStalenessSeconds: 1 }, b: { maxStalenessSeconds: 10 }, c: { maxStalenessSeconds: Number.POSITIVE_INFINITY } },
    30,
  )
  const holding = permissions.holding(claims({ scope: 'a b c' }))
  const left = (stalenessMs: number) => permissions.bearable(holding, NOW, stalenessMs).join('')
  assert.deepEqual(
    [left(0), left(1000), left(1001), left(10_001), left(Number.POSITIVE_INFINITY)],
    ['abc', 'abc', 'bc', 'c', 'c'],
  )
  assert.deepEqual(permissions.lack(holding, claims({ scope: 'a b c' }), 'a', NOW, 1001), { kind: 'stale', boundMs: 1000 })
})

test('a permission that asks for a sign-in is held only with it, and only so long after it', () => {
  const permissions = compilePermissions({ pay: { acrValues: ['strong'], maxAgeSeconds: 60 }, see: {} }, 30)
  const names = (more: object) => permissions.holding(claims({ scope: 'pay see', ...more })).names
  assert.deepEqual(names({}), ['see'])
  assert.deepEqual(names({ acr: 'weak', auth_time: NOW / 1000 }), ['see'])
  assert.deepEqual(names({ acr: 'strong' }), ['see'])
  const strong = claims({ scope: 'pay see', acr: 'strong', auth_time: NOW / 1000 })
  const holding = permissions.holding(strong)
  assert.deepEqual(permissions.bearable(holding, NOW + 59_999, 0), ['pay', 'see'])
  assert.deepEqual(permissions.bearable(holding, NOW + 60_000, 0), ['see'])
  assert.deepEqual(permissions.lack(holding, strong, 'pay', NOW + 60_000, 0), {
    kind: 'authentication',
    acrValues: ['strong'],
    maxAgeSeconds: 60,
  })
})
