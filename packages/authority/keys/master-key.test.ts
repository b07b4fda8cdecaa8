import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { chmod, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { inspect } from 'node:util'
import fc from 'fast-check'
import { loadMasterKey, MASTER_KEY_BYTES, MasterKey, MasterKeyError } from './master-key.ts'

const chance = { bytes: (count: number) => new Uint8Array(randomBytes(count)) }
const home = await mkdtemp(join(tmpdir(), 'signet-master-'))
after(() => rm(home, { recursive: true }))
const load = (over: { file?: string; env?: string; create?: boolean }) => loadMasterKey({ create: false, chance, ...over })
const posix = { skip: process.platform === 'win32' ? 'file modes are a POSIX matter' : false }

test('a file is made with owner-only permissions and read again', posix, async () => {
  const file = join(home, 'made', 'master.key')
  const first = await load({ file, create: true })
  assert.equal((await stat(file)).mode & 0o777, 0o600)
  assert.equal((await stat(join(home, 'made'))).mode & 0o777, 0o700)
  assert.deepEqual(await readdir(join(home, 'made')), ['master.key'], 'no draft stays behind')
  const second = await load({ file })
  assert.deepEqual(second.open(first.seal(new Uint8Array([1, 2, 3]), 'c'), 'c'), Buffer.from([1, 2, 3]))
})

test('of many that make it at once, all use the same', async () => {
  const file = join(home, 'raced', 'master.key')
  const [first, ...others] = await Promise.all(Array.from({ length: 5 }, () => load({ file, create: true })))
  assert.ok(first)
  const sealed = first.seal(new Uint8Array([1]), 'c')
  for (const other of others) assert.ok(other.open(sealed, 'c'))
})

test('a file that others may read or write is refused, with the way out', posix, async () => {
  const file = join(home, 'wide.key')
  await writeFile(file, `${Buffer.alloc(32, 1).toString('base64url')}\n`)
  for (const mode of [0o640, 0o604, 0o620, 0o666]) {
    await chmod(file, mode)
    await assert.rejects(load({ file }), (error) => error instanceof MasterKeyError && error.message.includes('chmod 600'))
  }
  await chmod(file, 0o400)
  await load({ file })
})

test('a missing, torn or malformed key is refused in words that name the source and not the key', async () => {
  const file = join(home, 'torn.key')
  await assert.rejects(load({ file: join(home, 'none') }), /does not exist/)
  await assert.rejects(load({}), MasterKeyError)
  for (const text of [
    '',
    'x',
    Buffer.alloc(31, 1).toString('base64url'),
    Buffer.alloc(33, 1).toString('base64url'),
    Buffer.alloc(32, 255).toString('base64'),
  ]) {
    await writeFile(file, text, { mode: 0o600 })
    const refused = (error: unknown) => error instanceof MasterKeyError && (text.length < 2 || !error.message.includes(text))
    await assert.rejects(load({ file, create: true }), refused)
    await assert.rejects(load({ env: text, file, create: true }), refused)
    assert.equal(await readFile(file, 'utf8'), text, 'what is there is never replaced')
  }
})

test('the environment goes before the file', async () => {
  const bytes = new Uint8Array(32).fill(8)
  const key = await load({ env: Buffer.from(bytes).toString('base64url'), file: join(home, 'none') })
  assert.ok(new MasterKey(bytes, chance).open(key.seal(new Uint8Array(1), 'c'), 'c'))
})

test('what was sealed opens with the same key and context alone, and not with a bit changed', () => {
  const bytes = fc.uint8Array({ minLength: MASTER_KEY_BYTES, maxLength: MASTER_KEY_BYTES })
  fc.assert(
    fc.property(
      bytes,
      bytes,
      fc.uint8Array({ maxLength: 200 }),
      fc.string(),
      fc.string(),
      fc.nat(),
      (one, other, plain, context, elsewhere, bit) => {
        const master = new MasterKey(one, chance)
        const sealed = master.seal(plain, context)
        assert.deepEqual(master.open(sealed, context), Buffer.from(plain))
        if (elsewhere !== context) assert.equal(master.open(sealed, elsewhere), undefined)
        if (Buffer.compare(one, other) !== 0) assert.equal(new MasterKey(other, chance).open(sealed, context), undefined)
        const at = bit % (sealed.length * 8)
        const flipped = Uint8Array.from(sealed)
        flipped[at >> 3] = (flipped[at >> 3] as number) ^ (1 << (at & 7))
        assert.equal(master.open(flipped, context), undefined)
        assert.equal(master.open(sealed.subarray(0, sealed.length - 1), context), undefined)
      },
    ),
  )
})

test('a master key does not show its bytes', () => {
  const bytes = new Uint8Array(32).fill(0xab)
  const key = new MasterKey(bytes, chance)
  for (const shown of [inspect(key, { depth: 9, showHidden: true }), JSON.stringify(key), String(key)]) {
    assert.ok(!/ab ?ab|q6ur|171/i.test(shown), shown)
  }
})
