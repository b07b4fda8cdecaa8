/**
 * What an authority and its validators call each other by on NATS (docs/protocol/feed.md §11), and which servers may be spoken to.
 * Two authorities may share a server: each has its own word in every subject.
 */

export interface NatsNames {
  /** What nodes tell each other that there is something to look at; the last word is the bus's subject. */
  wake(subject: string): string
  /** Signed batches. */
  readonly batches: string
  /** The JetStream stream that keeps batches for a while. */
  readonly stream: string
}

export function natsNames(issuer: string): NatsNames {
  const word = wordOf(issuer)
  return { wake: (subject) => `signet.${word}.wake.${subject}`, batches: `signet.${word}.batches`, stream: `SIGNET_${word}` }
}

/** The host and port of the issuer, with everything that means something to NATS replaced. */
function wordOf(issuer: string): string {
  const host = issuer.replace(/^[a-z]+:\/\//i, '').replace(/\/+$/, '')
  return host.replace(/[^A-Za-z0-9-]/g, '_')
}

/** Servers in one list; each of them is tried. */
export const MAX_NATS_SERVERS = 16

/**
 * Why these servers will not do, in a sentence; undefined when they will. Credentials in an address end up in logs and process lists, and
 * plain TCP over a network shows them to everybody on the way.
 */
export function natsServersProblem(servers: readonly string[], allowPlain: boolean): string | undefined {
  if (servers.length === 0 || servers.length > MAX_NATS_SERVERS) return `must name 1 to ${MAX_NATS_SERVERS} servers`
  for (const server of servers) {
    const match = /^(nats|tls):\/\/([^/?#]*)\/?$/.exec(server)
    if (match === null) return 'must be nats://HOST:PORT or tls://HOST:PORT, or several with commas between them'
    const [, scheme, place] = match as unknown as [string, string, string]
    if (place.includes('@')) return 'must not hold a user name or password: put them in a file of their own'
    const host = /^(\[[0-9a-f:.]+\]|[A-Za-z0-9._-]+)(:\d{1,5})?$/i.exec(place)?.[1]
    if (host === undefined) return 'must be nats://HOST:PORT or tls://HOST:PORT'
    if (scheme === 'nats' && !allowPlain && !isLoopback(host)) return 'plain nats:// is for this machine only: use tls://'
  }
  const schemes = new Set(servers.map((server) => server.slice(0, server.indexOf(':'))))
  return schemes.size > 1 ? 'must be all nats:// or all tls://' : undefined
}

/** Where a server of such a list listens; 4222 unless it says so. */
export function natsPlace(server: string): { readonly host: string; readonly port: number } {
  const [, host = '', port = '4222'] = /^[a-z]+:\/\/(\[[^\]]*\]|[^/:]*)(?::(\d+))?\/?$/.exec(server) ?? []
  return { host: host.replace(/^\[|\]$/g, ''), port: Number(port) }
}

const isLoopback = (host: string): boolean => host === 'localhost' || host === '[::1]' || /^127\.\d+\.\d+\.\d+$/.test(host)
