/** An authority with clients for each scope of its admin API, and plain requests to it. */
import { type AdminClient, createAdminClient } from '@signet/api/client.ts'
import { ApiError } from '@signet/api/errors.ts'
import { ADMIN_BASE, ADMIN_SCOPES, type AdminScope } from '@signet/api/schema.ts'
import type { ClientId } from '@signet/kernel/ids.ts'
import { startTestAuthority, TEST_SECRET, type TestAuthority, type TestAuthorityOptions } from '@signet/testkit/authority.ts'

export interface AdminWorld {
  readonly authority: TestAuthority
  /** As a client that may have all scopes of the admin API. */
  readonly admin: AdminClient
  /** As a client that has this scope alone. */
  as(scope: AdminScope | 'signet:feed'): Promise<AdminClient>
  raw(
    method: string,
    path: string,
    request?: { token?: string; body?: unknown; headers?: Record<string, string> },
  ): Promise<RawAnswer>
  /** The events of these types, oldest first. */
  events(
    type: string,
  ): Promise<readonly { type: string; actor: string; ids: Record<string, string>; detail: Record<string, unknown> }[]>
}

export interface RawAnswer {
  readonly status: number
  readonly headers: Headers
  readonly text: string
  // biome-ignore lint/suspicious/noExplicitAny: tests look at what is there.
  readonly body: any
}

export async function startAdminWorld(options: TestAuthorityOptions = {}): Promise<AdminWorld> {
  const authority = await startTestAuthority(options)
  const { issuer, url } = authority
  const known = new Map<string, AdminClient>()

  async function clientFor(id: string, scopes: readonly string[]): Promise<AdminClient> {
    const made = known.get(id)
    if (made !== undefined) return made
    await authority.addClient({
      id: id as ClientId,
      platform: 'service',
      scopes,
      resources: [issuer],
      redirectUris: [],
      grantTypes: ['client_credentials'],
    })
    const admin = createAdminClient({ credentials: { issuer, client_id: id, client_secret: TEST_SECRET } })
    known.set(id, admin)
    return admin
  }
  const admin = await clientFor('operator', ADMIN_SCOPES)

  return {
    authority,
    admin,
    as: (scope) => clientFor(`only-${scope.replace(':', '-')}`, [scope]),
    async raw(method, path, { token, body, headers = {} } = {}) {
      const response = await fetch(url + ADMIN_BASE + path, {
        method,
        headers: {
          ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
          ...(body === undefined ? {} : { 'content-type': 'application/json' }),
          ...headers,
        },
        ...(body === undefined ? {} : { body: typeof body === 'string' ? body : JSON.stringify(body) }),
      })
      const text = await response.text()
      const isJson = response.headers.get('content-type')?.startsWith('application/json') === true
      return { status: response.status, headers: response.headers, text, body: isJson ? JSON.parse(text) : undefined }
    },
    async events(type) {
      return (await admin.call('searchAudit', { query: { type, limit: 500 } })).items
    },
  }
}

/** For `assert.rejects`: refused, with this status and reason. */
export const refusedWith = (status: number, reason: string) => (error: unknown) => {
  if (!(error instanceof ApiError)) throw error
  if (error.status !== status || error.reason !== reason)
    throw new Error(`refused with ${error.status} ${error.reason}: ${error.why}`)
  return true
}

/** For `assert.rejects`: these members were wrong, and no others. */
export const wrongMembers =
  (...paths: readonly string[]) =>
  (error: unknown) => {
    if (!(error instanceof ApiError)) throw error
    const found = error.details.map(({ path }) => path)
    if (error.status !== 400 || JSON.stringify(found) !== JSON.stringify(paths))
      throw new Error(`${error.status} ${error.reason}: ${JSON.stringify(error.details)}`)
    return true
  }
