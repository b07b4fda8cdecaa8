/** Copies of the embedded store, made while it is in use. */
import type { Cli } from '../cli.ts'
import { command, flag } from '../command.ts'
import { printable } from '../output/printable.ts'
import { details } from '../output/table.ts'
import { bytes, relative, short } from '../output/time.ts'

export const backup = command({
  brief: 'Copy the whole store, as of one moment, while it is in use',
  about: `The copy lies in the backups folder of the authority's state directory. It is useless without the master key: keep that too,
elsewhere. PostgreSQL has its own tools for this, such as pg_dump; after going back to such a copy run \`signet restore -\`.`,
  flags: { list: flag.on('List the backups there are') },
  args: {
    kind: 'tuple',
    parameters: [{ parse: String, optional: true, placeholder: 'NAME', brief: 'Name of the copy; the time when absent' }],
  },
  async run(cli: Cli, { list }: { list: boolean }, name?: string) {
    const admin = await cli.admin()
    if (list) {
      const reply = await admin.call('listBackups')
      cli.list(
        reply,
        [
          { title: 'name', cell: (row) => cli.out.bold(printable(row.name)) },
          { title: 'size', cell: (row) => bytes(row.bytes), align: 'right' },
          { title: 'made', cell: (row) => relative(row.created_at * 1000, cli.now()) },
        ],
        'No backups yet.',
      )
      return
    }
    for await (const line of admin.stream('startBackup', { body: name === undefined ? {} : { name } })) {
      if (line.kind === 'progress') {
        cli.progress(cli.err.dim(`${line.total === 0 ? 0 : Math.floor((line.done / line.total) * 100)} % …`))
        continue
      }
      cli.show(line, () =>
        details(
          [
            ['backup', cli.out.bold(cli.out.good(printable(line.name)))],
            ['size', bytes(line.bytes)],
            ['took', short(line.took_ms)],
          ],
          cli.out,
        ),
      )
    }
  },
})
