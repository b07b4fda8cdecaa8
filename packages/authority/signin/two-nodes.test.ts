/** Two nodes change one person's credentials in the same moment, on one PostgreSQL. */
import assert from 'node:assert/strict'
import { after, describe, test } from 'node:test'
import { Secret } from '@signet/kernel/secret.ts'
import { startTestAuthority, type TestAuthority } from '@signet/testkit/authority.ts'
import { startPostgres } from '@signet/testkit/postgres.ts'
import type { SubjectRecord } from '../store/ports/subjects.ts'
import { openPostgresStore } from '../store/postgres.ts'
import type { Store, Tx } from '../store/store.ts'
import { realSurroundings, sha256 } from '../surroundings.ts'
import { recognizeBrowser } from './browser.ts'
import { removePasskey } from './credentials.ts'
import { beginInteraction, type Interaction } from './interaction.ts'
import { createPasswords } from './password.ts'
import type { SignedIn } from './session.ts'
import { signInWithPassword } from './sign-in.ts'
import type { Visitor } from './visitor.ts'

const ROUNDS = 20
const surroundings = realSurroundings()
const PASSWORDS = createPasswords(surroundings.chance, { memory: 8192, passes: 1, lanes: 1 })

type SignedInVisitor = Visitor & { readonly signedIn: SignedIn }

const server = await startPostgres()

describe('two nodes', { skip: 'skip' in server ? server.skip : false }, () => {
  after(() => ('skip' in server ? undefined : server.stop()))

  test('that each remove one of two passkeys leave a way to sign in', async () => {
    const nodes = await openNodes()
    try {
      for (let round = 0; round < ROUNDS; round++) {
        const [first] = nodes as [TestAuthority, TestAuthority]
        const person = await first.addSubject()
        const ids = [`${round}-laptop`, `${round}-phone`] as const
        await first.store.transact(async (tx) => {
          for (const id of ids) {
            const passkey = { id, subject: person.id, publicKey: new Uint8Array(77), counter: 0, transports: [] }
            await tx.subjects.addPasskey({ ...passkey, name: id, createdAt: person.createdAt })
          }
        })
        // Every other time it is one node: then both may share a transaction of the database, where no row lock parts them.
        const at = [0, 1].map((n) => nodes[round % 2 === 0 ? n : 0] as TestAuthority)
        const visitors = await Promise.all(at.map((node) => visit(node, person)))
        const outcomes = await Promise.all(
          at.map(({ store, settings, triggers, revoker }, n) => {
            const parts = { store, settings, triggers, revoker, sha256, ...surroundings, passwords: PASSWORDS, site: undefined }
            const [visitor, id] = [visitors[n] as SignedInVisitor, ids[n] as string]
            return removePasskey(id, visitor, visitor.signedIn, parts)
          }),
        )
        const left = await first.store.subjects.passkeys(person.id)
        assert.equal(left.length, 1, `round ${round}: ${JSON.stringify(outcomes)}`)
        assert.equal(outcomes.filter((outcome) => typeof outcome === 'object').length, 1)
      }
    } finally {
      await closeAll(nodes)
    }
  })

  for (const at of ['before', 'while'] as const) {
    test(`a password that is changed ${at} a sign-in with the old one is committed gives no session that lives`, async () => {
      const nodes = await openNodes()
      try {
        const [here, there] = nodes as [TestAuthority, TestAuthority]
        const passwordHash = await PASSWORDS.hash(new Secret('four grey herons'))
        const person = await here.addSubject({ passwordHash })
        const change = () =>
          there.store.transact(async (tx) => {
            await tx.subjects.setPassword(person.id, 'another')
            await there.triggers.credentialChanged(tx, person.id, `subject:${person.id}`)
          })
        // The sign-in has found the password to be right; then it looks once more, and goes on to its session.
        let isChanged = false
        const changeOnce = async () => {
          if (!isChanged) await change()
          isChanged = true
        }
        const store = slowTo(here.store, at === 'before' ? 'subjects' : 'throttle', changeOnce)
        const browser = recognizeBrowser(undefined, surroundings.chance)
        const undertaking = { kind: 'account', returnTo: '/account' } as const
        const { handle, record } = beginInteraction(undertaking, browser, { ...surroundings, sha256 }, Date.now())
        await here.store.transact((tx) => tx.interactions.create(record))
        const { payload, version, expiresAt } = record
        const interaction: Interaction = { ...JSON.parse(payload), handle, version, expiresAt }
        const visitor = { browser, signedIn: undefined, deviceKeys: [], address: '192.0.2.1', userAgent: undefined }
        const { settings, revoker } = here
        const parts = {
          ...surroundings,
          store,
          settings,
          revoker,
          sha256,
          passwords: PASSWORDS,
          site: undefined,
          signedIn: () => {},
        }
        const given = { username: person.username, password: new Secret('four grey herons') }
        const answer = await signInWithPassword(given, interaction, visitor, parts)
        assert.equal(isChanged, true)
        if (answer.kind !== 'signed_in') return assert.equal(at, 'before')
        const session = await here.store.sessions.find(answer.established.session.id)
        const now = (await here.store.subjects.find(person.id)) ?? assert.fail()
        assert.ok((session?.createdAtMs ?? 0) <= now.revokedMs, 'the old password gave a session that outlives the change')
      } finally {
        await closeAll(nodes)
      }
    })
  }
})

async function visit(node: TestAuthority, subject: SubjectRecord): Promise<SignedInVisitor> {
  const ids = await node.signIn(subject.id)
  const session = (await node.store.sessions.find(ids.session)) ?? assert.fail()
  const device = (await node.store.devices.find(ids.device)) ?? assert.fail()
  const browser = recognizeBrowser(undefined, node.surroundings.chance)
  return { browser, signedIn: { subject, session, device }, deviceKeys: [], address: '192.0.2.1', userAgent: undefined }
}

async function openNodes(): Promise<TestAuthority[]> {
  if ('skip' in server) throw new Error(server.skip)
  const url = await server.freshDatabase()
  const masterKey = surroundings.chance.bytes(32)
  const open = async () => startTestAuthority({ store: await openPostgresStore({ url, surroundings }), masterKey })
  return [await open(), await open()]
}

async function closeAll(nodes: readonly TestAuthority[]): Promise<void> {
  for (const node of nodes) {
    await node.close()
    await node.store.close()
  }
}

/** The store, in whose transactions something happens elsewhere whenever a table's first transition is wanted. */
function slowTo(store: Store, table: 'subjects' | 'throttle', meanwhile: () => Promise<void>): Store {
  const first = { subjects: 'find', throttle: 'clear' }[table]
  const through = <T extends object>(target: T, change: (name: PropertyKey, member: unknown) => unknown): T =>
    new Proxy(target, {
      get(_, name) {
        const member: unknown = Reflect.get(target, name)
        return change(name, typeof member === 'function' ? member.bind(target) : member)
      },
    })
  const slow = (transitions: object) =>
    through(transitions, (name, member) =>
      name === first
        ? async (...args: unknown[]) => {
            await meanwhile()
            return (member as (...args: unknown[]) => unknown)(...args)
          }
        : member,
    )
  return through(store, (name, member) =>
    name === 'transact'
      ? (work: (tx: Tx) => Promise<unknown>) =>
          store.transact((tx) => work(through(tx, (part, its) => (part === table ? slow(its as object) : its))))
      : member,
  )
}
