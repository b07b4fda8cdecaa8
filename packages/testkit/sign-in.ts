/** An authority with an app and people to sign in to it, at a time that stands still: for tests of its pages. */

import { createPasswords } from '@signet/authority/signin/password.ts'
import type { ClientRecord } from '@signet/authority/store/ports/clients.ts'
import type { SubjectRecord } from '@signet/authority/store/ports/subjects.ts'
import type { ClientId } from '@signet/kernel/ids.ts'
import { Secret } from '@signet/kernel/secret.ts'
import type { Chance } from '@signet/kernel/surroundings.ts'
import { startTestAuthority, TEST_API, TEST_REDIRECT, type TestAuthority, type TestAuthorityOptions } from './authority.ts'
import { createPageVisitor, type PageVisitor } from './page-visitor.ts'
import { type ManualClock, manualClock, manualTimers, seededChance } from './surroundings.ts'

export interface SignInWorld {
  readonly authority: TestAuthority
  readonly clock: ManualClock
  readonly chance: Chance
  /** A public web client with two scopes of an API called Notes, unless the record says otherwise. */
  addApp(record?: Partial<ClientRecord>): Promise<ClientRecord>
  addPerson(username: string, password: string | undefined, record?: Partial<SubjectRecord>): Promise<SubjectRecord>
  /** A browser of its own, at 192.0.2.1 unless said otherwise. */
  visitor(from?: { address?: string; userAgent?: string }): PageVisitor
  /** Everything in the audit record, as text. */
  auditText(): Promise<string>
  close(): Promise<void>
}

export const APP_BYE = 'https://app.example/bye'

export async function openSignInWorld(
  options: { seed?: number } & Pick<TestAuthorityOptions, 'settings' | 'store'> = {},
): Promise<SignInWorld> {
  const clock = manualClock()
  const chance = seededChance(options.seed ?? 1)
  const surroundings = { clock, chance, timers: manualTimers(clock) }
  const { settings = {}, store: given } = options
  const own = given === undefined ? {} : { store: given }
  const authority = await startTestAuthority({ surroundings, issuer: 'http://localhost:4800', settings, ...own })
  const { store } = authority
  const passwords = createPasswords(chance)
  await authority.addResource({
    name: 'Notes',
    scopes: [
      { name: 'notes:read', description: 'Read your notes' },
      { name: 'notes:write', description: 'Change and delete your notes' },
    ],
  })
  return {
    authority,
    clock,
    chance,
    addApp: (record = {}) =>
      authority.addClient({
        id: 'notes' as ClientId,
        name: 'Notes Web',
        authMethod: 'none',
        secrets: [],
        postLogoutRedirectUris: [APP_BYE],
        scopes: ['openid', 'profile', 'notes:read', 'notes:write'],
        firstParty: false,
        ...record,
      }),
    addPerson: async (username, password, record = {}) =>
      authority.addSubject({
        username,
        ...(password === undefined ? {} : { passwordHash: await passwords.hash(new Secret(password)) }),
        ...record,
      }),
    visitor: (from = {}) => createPageVisitor(authority.app, { ...from, origin: authority.issuer }),
    async auditText() {
      const chains = await store.audit.chains()
      const batches = await Promise.all(chains.map(({ chain }) => store.audit.batches(chain, 0, 500)))
      return batches
        .flat()
        .map(({ events }) => events)
        .join('\n')
    },
    close: authority.close,
  }
}

/** A well-formed authorization request as a path; a value of undefined leaves the parameter out. */
export function authorizePath(change: Readonly<Record<string, string | undefined>> = {}): string {
  const parameters: Record<string, string | undefined> = {
    client_id: 'notes',
    redirect_uri: TEST_REDIRECT,
    response_type: 'code',
    scope: 'openid notes:read',
    resource: TEST_API,
    code_challenge: 'E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM',
    code_challenge_method: 'S256',
    state: 'st4te',
    nonce: 'n0nce',
    ...change,
  }
  const query = new URLSearchParams()
  for (const [name, value] of Object.entries(parameters)) if (value !== undefined) query.set(name, value)
  return `/authorize?${query}`
}
