import assert from 'node:assert/strict'
import { createHmac } from 'node:crypto'
import { test } from 'node:test'
import { fault } from '@signet/kernel/errors.ts'
import type { LogEntry } from '../store/ports/revocations.ts'
import { realSurroundings } from '../surroundings.ts'
import { createTidings } from './tidings.ts'

const { chance } = realSurroundings()
const ringOf = (secret: string, versions: readonly number[] = [1]) => ({
  ring(version = versions.at(-1) as number) {
    if (!versions.includes(version)) return undefined
    return { version, hmac: (data: Uint8Array) => createHmac('sha256', `${secret}${version}`).update(data).digest() }
  },
})
const entry = (seq: number): LogEntry => ({
  ...{
    seq,
    epoch: 'e',
    atMs: 1000 + seq,
    key: chance.bytes(16),
    cutoffMs: 2000,
    dropAfter: 3000,
    kind: 'subject',
    issuer: 'https://a.example',
  },
  ...{ target: 'somebody@a.example', reason: 'test', actor: 'system', act: 'revoke' },
})

test('what one node seals another opens, as it was, and nobody reads it on the way', () => {
  const [one, other] = [createTidings(ringOf('s'), chance), createTidings(ringOf('s'), chance)]
  for (const entries of [[entry(1)], [entry(2), { ...entry(3), origin: 'west' }]]) {
    const sealed = one.seal(entries) as Uint8Array
    assert.ok(!Buffer.from(sealed).toString('latin1').includes('somebody'))
    assert.deepEqual(
      other.open(sealed)?.map((each) => ({ ...each, key: Buffer.from(each.key) })),
      entries.map((each) => ({ ...each, key: Buffer.from(each.key) })),
    )
  }
})

test('the ring of a sender that has rotated first, or last, is known', () => {
  const [old, both] = [createTidings(ringOf('s', [1]), chance), createTidings(ringOf('s', [1, 2]), chance)]
  assert.equal(both.open(old.seal([entry(1)]) as Uint8Array)?.length, 1)
  assert.equal(old.open(both.seal([entry(1)]) as Uint8Array), undefined)
})

test('whoever has not our keys, or changes a bit, is not believed', () => {
  const one = createTidings(ringOf('s'), chance)
  const sealed = one.seal([entry(1)]) as Uint8Array
  assert.equal(createTidings(ringOf('t'), chance).open(sealed), undefined)
  for (let at = 0; at < sealed.length; at++) {
    const changed = Uint8Array.from(sealed)
    changed[at] = (changed[at] as number) ^ 1
    assert.equal(one.open(changed), undefined, `byte ${at}`)
  }
  for (const bytes of [new Uint8Array(0), sealed.subarray(0, 20), sealed.subarray(0, -1)])
    assert.equal(one.open(bytes), undefined)
})

test('no two messages have a nonce in common, and a large commit does not go along', () => {
  const one = createTidings(ringOf('s'), chance)
  const headers = Array.from({ length: 3 }, () =>
    Buffer.from((one.seal([entry(1)]) as Uint8Array).subarray(0, 29)).toString('hex'),
  )
  assert.equal(new Set(headers).size, 3)
  assert.equal(one.seal(Array.from({ length: 101 }, (_, n) => entry(n))), undefined)
  const sealed = one.seal([entry(1)]) as Uint8Array
  const unsure = () => {
    throw fault('keys_unavailable')
  }
  for (const ring of [() => undefined, unsure]) {
    const without = createTidings({ ring }, chance)
    assert.deepEqual([without.seal([entry(1)]), without.open(sealed)], [undefined, undefined])
  }
})
