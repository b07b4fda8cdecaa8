import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { type ClientId, type FamilyId, newId, type SubjectId } from '@signet/kernel/ids.ts'
import type { PageVisitor } from '@signet/testkit/page-visitor.ts'
import { authorizePath, openSignInWorld, type SignInWorld } from '@signet/testkit/sign-in.ts'
import { parseSessionCookie, type SessionKey } from '../../signin/session.ts'

describe('the account page', () => {
  let world: SignInWorld
  before(async () => {
    world = await openSignInWorld({ seed: 5 })
    await world.addApp()
  })
  after(() => world.close())

  let count = 0
  const person = async () => {
    const username = `person${++count}`
    const subject = await world.addPerson(username, 'four grey herons')
    const arrive = async (userAgent = 'Firefox/140.0 (X11; Linux)') => {
      const who = world.visitor({ userAgent, address: `192.0.2.${count}` })
      const page = await who.submit(await who.open('/account'), { username, password: 'four grey herons' })
      assert.match(page.text, /How you sign in/)
      return { who, page, session: (parseSessionCookie(who.cookies.get('__Host-signet_session')) as SessionKey).id }
    }
    return { username, subject, arrive }
  }
  const isIn = async (who: PageVisitor) => /How you sign in/.test((await who.open('/account')).text)

  test('shows where the person is signed in; removing one device ends it there, and only there', async () => {
    const { arrive } = await person()
    const desk = await arrive()
    const phone = await arrive('Mozilla/5.0 (iPhone; CPU iPhone OS 19_0) Version/19.0 Safari/604.1')
    const page = await desk.who.open('/account')
    assert.match(page.text, /Safari on iPhone/)
    assert.match(page.text, /Firefox on Linux <span class="tag">This browser/)
    const device = (await world.authority.store.sessions.find(phone.session))?.device as string
    const done = await desk.who.submit(page, {}, { at: `/account/devices/${device}/remove` })
    assert.match(done.text, /That device was removed/)
    assert.doesNotMatch(done.text, /Safari on iPhone/)
    assert.equal(await isIn(phone.who), false)
    assert.equal(await isIn(desk.who), true)
    assert.equal((await world.authority.store.devices.find(device as never))?.status, 'revoked')
  })

  test('a removed device that signs in again is a new one', async () => {
    const { arrive, username } = await person()
    const desk = await arrive()
    const before = (await world.authority.store.sessions.find(desk.session))?.device as string
    await desk.who.submit(await desk.who.open('/account'), {}, { at: `/account/devices/${before}/remove` })
    const back = await desk.who.submit(await desk.who.open('/account'), { username, password: 'four grey herons' })
    assert.match(back.text, /How you sign in/)
    const now = (parseSessionCookie(desk.who.cookies.get('__Host-signet_session')) as SessionKey).id
    assert.notEqual((await world.authority.store.sessions.find(now))?.device, before)
  })

  test('another session can be ended from here', async () => {
    const { arrive } = await person()
    const desk = await arrive()
    const phone = await arrive()
    const done = await desk.who.submit(await desk.who.open('/account'), {}, { at: `/account/sessions/${phone.session}/end` })
    assert.match(done.text, /That session has ended/)
    assert.equal(await isIn(phone.who), false)
  })

  test('nobody ends what is somebody else’s', async () => {
    const victim = await (await person()).arrive()
    const attacker = await (await person()).arrive()
    const form = attacker.page.forms.find(({ action }) => action.includes('/devices/'))
    const device = (await world.authority.store.sessions.find(victim.session))?.device
    for (const action of [`/account/sessions/${victim.session}/end`, `/account/devices/${device}/remove`]) {
      await attacker.who.post(action, form?.fields ?? {}, { 'sec-fetch-site': 'same-origin' })
    }
    assert.equal(await isIn(victim.who), true)
  })

  test('an app that was allowed is listed; taking its access back ends its grants and asks again', async () => {
    const { arrive, subject } = await person()
    const { who, session } = await arrive()
    await who.submit(await who.open(authorizePath()), { decision: 'allow' })
    const family = await addFamily(subject.id, session)
    const page = await who.open('/account')
    assert.match(page.text, /Notes Web/)
    const done = await who.submit(page, {}, { at: '/account/apps/notes/remove' })
    assert.match(done.text, /has no access any more/)
    assert.doesNotMatch(done.text, /Notes Web/)
    assert.equal((await world.authority.store.families.find(family))?.family.status, 'revoked')
    assert.match((await who.open(authorizePath())).text, /would like access/)
  })

  test('taking an app’s access back ends every grant, however many there are', async () => {
    const { arrive, subject } = await person()
    const { who, session } = await arrive()
    await who.submit(await who.open(authorizePath()), { decision: 'allow' })
    const families: FamilyId[] = []
    for (let i = 0; i < 2100; i++) families.push(await addFamily(subject.id, session))
    await who.submit(await who.open('/account'), {}, { at: '/account/apps/notes/remove' })
    const found = await Promise.all(families.map((id) => world.authority.store.families.find(id)))
    assert.equal(found.filter((one) => one?.family.status !== 'revoked').length, 0)
  })

  test('changing the password ends every other session and the apps’ grants; this browser goes on', async () => {
    const { arrive, username, subject } = await person()
    const desk = await arrive()
    const phone = await arrive()
    const family = await addFamily(subject.id, phone.session)
    const page = await desk.who.open('/account/password')
    const wrong = await desk.who.submit(page, { password: 'password123', repeated: 'password123' })
    assert.equal(wrong.status, 400)
    const done = await desk.who.submit(page, { password: 'nine small wrens', repeated: 'nine small wrens' })
    assert.match(done.text, /Your password is changed/)
    assert.equal(await isIn(phone.who), false)
    assert.equal(await isIn(desk.who), true)
    const standing = await world.authority.store.families.find(family)
    assert.ok((standing?.subject?.revokedMs ?? 0) >= (standing?.family.createdAtMs ?? 1), 'the grant lies before the cut')
    const old = world.visitor({ address: '198.51.100.77' })
    assert.equal((await old.submit(await old.open('/account'), { username, password: 'four grey herons' })).status, 400)
  })

  test('a change of credentials needs a fresh proof of who it is, and leads back to it', async () => {
    const { arrive, username } = await person()
    const { who } = await arrive()
    world.clock.advance(601_000)
    assert.equal(await isIn(who), true)
    const asked = await who.open('/account/password')
    assert.match(asked.text, /Confirm it’s you/)
    const form = (await who.open('/account')).forms.find(({ action }) => action.includes('/devices/'))
    const late = await who.post(
      '/account/password',
      { ...form?.fields, password: 'nine small wrens', repeated: 'nine small wrens' },
      { 'sec-fetch-site': 'same-origin' },
    )
    assert.match(late.location as string, /^\/signin\//, 'a form that was left open is not enough')
    const page = await who.submit(asked, { username, password: 'four grey herons' })
    assert.match(page.text, /Change your password/)
  })

  test('forms from elsewhere do nothing', async () => {
    const { arrive } = await person()
    const { who, page, session } = await arrive()
    const device = (await world.authority.store.sessions.find(session))?.device
    const fields = page.forms.find(({ action }) => action.includes('/devices/'))?.fields ?? {}
    for (const [values, headers] of [
      [{}, { 'sec-fetch-site': 'same-origin' }],
      [fields, { 'sec-fetch-site': 'cross-site' }],
      [fields, { 'sec-fetch-site': 'same-site' }],
    ] as const) {
      assert.equal((await who.post(`/account/devices/${device}/remove`, values, headers)).status, 400)
    }
    assert.equal(await isIn(who), true)
  })

  test('a suspended account is out at once, and told so only after the right password', async () => {
    const { arrive, subject, username } = await person()
    const { who } = await arrive()
    await world.authority.store.transact((tx) => tx.subjects.changeStanding(subject.id, { from: ['active'], to: 'suspended' }))
    assert.equal(await isIn(who), false)
    const wrong = await who.submit(await who.open('/account'), { username, password: 'not the password' })
    assert.doesNotMatch(wrong.text, /suspended/)
    const right = await who.submit(await who.open('/account'), { username, password: 'four grey herons' })
    assert.match(right.text, /This account is suspended/)
    assert.equal(who.cookies.has('__Host-signet_session') && (await isIn(who)), false)
  })

  test('a suspended device stays suspended for whoever signs in there again, until it is resumed', async () => {
    const { arrive, username } = await person()
    const { who, session } = await arrive()
    const { store } = world.authority
    const device = (await store.sessions.find(session))?.device
    assert.ok(device)
    await store.transact((tx) => tx.devices.changeStanding(device, { from: ['active'], to: 'suspended' }))
    assert.equal(await isIn(who), false)
    const refused = await who.submit(await who.open('/account'), { username, password: 'four grey herons' })
    assert.match(refused.text, /suspended in this browser/)
    assert.equal(await isIn(who), false)
    await store.transact((tx) => tx.devices.changeStanding(device, { from: ['suspended'], to: 'active' }))
    assert.equal(await isIn(who), true, 'what was suspended goes on')
  })

  test('revoking the subject ends its sessions, and signing in right after begins one past the cutoff', async () => {
    const { arrive, subject } = await person()
    const { who } = await arrive()
    await world.authority.store.transact((tx) =>
      world.authority.revoker.within(tx, { kind: 'subject', id: subject.id }, { reason: 'test', actor: 'system' }),
    )
    assert.equal(await isIn(who), false)
    const again = await arrive()
    assert.equal(await isIn(again.who), true)
  })

  async function addFamily(subject: SubjectId, session: string): Promise<FamilyId> {
    const { clock, chance, authority } = world
    const { store } = authority
    const id = newId<FamilyId>(clock.now(), chance)
    const nowAt = Math.floor(clock.now() / 1000)
    const found = await store.sessions.find(session as never)
    await store.transact((tx) =>
      tx.families.create({
        id,
        terms: {
          client: 'notes' as ClientId,
          platform: 'web',
          scope: ['openid'],
          resources: [],
          acr: '',
          amr: [],
          policy: 'x',
          idleSeconds: 3600,
        },
        subject,
        session: session as never,
        ...(found === undefined ? {} : { device: found.device }),
        status: 'active',
        cutoffMs: 0,
        createdAtMs: clock.now(),
        authAt: nowAt,
        generation: 0,
        nonce: new Uint8Array(16),
        ring: 1,
        previousRing: 1,
        rotatedAtMs: clock.now(),
        graceCount: 0,
        graceForeign: false,
        graceRun: 0,
        foreignRun: 0,
        seen: new Uint8Array(8),
        idleExpiresAt: nowAt + 3600,
        expiresAt: nowAt + 7200,
      }),
    )
    return id
  }
})
