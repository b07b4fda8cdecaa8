/**
 * Where an answer may be sent. The URI must equal a registered one, character by character (RFC 9700 §4.1.3), with a single
 * exception: a native app listens on whatever port it gets on the loopback interface (RFC 8252 §7.3).
 */
import type { ClientRecord } from '../store/ports/clients.ts'

export function isRegisteredRedirect(uri: string, client: Pick<ClientRecord, 'redirectUris' | 'platform'>): boolean {
  if (client.redirectUris.includes(uri)) return true
  if (client.platform !== 'native') return false
  const asked = splitLoopback(uri)
  return asked !== undefined && client.redirectUris.some((registered) => isSameLoopback(asked, splitLoopback(registered)))
}

interface Loopback {
  readonly host: string
  readonly rest: string
}

// The literal addresses only: what `localhost` means is up to the machine's resolver (RFC 8252 §8.3).
const LOOPBACK = /^http:\/\/(127\.0\.0\.1|\[::1\])(?::(\d{1,5}))?([/?][^#]*)?$/

function splitLoopback(uri: string): Loopback | undefined {
  const match = LOOPBACK.exec(uri)
  if (match === null || Number(match[2] ?? 0) > 65_535) return undefined
  return { host: match[1] as string, rest: match[3] ?? '' }
}

const isSameLoopback = (a: Loopback, b: Loopback | undefined): boolean =>
  b !== undefined && a.host === b.host && a.rest === b.rest

/** The URI with the parameters of an answer added to its query; those it has stay as they are (RFC 6749 §3.1.2). */
export function withParameters(uri: string, parameters: Readonly<Record<string, string | undefined>>): string {
  const query = new URLSearchParams()
  for (const [name, value] of Object.entries(parameters)) if (value !== undefined) query.set(name, value)
  const text = query.toString()
  if (text === '') return uri
  return uri + (uri.includes('?') ? (/[?&]$/.test(uri) ? '' : '&') : '?') + text
}

/**
 * Whether a browser may be asked to go there by a page rather than by a redirect: true for the web, false for an app's own
 * scheme, which phones open only when the person's own click leads there without a stop.
 */
export const isWebUri = (uri: string): boolean => /^https?:\/\//i.test(uri)

/** Whether the operating system vouches for who receives it. Any app can listen on a loopback port or claim a scheme (RFC 8252 §8.6). */
export const isClaimed = (uri: string): boolean => uri.startsWith('https://')
