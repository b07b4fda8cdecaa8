import assert from 'node:assert/strict'
import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, it } from 'node:test'
import { createFile, makeDirectory, replaceFile } from './private-file.ts'

const directory = await mkdtemp(join(tmpdir(), 'signet-private-file-'))
after(() => rm(directory, { recursive: true }))
const path = join(directory, 'key')

it('is not there before it is whole, and whoever was there first stays', async () => {
  const half = Promise.withResolvers<void>()
  const slow = createFile(path, async (file) => {
    await file.write('ha')
    await half.promise
    await file.write('lf')
  })
  await assert.rejects(stat(path), /ENOENT/)
  assert.equal(await createFile(path, (file) => file.writeFile('whole')), true)
  half.resolve()
  assert.equal(await slow, false)
  assert.equal(await readFile(path, 'utf8'), 'whole')
  assert.deepEqual(await readdir(directory), ['key'])
})

it('stays as it was when writing another fails', async () => {
  const fail = replaceFile(path, async (file) => {
    await file.write('torn')
    throw new Error('the disk is full')
  })
  await assert.rejects(fail, /disk is full/)
  assert.equal(await readFile(path, 'utf8'), 'whole')
  await replaceFile(path, (file) => file.writeFile('next'))
  assert.equal(await readFile(path, 'utf8'), 'next')
  assert.deepEqual(await readdir(directory), ['key'])
})

it('a directory is made with what is missing above it, for its owner alone', async () => {
  const deep = join(directory, 'a/b/c')
  makeDirectory(deep)
  makeDirectory(deep)
  for (const each of [deep, join(directory, 'a')]) assert.equal((await stat(each)).mode & 0o777, 0o700)
  await writeFile(join(directory, 'file'), '')
  for (const never of ['file', 'file/x']) assert.throws(() => makeDirectory(join(directory, never)), /cannot be made/)
})
