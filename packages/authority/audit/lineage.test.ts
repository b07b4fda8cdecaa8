import assert from 'node:assert/strict'
import { test } from 'node:test'
import { newId } from '@signet/kernel/ids.ts'
import { manualSurroundings } from '@signet/testkit/surroundings.ts'
import { openSqliteStore } from '../store/sqlite.ts'
import { type AuditDetail, type AuditEventType, type AuditIds, audited } from './events.ts'
import { type LineageNode, lineage } from './lineage.ts'

const issuer = 'https://id.example'
const GUARD_MS = 2000

/** A subject with two sign-ins, and a way to write what happens. */
async function world() {
  const surroundings = manualSurroundings('lineage', 1_800_000_000_000)
  const { clock, chance } = surroundings
  const store = await openSqliteStore({ path: ':memory:', surroundings })
  const names = new Map<string, string>()
  const id = (name: string) => {
    const made = newId<string>(clock.now(), chance)
    names.set(made, name)
    return made
  }
  const write = async (type: AuditEventType, ids: AuditIds, detail: AuditDetail = {}) => {
    clock.advance(1000)
    await store.transact(async (tx) => tx.audit(audited(clock, chance, type, 'system', ids, detail)))
  }
  const revoke = (ids: AuditIds, detail: AuditDetail = {}) =>
    write('revocation.made', ids, { cutoff_ms: clock.now() + 1000 + GUARD_MS, ...detail })
  const signIn = async (name: string, of: AuditIds) => {
    clock.advance(60_000)
    const ids = { ...of, session: id(`session ${name}`), device: id(`device ${name}`) }
    await write('signin.succeeded', ids)
    const family = { ...ids, client: 'web-app', family: id(`family ${name}`) }
    await write('code.issued', family, { scope: ['api:read', 'api:write'] })
    let n = 0
    const token = async (type: AuditEventType = 'token.refreshed', more: AuditIds = {}) => {
      clock.advance(300_000)
      const one = { ...family, token: id(`token ${name}${++n}`), ...more }
      await write(type, one)
      return one
    }
    return { ids, family, token, first: await token('token.issued') }
  }
  /** A tree in a line: names, an exclamation mark for what has ended, children in brackets. */
  const shape = (node: LineageNode): string => {
    const below = node.children.map(shape).join(', ')
    return `${names.get(node.id) ?? node.id}${node.ended ? '!' : ''}${below === '' ? '' : ` [${below}]`}`
  }
  const tree = async (of: string | undefined) => {
    const found = await lineage(store, of ?? '', { issuer })
    assert.ok(found?.complete)
    return shape(found.root)
  }
  const subject = id('subject')
  return { store, clock, id, write, revoke, signIn, tree, subject, shape }
}

test('of a token, the tree is its whole grant, with the line up to sign-in and subject and nothing beside it', async () => {
  const { signIn, tree, subject, store } = await world()
  const one = await signIn('a', { subject })
  const second = await one.token()
  const other = await signIn('b', { subject })
  await other.token()
  const whole = 'subject [session a [family a [token a1, token a2]]]'
  assert.equal(await tree(one.first.token), whole)
  assert.equal(await tree(second.token), whole)
  assert.equal(await tree(one.family.family), whole)
  assert.equal(await tree(one.ids.session), whole)
  assert.equal(
    await tree(subject),
    'subject [session a [family a [token a1, token a2]], session b [family b [token b1, token b2]]]',
  )
  const found = await lineage(store, second.token ?? '')
  const session = found?.root.children[0]
  assert.deepEqual(
    session?.events.map((event) => event.type),
    ['signin.succeeded'],
  )
  assert.deepEqual(
    session?.children[0]?.children[1]?.events.map((event) => event.type),
    ['token.refreshed'],
  )
  assert.equal(found?.kind, 'token')
})

test('an id that the record does not know has no lineage', async () => {
  const { store, id, signIn, subject } = await world()
  await signIn('a', { subject })
  assert.equal(await lineage(store, id('never used')), undefined)
  assert.equal(await lineage(store, 'web-app'), undefined)
  assert.equal(await lineage(store, ''), undefined)
})

test('every revocation shows on what it ended, and on nothing issued after it', async () => {
  const targets = ['token', 'family', 'session', 'device', 'subject', 'client', 'key', 'issuer', 'scope'] as const
  const expected = {
    token: 'subject [session a [family a [token a1!, token a2]]]',
    family: 'subject [session a [family a! [token a1!, token a2]]]',
    session: 'subject [session a! [family a! [token a1!, token a2]]]',
    device: 'subject [session a! [family a! [token a1!, token a2]]]',
    subject: 'subject! [session a! [family a! [token a1!, token a2]]]',
    client: 'subject [session a [family a! [token a1!, token a2]]]',
    key: 'subject [session a [family a [token a1!, token a2]]]',
    issuer: 'subject [session a! [family a! [token a1!, token a2]]]',
    scope: 'subject [session a [family a [token a1!, token a2]]]',
  }
  for (const target of targets) {
    const { signIn, tree, subject, revoke } = await world()
    const one = await signIn('a', { subject, key: 'kid-1' } as AuditIds)
    const ids = { ...one.first, issuer, scope: 'api:write' }
    await revoke(
      { [target]: ids[target as keyof typeof ids] },
      { kind: target, ...(target === 'scope' && { keeps_grants: true }) },
    )
    await one.token()
    assert.equal(await tree(one.first.token), expected[target], target)
  }
})

