/** What a person holds: sessions, devices, grants, passkeys. */
import type { AdminClient } from '@signet/api/client.ts'
import type { Reply } from '@signet/api/schema.ts'
import type { Cli } from '../cli.ts'
import { command, flag, given, USER } from '../command.ts'
import { findUser } from '../lookup.ts'
import { standing } from '../output/paint.ts'
import { printable } from '../output/printable.ts'
import type { Column } from '../output/table.ts'
import { relative } from '../output/time.ts'

type Listing = 'listSessions' | 'listDevices' | 'listGrants'
type Row<N extends Listing> = Reply<N>['items'][number]

function listing<N extends Listing>(
  endpoint: N,
  { brief, columns, empty }: { brief: string; columns: (cli: Cli) => readonly Column<Row<N>>[]; empty: string },
) {
  return command({
    brief,
    flags: { after: flag.after, limit: flag.limit },
    args: USER,
    async run(cli: Cli, { after, limit }: { after?: string; limit?: number }, named: string) {
      const admin = await cli.admin()
      const { id } = await findUser(admin, named)
      const reply = await admin.call<Listing>(endpoint, { params: { id }, query: given({ after, limit }) })
      cli.list(reply as { items: readonly Row<N>[]; next?: string }, columns(cli), empty)
    },
  })
}

export const sessions = listing('listSessions', {
  brief: "List a person's sessions",
  columns: (cli) => [
    { title: 'id', cell: (row) => cli.out.bold(row.id) },
    { title: 'status', cell: (row) => standing(cli.out, row.status) },
    { title: 'signed in', cell: (row) => relative(row.auth_at * 1000, cli.now()) },
    { title: 'by', cell: (row) => row.amr.map(printable).join(' + ') },
    { title: 'ends', cell: (row) => relative(Math.min(row.expires_at, row.idle_expires_at) * 1000, cli.now()) },
    { title: 'device', cell: (row) => cli.out.dim(row.device) },
  ],
  empty: 'No sessions.',
})

export const devices = listing('listDevices', {
  brief: "List a person's devices",
  columns: (cli) => [
    { title: 'id', cell: (row) => cli.out.bold(row.id) },
    { title: 'name', cell: (row) => printable(row.name), flexible: true },
    { title: 'status', cell: (row) => standing(cli.out, row.status) },
    { title: 'last seen', cell: (row) => relative(row.last_seen_at * 1000, cli.now()) },
    { title: 'since', cell: (row) => relative(row.created_at * 1000, cli.now()) },
  ],
  empty: 'No devices.',
})

export const grants = listing('listGrants', {
  brief: "List a person's grants: which applications hold refresh tokens",
  columns: (cli) => [
    { title: 'id', cell: (row) => cli.out.bold(row.id) },
    { title: 'client', cell: (row) => printable(row.client) },
    { title: 'status', cell: (row) => standing(cli.out, row.status) },
    { title: 'rotated', cell: (row) => `${row.generation}×, ${relative(row.rotated_at * 1000, cli.now())}` },
    { title: 'ends', cell: (row) => relative(Math.min(row.expires_at, row.idle_expires_at) * 1000, cli.now()) },
    { title: 'scopes', cell: (row) => row.scopes.map(printable).join(' '), flexible: true },
  ],
  empty: 'No grants.',
})

export const passkeys = command({
  brief: "List a person's passkeys, or remove one",
  flags: { remove: flag.optional('Remove the passkey with this id', 'PASSKEY') },
  args: USER,
  async run(cli: Cli, { remove }: { remove?: string }, named: string) {
    const admin = await cli.admin()
    const { id, username } = await findUser(admin, named)
    if (remove === undefined) return listPasskeys(cli, admin, id)
    await admin.call('deletePasskey', { params: { id, passkey: remove } })
    cli.show({ deleted: remove }, () => `${cli.out.good('removed')}  the passkey of ${printable(username)}`)
    return undefined
  },
})

async function listPasskeys(cli: Cli, admin: AdminClient, id: string): Promise<undefined> {
  cli.list(
    await admin.call('listPasskeys', { params: { id } }),
    [
      { title: 'name', cell: (row) => cli.out.bold(printable(row.name)) },
      { title: 'created', cell: (row) => relative(row.created_at * 1000, cli.now()) },
      {
        title: 'last used',
        cell: (row) => (row.last_used_at === undefined ? cli.out.dim('never') : relative(row.last_used_at * 1000, cli.now())),
      },
      { title: 'id', cell: (row) => cli.out.dim(printable(row.id)) },
    ],
    'No passkeys.',
  )
}
