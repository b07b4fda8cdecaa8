/** What is under way while a password is being hashed, and what it rests on ends meanwhile. */
import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import type { ClientId } from '@signet/kernel/ids.ts'
import { Secret } from '@signet/kernel/secret.ts'
import type { PageVisitor } from '@signet/testkit/page-visitor.ts'
import { authorizePath, openSignInWorld, type SignInWorld } from '@signet/testkit/sign-in.ts'
import { createPasswords } from '../../signin/password.ts'
import type { SubjectRecord } from '../../store/ports/subjects.ts'

const PASSWORD = 'four grey herons'
const OTHER = 'seven tall herons'

describe('a request that waits for the hashing of a password', () => {
  let world: SignInWorld
  let strangers = 0
  before(async () => {
    world = await openSignInWorld({ seed: 11 })
    await world.addApp({ id: 'own' as ClientId, firstParty: true })
  })
  after(() => world.close())

  /** Somebody's guesses, so that whatever comes next has to wait: two are hashed at once. */
  async function crowd(): Promise<() => Promise<unknown>> {
    const pages = await Promise.all(
      Array.from({ length: 6 }, async () => {
        const who = world.visitor({ address: `198.51.100.${++strangers}` })
        return { who, page: await who.open(authorizePath({ client_id: 'own' })) }
      }),
    )
    const tries = pages.map(({ who, page }) => who.submit(page, { username: 'nobody', password: 'x' }, { at: '/signin/' }))
    return () => Promise.all(tries)
  }
  /** Long enough for a request to have read what it rests on, and shorter than the crowd. */
  const aMoment = () => new Promise((resolve) => setTimeout(resolve, 25))

  async function signedIn(name: string): Promise<{ person: SubjectRecord; who: PageVisitor }> {
    const person = await world.addPerson(name, PASSWORD)
    const who = world.visitor()
    await who.submit(await who.open('/account'), { username: name, password: PASSWORD }, { at: '/signin/' })
    assert.equal((await who.get('/account')).status, 200)
    return { person, who }
  }

  test('a sign-in with a password that is changed meanwhile fails, and does not put the old one back', async () => {
    const { store, triggers } = world.authority
    // Hashed with less than today's cost, so that a sign-in hashes it again.
    const weak = createPasswords(world.chance, { memory: 8192, passes: 1, lanes: 1 })
    const person = await world.addPerson('ada', undefined, { passwordHash: await weak.hash(new Secret(PASSWORD)) })
    const hash = await createPasswords(world.chance).hash(new Secret(OTHER))
    const thief = world.visitor()
    const page = await thief.open(authorizePath({ client_id: 'own' }))
    const allTried = await crowd()
    const signingIn = thief.submit(page, { username: 'ada', password: PASSWORD }, { at: '/signin/' })
    await aMoment()
    await store.transact(async (tx) => {
      await tx.subjects.setPassword(person.id, hash)
      await triggers.credentialChanged(tx, person.id, `subject:${person.id}`)
    })
    const answer = await signingIn
    await allTried()
    assert.equal(answer.location?.includes('code=') ?? false, false, 'the old password gave a code')
    assert.notEqual((await thief.get('/account')).status, 200, 'the old password gave a session')
    assert.equal((await store.subjects.find(person.id))?.passwordHash, hash)
  })

  test('a session that is ended meanwhile changes no password, and does not live on in a new one', async () => {
    const { store, revoker } = world.authority
    const { person, who } = await signedIn('bob')
    const form = await who.open('/account/password')
    const allTried = await crowd()
    const changing = who.submit(form, { password: OTHER, repeated: OTHER }, { at: '/account/password' })
    await aMoment()
    await revoker.revoke({ kind: 'subject', id: person.id }, { reason: 'test', actor: 'operator:test' })
    await changing
    await allTried()
    assert.equal((await store.subjects.find(person.id))?.passwordHash, person.passwordHash)
    assert.notEqual((await who.get('/account')).status, 200)
  })
})
