import assert from 'node:assert/strict'
import { test } from 'node:test'
import { postgresHosts } from './postgres-hosts.ts'

const urls = (text: string) => {
  const hosts = postgresHosts(text)
  return typeof hosts === 'string' ? hosts : hosts.urls
}

test('one server is itself', () => {
  for (const url of ['postgres://u:p%40@h:5432/d', 'postgresql://h/d?sslmode=require', 'postgres://u@%2Ftmp%2Fs/d'])
    assert.deepEqual(urls(url), [url])
})

test('several servers are tried in their order', () => {
  assert.deepEqual(urls('postgres://u:p,q@a:1,b:2,%2Ftmp%2Fs/d?target_session_attrs=read-write&sslmode=verify-full'), [
    'postgres://u:p,q@a:1/d?sslmode=verify-full',
    'postgres://u:p,q@b:2/d?sslmode=verify-full',
    'postgres://u:p,q@%2Ftmp%2Fs/d?sslmode=verify-full',
  ])
})

test('what will not do is refused, without its password', () => {
  for (const url of [
    'postgres://u:secret@a,,b/d',
    'postgres://u:secret@a,b/d?target_session_attrs=any',
    'postgres://u:secret@a:port/d',
    `postgres://u:secret@${Array(9).fill('a').join(',')}/d`,
    'mysql://u:secret@a/d',
  ]) {
    const said = urls(url)
    assert.equal(typeof said, 'string', url)
    assert.doesNotMatch(said as string, /secret/)
  }
})
