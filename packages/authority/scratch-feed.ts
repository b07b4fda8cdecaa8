/**
 * For drills, as a process of its own: deletes the stream that nodes of the issuer it is given made on the NATS servers in SIGNET_BUS. `{}` on
 * standard output when there is none any more; exit codes as in main.ts.
 */
import { deleteNatsFeedStream } from '@signet/bus/nats-feed.ts'
import { openNatsLink } from '@signet/bus/nats-link.ts'
import { natsNames } from '@signet/kernel/nats.ts'
import { realSurroundings } from './surroundings.ts'

const PATIENCE_MS = 10_000

const [issuer = ''] = process.argv.slice(2)
const { SIGNET_BUS: bus = '' } = process.env

const patience = setTimeout(() => end('no NATS server answers', 3), PATIENCE_MS)
const link = openNatsLink({ servers: bus.split(',') }, realSurroundings())
link.follow((connection) => {
  if (connection === undefined) return
  deleteNatsFeedStream(connection, natsNames(issuer)).then(
    () => end(),
    (error: Error) => end(error.message, 1),
  )
})

function end(why?: string, code = 0): void {
  clearTimeout(patience)
  process.exitCode = code
  if (why === undefined) process.stdout.write('{}\n')
  else process.stderr.write(`${why}\n`)
  void link.close()
}
