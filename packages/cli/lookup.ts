/** Finds what a person named: by id, or by the name they know; and says what they may have meant when there is none. */
import type { AdminClient } from '@signet/api/client.ts'
import { ApiError } from '@signet/api/errors.ts'
import type { Subject } from '@signet/api/schema.ts'
import { nearest } from '@signet/kernel/nearest.ts'
import { EXIT, Trouble } from './trouble.ts'

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i
/** So many are looked through for a suggestion. */
const PAGE = 500

/** A person by id or username. */
export async function findUser(admin: AdminClient, named: string): Promise<Subject> {
  if (UUID.test(named)) {
    try {
      return await admin.call('showSubject', { params: { id: named.toLowerCase() } })
    } catch (error) {
      if (!isMissing(error)) throw error
      throw missing('user', named, undefined)
    }
  }
  const { items } = await admin.call('listSubjects', { query: { username: named } })
  const [found] = items
  if (found !== undefined) return found
  const all = await admin.call('listSubjects', { query: { limit: PAGE } })
  throw missing(
    'user',
    named,
    nearest(
      named,
      all.items.map((subject) => subject.username),
    ),
  )
}

/** Runs `work`; when the client is not there, says which one was perhaps meant. */
export function withClient<T>(admin: AdminClient, id: string, work: () => Promise<T>): Promise<T> {
  const ids = async () => (await admin.call('listClients', { query: { limit: PAGE } })).items.map((client) => client.id)
  return suggesting('client', id, ids, work)
}

/** Runs `work`; when the resource is not there, says which one was perhaps meant. */
export function withResource<T>(admin: AdminClient, uri: string, work: () => Promise<T>): Promise<T> {
  const uris = async () => (await admin.call('listResources', { query: { limit: PAGE } })).items.map((resource) => resource.uri)
  return suggesting('resource', uri, uris, work)
}

async function suggesting<T>(
  noun: 'client' | 'resource',
  named: string,
  known: () => Promise<readonly string[]>,
  work: () => Promise<T>,
): Promise<T> {
  try {
    return await work()
  } catch (error) {
    if (!isMissing(error)) throw error
    throw missing(noun, named, nearest(named, await known()))
  }
}

export const isMissing = (error: unknown): boolean =>
  error instanceof ApiError &&
  (error.kind === 'not_found' || (error.kind === 'invalid' && error.details.some(({ path }) => path === 'id' || path === 'uri')))

function missing(noun: 'user' | 'client' | 'resource', named: string, suggestion: string | undefined): Trouble {
  return new Trouble({
    what: `There is no ${noun} ${named}`,
    why: suggestion === undefined ? `the authority knows no ${noun} by that name or id` : `did you mean ${suggestion}?`,
    advice: `\`signet ${noun} list\` shows all`,
    exit: EXIT.refused,
    code: 'not_found',
  })
}
