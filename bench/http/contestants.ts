/** The authorization servers that are measured, each in a process of its own. */
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { startChild } from '../child.ts'
import type { Contestant } from './contest.ts'
import type { ServerAnswers } from './server.ts'

/** Ours. `database`: `:memory:`, `sqlite` or the URL of a PostgreSQL. `checkout`: of another version of this repository. */
export const startOurs = (database: string, scratch: string, checkout?: string): Promise<Contestant> =>
  startServer(checkout === undefined ? '../ours/authority.ts' : join(checkout, 'bench/ours/authority.ts'), [database, scratch])

/** oidc-provider, in memory or on a PostgreSQL. */
export const startPeer = (url?: string): Promise<Contestant> =>
  startServer('../peers/oidc-provider.ts', url === undefined ? [] : [url])

async function startServer(file: string, args: readonly string[]): Promise<Contestant> {
  const server = await startChild<ServerAnswers>(fileURLToPath(new URL(file, import.meta.url)), args)
  return { server, description: await server.ask('describe') }
}
