/**
 * A real PostgreSQL for tests: the server that SIGNET_TEST_POSTGRES names, or one of our own (postgres-server.ts), which goes when the
 * process does.
 */
import { randomBytes } from 'node:crypto'
import { ask, type PostgresServer, startPostgresServer } from './postgres-server.ts'

export interface TestPostgres {
  /** A database that is there, for asking the server itself. */
  readonly url: string
  /** Makes an empty database and gives its URL. */
  freshDatabase(): Promise<string>
  /** Ends our own server and removes its files; a foreign one is left, without the databases made here. */
  stop(): Promise<void>
}

/** Or why there is none, for a test to say when it skips. All who ask in one process share one server. */
export async function startPostgres(): Promise<TestPostgres | { readonly skip: string }> {
  const given = process.env.SIGNET_TEST_POSTGRES
  if (given !== undefined && given !== '') return databasesOn(given, async () => undefined)
  try {
    own ??= startPostgresServer()
    const server = await own
    users++
    return databasesOn(server.url, async () => {
      if (--users > 0) return
      own = undefined
      await server.close()
    })
  } catch (error) {
    own = undefined
    return { skip: `no PostgreSQL: ${error instanceof Error ? error.message : String(error)}` }
  }
}

let own: Promise<PostgresServer> | undefined
let users = 0

function databasesOn(url: string, stop: () => Promise<void>): TestPostgres {
  const made: string[] = []
  return {
    url,
    async freshDatabase() {
      const name = `signet_test_${randomBytes(6).toString('hex')}`
      await ask(url, `create database ${name}`)
      made.push(name)
      const fresh = new URL(url)
      fresh.pathname = `/${name}`
      return fresh.href
    },
    async stop() {
      for (const name of made) await ask(url, `drop database if exists ${name} with (force)`).catch(() => undefined)
      await stop()
    },
  }
}
