/** Two nodes change one person's credentials in the same moment, on one PostgreSQL. */
import assert from 'node:assert/strict'
import { after, describe, test } from 'node:test'
import { startTestAuthority, type TestAuthority } from '@signet/testkit/authority.ts'
import { startPostgres } from '@signet/testkit/postgres.ts'
import type { SubjectRecord } from '../store/ports/subjects.ts'
import { openPostgresStore } from '../store/postgres.ts'
import { realSurroundings, sha256 } from '../surroundings.ts'
import { recognizeBrowser } from './browser.ts'
import { removePasskey } from './credentials.ts'
import { createPasswords } from './password.ts'
import type { SignedIn } from './session.ts'
import type { Visitor } from './visitor.ts'

const ROUNDS = 20
/** What is not asked for here. */
const NONE = createPasswords(realSurroundings().chance)

type SignedInVisitor = Visitor & { readonly signedIn: SignedIn }

const server = await startPostgres()

describe('two nodes', { skip: 'skip' in server ? server.skip : false }, () => {
  after(() => ('skip' in server ? undefined : server.stop()))

  test('that each remove one of two passkeys leave a way to sign in', async () => {
    if ('skip' in server) return
    const surroundings = realSurroundings()
    const url = await server.freshDatabase()
    const masterKey = surroundings.chance.bytes(32)
    const open = async () => startTestAuthority({ store: await openPostgresStore({ url, surroundings }), masterKey })
    const nodes = [await open(), await open()]
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
            const parts = { store, settings, triggers, revoker, sha256, ...surroundings, passwords: NONE, site: undefined }
            const [visitor, id] = [visitors[n] as SignedInVisitor, ids[n] as string]
            return removePasskey(id, visitor, visitor.signedIn, parts)
          }),
        )
        const left = await first.store.subjects.passkeys(person.id)
        assert.equal(left.length, 1, `round ${round}: ${JSON.stringify(outcomes)}`)
        assert.equal(outcomes.filter((outcome) => typeof outcome === 'object').length, 1)
      }
    } finally {
      for (const node of nodes) {
        await node.close()
        await node.store.close()
      }
    }
  })
})

async function visit(node: TestAuthority, subject: SubjectRecord): Promise<SignedInVisitor> {
  const ids = await node.signIn(subject.id)
  const session = (await node.store.sessions.find(ids.session)) ?? assert.fail()
  const device = (await node.store.devices.find(ids.device)) ?? assert.fail()
  const browser = recognizeBrowser(undefined, node.surroundings.chance)
  return { browser, signedIn: { subject, session, device }, deviceKeys: [], address: '192.0.2.1', userAgent: undefined }
}
