/**
 * `postgres://user:password@a:5432,b:5432/database`: one database that several servers may hold, of which one takes writes. As with
 * libpq, they are tried in turn; `target_session_attrs` may say `read-write` or `primary`, which is what is meant in any case.
 */

export interface PostgresHosts {
  /** One URL for each server, in the order they were given. */
  readonly urls: readonly string[]
}

const MAX_HOSTS = 8
const SHAPE = /^(postgres(?:ql)?:\/\/)((?:[^@/?#]*@)?)([^/?#]*)(\/[^?#]*)?(\?[^#]*)?$/
const ATTRIBUTE = 'target_session_attrs'

/** The servers, or why the text will not do, in a sentence without its password. */
export function postgresHosts(text: string): PostgresHosts | string {
  const [, scheme, user, authority, path = '', query = ''] = SHAPE.exec(text) ?? []
  if (scheme === undefined || user === undefined || authority === undefined) return 'must be a postgres:// URL'
  const hosts = authority.split(',')
  if (hosts.length > MAX_HOSTS) return `must name at most ${MAX_HOSTS} servers`
  if (hosts.length > 1 && hosts.includes('')) return 'names a server without a name'
  const parameters = new URLSearchParams(query)
  const wanted = parameters.get(ATTRIBUTE) ?? 'read-write'
  if (wanted !== 'read-write' && wanted !== 'primary')
    return `${ATTRIBUTE} must be read-write or primary: the truth is on the server that takes writes`
  parameters.delete(ATTRIBUTE)
  const rest = parameters.size === 0 ? '' : `?${parameters}`
  const urls = hosts.map((host) => `${scheme}${user}${host}${path}${rest}`)
  // A socket's directory is written with %2F; what the URL parser makes of the rest is what the driver will.
  return urls.every((url) => URL.canParse(url)) ? { urls } : 'must be a postgres:// URL'
}
