import assert from 'node:assert/strict'
import { argon2Sync } from 'node:crypto'
import { test } from 'node:test'
import { Fault } from '@signet/kernel/errors.ts'
import { Secret } from '@signet/kernel/secret.ts'
import { realSurroundings } from '../surroundings.ts'
import { COST, createPasswords, formatPhc, parsePhc } from './password.ts'
import { judgePassword } from './password-rules.ts'
import { normalizeUsername } from './username.ts'

const { chance } = realSurroundings()
const cheap = { memory: 64, passes: 1, lanes: 1 }

test('a password verifies against its own hash and no other does', async () => {
  const passwords = createPasswords(chance)
  const stored = await passwords.hash(new Secret('four grey herons'))
  assert.match(stored, /^\$argon2id\$v=19\$m=19456,t=2,p=1\$[A-Za-z0-9+/]{22}\$[A-Za-z0-9+/]{43}$/)
  assert.deepEqual(await passwords.verify(new Secret('four grey herons'), stored), { genuine: true, outdated: false })
  assert.deepEqual(await passwords.verify(new Secret('four grey heronz'), stored), { genuine: false, outdated: false })
  assert.notEqual(await passwords.hash(new Secret('four grey herons')), stored)
})

test('a hash that argon2 made elsewhere verifies', async () => {
  const salt = chance.bytes(16)
  const tag = argon2Sync('argon2id', {
    message: 'from elsewhere',
    nonce: salt,
    parallelism: 2,
    tagLength: 32,
    memory: 1024,
    passes: 3,
  })
  const stored = formatPhc({ cost: { memory: 1024, passes: 3, lanes: 2 }, salt, tag })
  assert.equal((await createPasswords(chance).verify(new Secret('from elsewhere'), stored)).genuine, true)
})

test('one text in two Unicode spellings is one password', async () => {
  const passwords = createPasswords(chance, cheap)
  const stored = await passwords.hash(new Secret('zwölf café ﬁsche'))
  assert.equal((await passwords.verify(new Secret('zwo\u0308lf cafe\u0301 fische'), stored)).genuine, true)
})

test('a hash made with less than the present cost says that it is outdated', async () => {
  const stored = await createPasswords(chance, cheap).hash(new Secret('older than that'))
  const now = createPasswords(chance, { ...cheap, memory: 128 })
  assert.deepEqual(await now.verify(new Secret('older than that'), stored), { genuine: true, outdated: true })
  assert.deepEqual(await now.verify(new Secret('something else'), stored), { genuine: false, outdated: false })
})

test('an account without a password takes the same work and is never genuine', async () => {
  const passwords = createPasswords(chance)
  const stored = await passwords.hash(new Secret('four grey herons'))
  const spent = async (hash: string | undefined) => {
    const from = process.cpuUsage() // Of all its threads, and however long they had to wait for a turn.
    assert.equal((await passwords.verify(new Secret('anything at all'), hash)).genuine, false)
    const { user, system } = process.cpuUsage(from)
    return user + system
  }
  const known: number[] = []
  const unknown: number[] = []
  for (let i = 0; i < 7; i++) {
    known.push(await spent(stored))
    unknown.push(await spent(undefined))
  }
  // The least of each: whatever else the machine does only ever adds.
  const ratio = Math.min(...unknown) / Math.min(...known)
  assert.ok(ratio > 0.5 && ratio < 2, `ratio ${ratio}`)
})

test('beyond two running and 64 waiting, hashing says that it is overloaded', async () => {
  const passwords = createPasswords(chance, cheap)
  const settled = await Promise.allSettled(Array.from({ length: 80 }, () => passwords.hash(new Secret('four grey herons'))))
  const refused = settled.filter((one) => one.status === 'rejected')
  assert.equal(refused.length, 80 - 66)
  assert.ok(refused.every((one) => one.reason instanceof Fault && one.reason.code === 'overloaded'))
  await passwords.hash(new Secret('room again'))
})

test('a stored string that is not argon2id within bounds is nobody’s password', async () => {
  const good = formatPhc({ cost: COST, salt: new Uint8Array(16), tag: new Uint8Array(32) })
  assert.ok(parsePhc(good))
  for (const bad of [
    '',
    'plain',
    good.replace('argon2id', 'argon2i'),
    good.replace('v=19', 'v=16'),
    good.replace('m=19456', 'm=9999999'),
    good.replace('t=2', 't=99'),
    good.replace('p=1', 'p=0'),
    `${good}\n`,
    `${good}$x`,
  ]) {
    assert.equal(parsePhc(bad), undefined, bad)
  }
  assert.equal((await createPasswords(chance, cheap).verify(new Secret(''), 'plain')).genuine, false)
})

test('passwords that everybody tries are refused in any dressing, others are not', () => {
  const common = [
    'password123',
    'P@ssw0rd2024!',
    'qwertyuiop',
    '1234567890',
    '0987654321',
    'aaaaaaaaaa',
    'abcabcabcabc',
    '!!Welcome123!!',
    'Iloveyou2025',
    '1q2w3e4r5t6y',
    'correcthorsebatterystaple',
    '2024football!',
    'Signet-2026!',
  ]
  for (const text of common) assert.equal(judgePassword(text, 'nobody'), 'too_common', text)
  for (const text of ['four grey herons', 'qzvkwnpxtr', 'Grünes Tal am Morgen', 'xK9#mQ2$vL7', '密码是一个很长的句子吗不是']) {
    assert.equal(judgePassword(text, 'nobody'), undefined, text)
  }
})

test('length counts characters, and a password may not hold the user’s name', () => {
  assert.equal(judgePassword('short one', 'nobody'), 'too_short')
  assert.equal(judgePassword('🦆🦢🦩🐧🦉🦅🦚🦜🐦', 'nobody'), 'too_short')
  assert.equal(judgePassword('🦆🦢🦩🐧🦉🦅🦚🦜🐦🦃', 'nobody'), undefined)
  assert.equal(judgePassword('long '.repeat(52), 'nobody'), 'too_long')
  assert.equal(judgePassword('ﷺ'.repeat(200), 'nobody'), 'too_long')
  assert.equal(judgePassword('my-Margarete-is-it', 'margarete'), 'contains_username')
  assert.equal(judgePassword('margarete on the moor', 'margarete@example.org'), 'contains_username')
  assert.equal(judgePassword('an old boat', 'al'), undefined)
})

test('usernames are one whatever their case and spelling; what cannot be one is refused', () => {
  assert.equal(normalizeUsername('  Ada@Example.ORG '), 'ada@example.org')
  assert.equal(normalizeUsername('Zoe\u0308'), 'zoë')
  for (const bad of ['', ' ', 'a b', 'a\u0000b', '<b>', 'a'.repeat(129), '\u202eada', '-x', 'ada\nx']) {
    assert.equal(normalizeUsername(bad), undefined, JSON.stringify(bad))
  }
})
