import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { manualClock } from '@signet/testkit/surroundings.ts'
import fc from 'fast-check'
import { calculateJwkThumbprint } from 'jose'
import { DpopNonces, nonceMac, normaliseHtu, type ProofExpectation, ReplayCache, verifyDpopProof } from './dpop.ts'
import { ath, chance, dpopKey } from './issuer.testkit.ts'
import { thumbprint } from './jwk.ts'

const NOW = Date.UTC(2027, 0, 15, 12)
const key = dpopKey()
const expected: ProofExpectation = { method: 'POST', url: 'https://id.example/token', nowMs: NOW }
const claims = { htm: 'POST', htu: 'https://id.example/token', iat: NOW / 1000 }

function fault(proof: string | string[] | undefined, more: Partial<ProofExpectation> = {}): string {
  const ruling = verifyDpopProof(proof, { ...expected, ...more })
  return ruling.ok ? 'ok' : ruling.fault
}

describe('a proof', () => {
  test('of every algorithm is taken, with the thumbprint that jose makes', async () => {
    for (const alg of ['ES256', 'EdDSA', 'RS256', 'PS256'] as const) {
      const own = dpopKey(alg)
      const ruling = verifyDpopProof(own.proof(claims), expected)
      assert.ok(ruling.ok, alg)
      assert.equal(ruling.proof.jkt, await calculateJwkThumbprint(own.jwk))
      assert.equal(thumbprint(own.jwk), ruling.proof.jkt)
      assert.equal(fault(own.proof(claims), { jkt: own.jkt }), 'ok')
      assert.equal(fault(own.proof(claims), { jkt: key.jkt }), 'wrong_key')
    }
  })

  test('is refused for each thing RFC 9449 §4.3 asks for that it lacks', () => {
    const p = key.proof
    assert.equal(fault(p(claims)), 'ok')
    assert.equal(fault(undefined), 'missing')
    assert.equal(fault(''), 'missing')
    assert.equal(fault([p(claims), p(claims)]), 'malformed')
    assert.equal(fault(`${p(claims)}, ${p(claims)}`), 'malformed')
    assert.equal(fault('a.b'), 'malformed')
    assert.equal(fault(p({ ...claims, padding: 'x'.repeat(4096) })), 'malformed')
    for (const name of ['jti', 'htm', 'htu', 'iat']) assert.equal(fault(p({ ...claims, [name]: undefined })), 'malformed', name)
    assert.equal(fault(p({ ...claims, jti: 'x'.repeat(257) })), 'malformed')
    assert.equal(fault(p({ ...claims, nonce: 5 })), 'malformed')
    assert.equal(fault(p(claims, { typ: 'JWT' })), 'wrong_type')
    assert.equal(fault(p(claims, { typ: undefined })), 'wrong_type')
    assert.equal(fault(p(claims, { alg: 'none' })), 'unsupported_algorithm')
    assert.equal(fault(p(claims, { alg: 'HS256' })), 'unsupported_algorithm')
    assert.equal(fault(p(claims, { alg: 'ES384' })), 'unsupported_algorithm')
    assert.equal(fault(p(claims, { crit: ['x'], x: 1 })), 'malformed')
    assert.equal(fault(p(claims, { jwk: undefined })), 'bad_key')
    assert.equal(fault(p(claims, { jwk: { kty: 'oct', k: 'AAAA' } })), 'bad_key')
    assert.equal(fault(p(claims, { jwk: { ...key.jwk, x: 'AAAA' } })), 'bad_key')
    assert.equal(fault(p(claims, { jwk: key.key.privateKey.export({ format: 'jwk' }) })), 'bad_key')
    assert.equal(fault(p(claims, { jwk: dpopKey().jwk })), 'bad_signature')
    assert.equal(fault(p(claims, { jwk: dpopKey('EdDSA').jwk })), 'bad_key')
    assert.equal(fault(p(claims), { method: 'GET' }), 'wrong_method')
    assert.equal(fault(p({ ...claims, htm: 'post' })), 'wrong_method')
    assert.equal(fault(p({ ...claims, htu: 'https://id.example/tokens' })), 'wrong_url')
    assert.equal(fault(p({ ...claims, htu: 'http://id.example/token' })), 'wrong_url')
    assert.equal(fault(p({ ...claims, htu: '/token' })), 'wrong_url')
  })

  test('is taken as long as it is neither too old nor from the time to come', () => {
    const at = (seconds: number) => fault(key.proof({ ...claims, iat: NOW / 1000 + seconds }))
    assert.equal(at(-89), 'ok')
    assert.equal(at(-90), 'too_old')
    assert.equal(at(30), 'ok')
    assert.equal(at(31), 'too_early')
    const ruling = verifyDpopProof(key.proof(claims), expected)
    assert.ok(ruling.ok)
    assert.equal(ruling.proof.usableUntilMs, NOW + 90_000, 'remembered exactly as long as it is taken')
    assert.equal(fault(key.proof(claims), { nowMs: ruling.proof.usableUntilMs }), 'too_old')
    assert.equal(fault(key.proof(claims), { nowMs: ruling.proof.usableUntilMs - 1 }), 'ok')
  })

  test('goes with the token whose hash it carries, where there is one', () => {
    const accessToken = 'a.b.c'
    assert.equal(fault(key.proof({ ...claims, ath: ath(accessToken) }), { accessToken }), 'ok')
    assert.equal(fault(key.proof({ ...claims, ath: ath('d') }), { accessToken }), 'wrong_token')
    assert.equal(fault(key.proof(claims), { accessToken }), 'wrong_token')
    assert.equal(fault(key.proof({ ...claims, ath: ath('d') })), 'ok')
  })

  test('has a replay key of its own: the same jti of another key is another proof', () => {
    const other = dpopKey()
    const replayKey = (proof: string): string => {
      const ruling = verifyDpopProof(proof, expected)
      assert.ok(ruling.ok)
      return Buffer.from(ruling.proof.replayKey).toString('hex')
    }
    assert.equal(replayKey(key.proof({ ...claims, jti: 'a' })), replayKey(key.proof({ ...claims, jti: 'a', extra: 1 })))
    assert.notEqual(replayKey(key.proof({ ...claims, jti: 'a' })), replayKey(other.proof({ ...claims, jti: 'a' })))
    assert.notEqual(replayKey(key.proof({ ...claims, jti: 'a' })), replayKey(key.proof({ ...claims, jti: 'b' })))
  })

  test('of any kind of nonsense is refused, never thrown at', () => {
    fc.assert(
      fc.property(fc.object(), fc.object(), (header, payload) => {
        assert.notEqual(fault(key.proof(payload, header)), undefined)
      }),
    )
    fc.assert(fc.property(fc.string({ unit: 'binary' }), (text) => assert.notEqual(fault(text), 'ok')))
  })
})

