/** The PostgreSQL database that a person gives for a drill: an empty one, and in it a schema of the drill's own, so that nobody else's tables can be met. */
import { randomBytes } from 'node:crypto'
import { postgresHosts } from '@signet/kernel/postgres-hosts.ts'
import { EXIT, Trouble } from '../trouble.ts'
import { byAuthority } from './by-authority.ts'
import type { Leftover } from './drill.ts'
import type { Place } from './gate.ts'

/** The URL of the server that takes writes. Throws unless the database is there and holds nobody's tables. Changes nothing. */
export async function findEmpty(url: string): Promise<string> {
  const hosts = postgresHosts(url)
  if (typeof hosts === 'string') {
    throw new Trouble({
      what: '--database cannot be used for a drill',
      why: `it ${hosts}`,
      advice: 'Write postgres://USER@HOST:PORT/DATABASE, of a database that is empty.',
      exit: EXIT.usage,
      code: 'usage',
    })
  }
  const { url: found, inhabitants } = await ask<{ url: string; inhabitants: Inhabitant[] }>(url, 'look')
  const [first] = inhabitants
  if (first === undefined) return found
  const earlier = inhabitants.filter(({ schema }) => schema.startsWith(PREFIX))
  const others = inhabitants.filter((one) => !earlier.includes(one))
  const held = (others.length > 0 ? others : earlier)
    .map(
      ({ schema, tables, signet }) =>
        `${tables} ${tables === 1 ? 'table' : 'tables'}${signet ? ' of an authority' : ''} in the schema ${schema}`,
    )
    .slice(0, MAX_NAMED)
    .join(', ')
  throw new Trouble({
    what: 'Nothing was done: the database is not empty',
    why: others.length > 0 ? `it holds ${held}` : `a drill runs in it, or one that was killed has left ${held}`,
    advice:
      others.length > 0
        ? 'Make one for the drill, such as `createdb signet_drill` on the same server, and name it with --database.'
        : `When no drill runs in it, drop it: ${earlier.map(({ schema }) => `\`drop schema ${schema} cascade\``).join(', ')}`,
    exit: EXIT.refused,
    code: 'database_not_empty',
  })
}

interface Inhabitant {
  readonly schema: string
  readonly tables: number
  readonly signet: boolean
}

const PREFIX = 'signet_drill_'
const MAX_NAMED = 5

export interface Schema extends Required<Leftover> {
  /** The URL with it as the place where tables are made and looked for. */
  in(url: string): string
  make(through: string): Promise<void>
}

/** Made by way of `through`, which may be a gate; dropped without it. */
export function ownSchema(url: string): Schema {
  const name = PREFIX + randomBytes(4).toString('hex')
  return {
    what: `the schema ${name}`,
    byHand: `drop schema ${name} cascade`,
    in(text) {
      const inside = new URL(text)
      const given = inside.searchParams.get('options')
      inside.searchParams.set('options', `${given === null ? '' : `${given} `}-c search_path=${name}`)
      return inside.href
    },
    make: async (through) => void (await ask(through, 'make', name)),
    putAway: () => ask(url, 'drop', name),
  }
}

/** Where the database is: a host and port, or the socket in the folder that stands in the place of the host. */
export function placeOf(url: string): Place {
  const { hostname, port: given } = new URL(url)
  const host = decodeURIComponent(hostname).replace(/^\[|\]$/g, '')
  const port = Number(given || 5432)
  return host.startsWith('/') ? { path: `${host}/.s.PGSQL.${port}` } : { host: host || 'localhost', port }
}

/** The same database at a port of this machine. */
export function atPort(url: string, port: number): string {
  const there = new URL(url)
  there.hostname = '127.0.0.1'
  there.port = String(port)
  return there.href
}

async function ask<T>(url: string, ...args: readonly string[]): Promise<T> {
  try {
    return await byAuthority('scratch-schema.ts', args, { SIGNET_DATABASE: url })
  } catch (error) {
    const { code, stderr } = error as { code?: unknown; stderr?: string }
    const why = stderr?.trim() || 'the server does not answer'
    const isUnreachable = code === 3 || code === null // `null`: it took too long.
    throw new Trouble({
      what: args[0] === 'look' ? 'Could not look into the database' : `Could not ${args[0]} a schema in the database`,
      why,
      advice: /certificate|altnames/i.test(why)
        ? 'The drill cuts the way to the database by a proxy on this machine, whose name is not in the certificate: give a database that takes connections without TLS, or write ?sslmode=no-verify.'
        : isUnreachable
          ? 'Check --database, and that the server runs and lets you in.'
          : 'Give a database in which you may make schemas.',
      exit: isUnreachable ? EXIT.unreachable : EXIT.refused,
      code: 'database',
    })
  }
}
