/** What a validator is asked about: a token by itself, or a request that carries one. */

/** What is known of the request around a token. */
export interface TokenContext {
  /** Permissions that the request needs, all of them. Without it any valid token passes, and the verdict says what it may. */
  readonly needs?: string | readonly string[]
  /** The `Authorization` scheme it came with. Unless given: `DPoP` when there is a proof, else `Bearer`. */
  readonly scheme?: 'Bearer' | 'DPoP'
  /** Value of the `DPoP` header (RFC 9449 §4.1). */
  readonly dpop?: string | readonly string[] | undefined
  /** HTTP method, for the proof. */
  readonly method?: string | undefined
  /** URL of the request, absolute, or as in the request line: then `publicUrl` completes it. For the proof. */
  readonly url?: string | undefined
  /** base64url SHA-256 of the client's TLS certificate (RFC 8705 §3.1), as proven by the connection itself. */
  readonly certificateThumbprint?: string | undefined
}

/** `Headers` of the Fetch standard, or the object of node:http. */
export type HeadersLike = { get(name: string): string | null } | Readonly<Record<string, string | readonly string[] | undefined>>

/** A request of node:http, Fastify, Express, Hono (`c.req.raw`) or the Fetch standard. */
export interface RequestLike {
  readonly method?: string | undefined
  readonly url?: string | undefined
  readonly headers: HeadersLike
  /** Names and values in turn, as Node keeps them: its `headers` hold only the first of two `Authorization`. */
  readonly rawHeaders?: readonly string[] | undefined
}

/** The credentials of a request: a token, none, or an `Authorization` header that is none of ours. */
export type Credentials =
  | { readonly kind: 'token'; readonly scheme: 'Bearer' | 'DPoP'; readonly token: string }
  | { readonly kind: 'missing' }
  | { readonly kind: 'malformed' }

export function headerOf(headers: HeadersLike, name: string): string | readonly string[] | undefined {
  if (typeof (headers as { get?: unknown }).get === 'function') {
    return (headers as { get(name: string): string | null }).get(name) ?? undefined
  }
  return (headers as Readonly<Record<string, string | readonly string[] | undefined>>)[name]
}

/** Whether there is more than one `Authorization` header: a request gives its token in one way (RFC 6750 §2). */
export function authorizesTwice(rawHeaders: readonly string[] | undefined): boolean {
  if (rawHeaders === undefined) return false
  let isSeen = false
  for (let at = 0; at < rawHeaders.length; at += 2) {
    const name = rawHeaders[at] as string
    // Length and first letter spare nearly every other name the lower case.
    if (name.length !== 13 || (name.charCodeAt(0) | 32) !== 97 || name.toLowerCase() !== 'authorization') continue
    if (isSeen) return true
    isSeen = true
  }
  return false
}

/**
 * Reads `Authorization: Bearer …` (RFC 6750 §2.1) or `DPoP …` (RFC 9449 §7.1). Tokens in the query or the body are not
 * looked at: they end up in logs. Another scheme counts as no token at all.
 */
export function readAuthorization(value: string | readonly string[] | undefined): Credentials {
  if (value === undefined || value === '') return { kind: 'missing' }
  if (typeof value !== 'string') return value.length === 1 ? readAuthorization(value[0]) : { kind: 'malformed' }
  const space = value.indexOf(' ')
  const name = (space < 0 ? value : value.slice(0, space)).toLowerCase()
  const scheme = name === 'bearer' ? 'Bearer' : name === 'dpop' ? 'DPoP' : undefined
  // Fetch joins two headers to one: a scheme of ours after another is a second way of giving a token.
  if (scheme === undefined) return { kind: /,\s*(?:bearer|dpop) /i.test(value) ? 'malformed' : 'missing' }
  if (space < 0) return { kind: 'malformed' }
  const token = value.slice(space + 1)
  // RFC 9110 §11.4 allows several spaces; a list of credentials in one header is not for us.
  const trimmed = token.charCodeAt(0) === 32 || token.charCodeAt(token.length - 1) === 32 ? token.trim() : token
  if (trimmed === '' || trimmed.includes(' ') || trimmed.includes(',')) return { kind: 'malformed' }
  return { kind: 'token', scheme, token: trimmed }
}