test('revocations of others, and of another issuer, show on nothing of ours', async () => {
  const { signIn, tree, subject, revoke, id } = await world()
  const one = await signIn('a', { subject })
  const other = await signIn('b', { subject: id('somebody else') })
  await revoke({ subject: other.first.subject })
  await revoke({ family: other.family.family })
  await revoke({ issuer: 'https://other.example' }, { kind: 'issuer' })
  await revoke({ issuer: 'https://other.example' }, { kind: 'subject', key: 'digest' })
  assert.equal(await tree(one.first.token), 'subject [session a [family a [token a1]]]')
})

test('a claims epoch and a suspension end tokens and leave the grant; an undone revocation ended nothing', async () => {
  const { signIn, tree, subject, revoke, write, store } = await world()
  const one = await signIn('a', { subject })
  await revoke({ subject }, { keeps_grants: true })
  await one.token()
  await write('suspension.made', { session: one.ids.session })
  await write('suspension.lifted', { session: one.ids.session })
  await one.token()
  assert.equal(await tree(subject), 'subject [session a [family a [token a1!, token a2!, token a3]]]')
  await revoke({ client: 'web-app' })
  assert.equal(await tree(subject), 'subject [session a [family a! [token a1!, token a2!, token a3!]]]')
  await write('admin.revocation_undone', { client: 'web-app' })
  assert.equal(await tree(subject), 'subject [session a [family a [token a1!, token a2!, token a3]]]')
  const types = (await lineage(store, one.first.token ?? ''))?.root.children[0]?.events.map((event) => event.type)
  assert.deepEqual(types, ['signin.succeeded', 'suspension.made', 'suspension.lifted'])
})

test('a restore ended every sign-in before it', async () => {
  const { signIn, tree, subject, write, clock } = await world()
  const one = await signIn('a', { subject })
  await write('store.restored', {}, { cutoff_ms: clock.now() + GUARD_MS })
  await signIn('b', { subject })
  assert.equal(await tree(subject), 'subject [session a! [family a! [token a1!]], session b [family b [token b1]]]')
  assert.equal(await tree(one.first.token), 'subject [session a! [family a! [token a1!]]]')
})

test('derived tokens hang below their parents, and the whole tree is found from any of them', async () => {
  const { signIn, tree, subject, write, id, revoke } = await world()
  const one = await signIn('a', { subject })
  const child = id('child')
  await write('token.issued', { subject, client: 'agent', token: child, parent: one.first.token })
  const grandchild = id('grandchild')
  await write('token.issued', { subject, client: 'agent', token: grandchild, parent: child })
  const whole = 'subject [session a [family a [token a1 [child [grandchild]]]]]'
  for (const known of [grandchild, child, one.first.token, one.family.family]) assert.equal(await tree(known), whole)
  await revoke({ token: child })
  assert.equal(await tree(grandchild), 'subject [session a [family a [token a1 [child! [grandchild!]]]]]')
})

test('an API key and its heir, a year later', async () => {
  const { tree, write, id, clock } = await world()
  const [old, heir] = [id('old key'), id('new key')]
  await write('apikey.issued', { client: 'batch', token: old })
  clock.advance(365 * 86_400_000)
  await write('apikey.replaced', { client: 'batch', token: old, heir })
  assert.equal(await tree(old), 'old key [new key]')
  assert.equal(await tree(heir), 'old key [new key]')
})

test('a tree larger than the limits is cut and says so', async () => {
  const { store, signIn, subject } = await world()
  const one = await signIn('a', { subject })
  for (let n = 0; n < 30; n++) await one.token()
  const few = await lineage(store, subject, { limits: { batches: 10, lookups: 500 } })
  assert.equal(few?.complete, false)
  assert.ok(few?.root)
  const shallow = await lineage(store, one.first.token ?? '', { limits: { batches: 20_000, lookups: 3 } })
  assert.equal(shallow?.complete, false)
  assert.equal((await lineage(store, subject))?.complete, true)
})

test('events that name each other in a circle still make a tree', async () => {
  const { store, write, id } = await world()
  const [one, other] = [id('one'), id('other')]
  await write('token.issued', { token: one, parent: other })
  await write('token.issued', { token: other, parent: one })
  const found = await lineage(store, one)
  assert.ok(found)
})