test('URLs compare by what they mean, without query and fragment', () => {
  const same = [
    'https://api.example/a/b',
    'HTTPS://API.EXAMPLE/a/b',
    'https://api.example:443/a/b',
    'https://api.example/a/b?c=d#e',
    'https://api.example/a/./x/../b',
    'https://api.example/%61/b',
  ]
  for (const url of same) assert.equal(normaliseHtu(url), 'https://api.example/a/b', url)
  assert.equal(normaliseHtu('https://api.example/%2f'), normaliseHtu('https://api.example/%2F'))
  assert.notEqual(normaliseHtu('https://api.example/%2F'), normaliseHtu('https://api.example//'))
  assert.notEqual(normaliseHtu('https://api.example/a'), normaliseHtu('https://api.example/a/'))
  for (const url of ['', 'x', 'ftp://a/b', 'https://user@api.example/a', 'javascript:1'])
    assert.equal(normaliseHtu(url), undefined)
})

describe('nonces', () => {
  const secret = chance.bytes(32)
  const make = (clock = manualClock(NOW), macs = [nonceMac(secret)]) => new DpopNonces({ clock, macs: () => macs })

  test('are good in their own slot and the next, wherever the key is known', () => {
    const clock = manualClock(NOW)
    const nonces = make(clock)
    const nonce = nonces.current()
    assert.equal(nonces.current(), nonce)
    assert.equal(make(clock).verify(nonce)?.usableUntilMs, NOW + 120_000)
    clock.advance(119_999)
    assert.ok(nonces.verify(nonce))
    assert.notEqual(nonces.current(), nonce)
    clock.advance(1)
    assert.equal(nonces.verify(nonce), undefined)
  })

  test('of another key, or of nobody, are none', () => {
    const nonces = make()
    assert.equal(nonces.verify(make(manualClock(NOW), [nonceMac(chance.bytes(32))]).current()), undefined)
    fc.assert(fc.property(fc.base64String(), (text) => assert.equal(nonces.verify(text), undefined)))
    assert.throws(() => nonceMac(new Uint8Array(8)), RangeError)
  })

  test('of the key before count until that is dropped', () => {
    const before = make().current()
    const next = nonceMac(chance.bytes(32))
    const both = make(manualClock(NOW), [next, nonceMac(secret)])
    assert.ok(both.verify(before))
    assert.notEqual(both.current(), before)
    assert.equal(make(manualClock(NOW), [next]).verify(before), undefined)
  })

  test('date a proof better than a clock that is wrong, and end it', () => {
    const clock = manualClock(NOW)
    const nonces = make(clock)
    const wrongClock = { ...claims, iat: NOW / 1000 - 86_400 }
    assert.equal(fault(key.proof(wrongClock), { nonces }), 'use_nonce')
    assert.equal(fault(key.proof({ ...claims, nonce: 'AAAA' }), { nonces }), 'use_nonce')
    const proof = key.proof({ ...wrongClock, nonce: nonces.current() })
    const ruling = verifyDpopProof(proof, { ...expected, nonces })
    assert.ok(ruling.ok)
    clock.advance(ruling.proof.usableUntilMs - NOW)
    assert.equal(fault(proof, { nonces }), 'use_nonce')
  })
})

