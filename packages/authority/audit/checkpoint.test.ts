import assert from 'node:assert/strict'
import { createPublicKey, verify } from 'node:crypto'
import { test } from 'node:test'
import { manualSurroundings } from '@signet/testkit/surroundings.ts'
import { openKeyRing } from '../keys/key-ring.ts'
import { MasterKey } from '../keys/master-key.ts'
import { defaultSettings } from '../policy/settings.ts'
import { openSqliteStore } from '../store/sqlite.ts'
import { isFirst, makeCheckpoint, noteHash, noteKeys, verifierKey, verifyCheckpoint } from './checkpoint.ts'
import { auditReport } from './verify.ts'

async function world() {
  const surroundings = manualSurroundings('checkpoint', 1_800_000_000_000)
  const { clock, chance } = surroundings
  const store = await openSqliteStore({ path: ':memory:', surroundings })
  const master = new MasterKey(new Uint8Array(32), chance)
  const keys = await openKeyRing({ store, master, clock, chance, settings: defaultSettings })
  const make = async (issuer = 'https://id.example') => {
    const note = await makeCheckpoint({ store, keys, issuer, chance })
    assert.ok(note)
    return note
  }
  return { store, keys, clock, chance, make }
}

test('a checkpoint ties the heads of all chains and the checkpoint before', async () => {
  const { store, keys, make } = await world()
  const heads = (await store.audit.chains()).map(({ chain, index, hash }) => ({ chain, index, hash: Buffer.from(hash) }))
  const first = await make()
  const second = await make()
  const verdict = verifyCheckpoint(first, noteKeys(keys))
  assert.equal(verdict.kind, 'genuine')
  if (verdict.kind !== 'genuine') return
  assert.deepEqual([verdict.checkpoint.number, verdict.checkpoint.issuer], [1, 'https://id.example'])
  assert.ok(isFirst(verdict.checkpoint))
  assert.deepEqual(verdict.checkpoint.heads, heads)
  const next = verifyCheckpoint(second, noteKeys(keys))
  assert.ok(next.kind === 'genuine')
  assert.equal(next.checkpoint.number, 2)
  assert.deepEqual(next.checkpoint.previous, noteHash(first))
  assert.ok((await auditReport(store.audit, keys)).sound)
})

test('someone without Signet can check it by the C2SP rules alone', async () => {
  const { keys, make } = await world()
  const note = await make('https://id.example/tenant/')
  const key = keys.publicKey(keys.signer('audit').id)?.key
  assert.ok(key)
  const [, name, id, material] = /^([^+]+)\+([0-9a-f]{8})\+(.+)$/.exec(verifierKey('https://id.example/tenant/', key)) ?? []
  assert.equal(name, 'id.example/tenant/audit')
  const raw = Buffer.from(material ?? '', 'base64')
  assert.deepEqual([raw.length, raw[0]], [33, 1])
  const text = note.slice(0, note.lastIndexOf('\n\n') + 1)
  const [dash, signer, signature] = note
    .slice(text.length + 1)
    .trimEnd()
    .split(' ')
  assert.deepEqual([dash, signer], ['—', name])
  const bytes = Buffer.from(signature ?? '', 'base64')
  assert.equal(bytes.subarray(0, 4).toString('hex'), id)
  const publicKey = createPublicKey({
    key: { kty: 'OKP', crv: 'Ed25519', x: raw.subarray(1).toString('base64url') },
    format: 'jwk',
  })
  assert.ok(verify(null, Buffer.from(text), publicKey, bytes.subarray(4)))
})

test('a note with any one character changed, added or left out is not genuine', async () => {
  const { keys, make } = await world()
  const note = await make()
  const known = noteKeys(keys)
  for (let at = 0; at < note.length; at++) {
    for (const changed of [
      note.slice(0, at) + (note[at] === '1' ? '2' : '1') + note.slice(at + 1),
      note.slice(0, at) + note.slice(at + 1),
      `${note.slice(0, at)}0${note.slice(at)}`,
    ]) {
      if (changed !== note) assert.notEqual(verifyCheckpoint(changed, known).kind, 'genuine', JSON.stringify(changed))
    }
  }
  for (const text of ['', '\n\n', 'x\n\n— a b\n', note.repeat(2), '\n'.repeat(2_000_000)])
    assert.notEqual(verifyCheckpoint(text, known).kind, 'genuine')
})

test('signatures of witnesses beside ours are passed over', async () => {
  const { keys, make } = await world()
  const note = await make()
  const witness = `— witness.example ${Buffer.alloc(68, 7).toString('base64')}\n`
  assert.equal(verifyCheckpoint(note + witness, noteKeys(keys)).kind, 'genuine')
  const [text] = note.split('\n— ')
  assert.equal(verifyCheckpoint(`${text}\n${witness}`, noteKeys(keys)).kind, 'unsigned')
})

test('notes stay good after their key has retired, and count as distrusted after it was compromised', async () => {
  const { store, keys, clock, make } = await world()
  await make()
  const first = keys.signer('audit').id
  await keys.rotate('audit', 'operator:ada', { force: true })
  clock.advance(86_400_000)
  await keys.tick()
  assert.equal(keys.publicKey(first)?.state, 'retired')
  await make()
  const sound = await auditReport(store.audit, keys)
  assert.deepEqual([sound.sound, sound.checkpoints, sound.distrusted], [true, 2, 0])
  await store.transact((tx) => keys.markCompromised(tx, keys.signer('audit').id))
  await keys.refresh()
  const after = await auditReport(store.audit, keys)
  assert.deepEqual([after.sound, after.checkpoints, after.distrusted], [true, 2, 1])
})

test('of nodes that make a checkpoint at once, one does', async () => {
  const { store, keys, chance } = await world()
  const made = await Promise.all(
    Array.from({ length: 5 }, () => makeCheckpoint({ store, keys, issuer: 'https://id.example', chance })),
  )
  assert.equal(made.filter((note) => note !== undefined).length, 1)
  assert.ok((await auditReport(store.audit, keys)).sound)
})

test('a checkpoint goes on from the last that can be read', async () => {
  const { store, keys, clock, make } = await world()
  const first = await make()
  await store.transact((tx) => tx.meta.addCheckpoint(clock.now(), 'spoilt'))
  const next = verifyCheckpoint(await make(), noteKeys(keys))
  assert.ok(next.kind === 'genuine')
  assert.deepEqual([next.checkpoint.number, next.checkpoint.previous], [2, noteHash(first)])
})
