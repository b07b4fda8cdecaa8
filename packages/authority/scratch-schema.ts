/**
 * For drills, as a process of its own: `look` says what the database in SIGNET_DATABASE holds, `make NAME` and `drop NAME` make a schema in
 * it and drop it again. A line of JSON on standard output; exit codes as in main.ts.
 */
import { Fault } from '@signet/kernel/errors.ts'
import { dropSchema, lookAround, makeSchema } from './store/postgres-scratch.ts'

const [command, name = ''] = process.argv.slice(2)
const { SIGNET_DATABASE: url = '' } = process.env

try {
  const found = command === 'look' ? await lookAround(url) : {}
  if (command === 'make') await makeSchema(url, name)
  if (command === 'drop') await dropSchema(url, name)
  process.stdout.write(`${JSON.stringify(found)}\n`)
} catch (error) {
  const { message, cause } = error as Error
  process.stderr.write(`${cause instanceof Error ? cause.message : message}\n`)
  process.exitCode = error instanceof Fault ? 3 : 1
}