describe('the memory of proofs', () => {
  const proof = (n: number, jkt = 'a', usableUntilMs = NOW + 60_000) => {
    return { replayKey: new Uint8Array(32).fill(n), jkt, usableUntilMs }
  }

  test('says fresh once, until the proof is over', () => {
    const clock = manualClock(NOW)
    const cache = new ReplayCache({ clock })
    assert.equal(cache.remember(proof(1)), 'fresh')
    assert.equal(cache.remember(proof(1)), 'replayed')
    clock.advance(59_999)
    assert.equal(cache.remember(proof(1)), 'replayed')
    clock.advance(20_000)
    assert.equal(cache.remember(proof(2, 'a', clock.now() + 60_000)), 'fresh')
    assert.equal(cache.size, 1)
  })

  test('refuses new proofs when it is full rather than forget one that could still be used', () => {
    const clock = manualClock(NOW)
    const cache = new ReplayCache({ clock, capacity: 4, perKeyCapacity: 4 })
    for (let n = 0; n < 4; n++) assert.equal(cache.remember(proof(n)), 'fresh')
    assert.equal(cache.remember(proof(4)), 'full')
    for (let n = 0; n < 4; n++) assert.equal(cache.remember(proof(n)), 'replayed')
    clock.advance(80_000)
    assert.equal(cache.remember(proof(5, 'a', clock.now() + 60_000)), 'fresh')
  })

  test('lets no key take the places of the others', () => {
    const cache = new ReplayCache({ clock: manualClock(NOW), capacity: 100, perKeyCapacity: 10 })
    for (let n = 0; n < 10; n++) assert.equal(cache.remember(proof(n, 'greedy')), 'fresh')
    assert.equal(cache.remember(proof(10, 'greedy')), 'full')
    assert.equal(cache.remember(proof(11, 'modest')), 'fresh')
  })

  test('never lets a live proof pass twice, whatever comes in between', () => {
    const event = fc.record({ n: fc.nat(20), life: fc.integer({ min: 1, max: 200_000 }), pass: fc.nat(30_000) })
    fc.assert(
      fc.property(fc.array(event, { maxLength: 100 }), (events) => {
        const clock = manualClock(NOW)
        const cache = new ReplayCache({ clock, capacity: 8, perKeyCapacity: 6 })
        const until = new Map<number, number>()
        for (const { n, life, pass } of events) {
          // A proof has one end: by its nonce or by its iat.
          const usableUntilMs = until.get(n) ?? clock.now() + life
          const isLive = clock.now() < usableUntilMs
          if (isLive) {
            const answer = cache.remember(proof(n, n % 2 ? 'odd' : 'even', usableUntilMs))
            if (until.has(n)) assert.equal(answer, 'replayed')
            if (answer === 'fresh') until.set(n, usableUntilMs)
          } else until.delete(n)
          clock.advance(pass)
        }
        assert.ok(cache.size <= 8)
      }),
    )
  })
})
