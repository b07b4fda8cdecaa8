/** Signing keys: what signs now, what comes next, what is going. */
import type { SigningKey } from '@signet/api/schema.ts'
import { buildRouteMap } from '@stricli/core'
import type { Cli, Context } from '../cli.ts'
import { arg, command, flag } from '../command.ts'
import { standing } from '../output/paint.ts'
import { printable } from '../output/printable.ts'
import { moment, relative } from '../output/time.ts'
import { showReceipt, WAIT, type Wait } from './receipt.ts'

const list = command({
  brief: 'List signing keys with their schedule',
  async run(cli: Cli) {
    const reply = await (await cli.admin()).call('listKeys')
    const time = (at: number | undefined) => (at === undefined ? cli.out.dim('–') : relative(at * 1000, cli.now()))
    cli.list<SigningKey>(
      reply,
      [
        { title: 'kid', cell: (key) => cli.out.bold(printable(key.id)) },
        { title: 'for', cell: (key) => printable(key.purpose) },
        { title: 'algorithm', cell: (key) => printable(key.alg) },
        { title: 'state', cell: (key) => standing(cli.out, key.state) },
        { title: 'active', cell: (key) => time(key.active_at) },
        { title: 'retiring', cell: (key) => time(key.retiring_at) },
        { title: 'retired', cell: (key) => time(key.retired_at) },
      ],
      'No keys.',
    )
  },
})

type Purpose = 'token' | 'feed' | 'ring' | 'audit'

const rotate = command({
  brief: 'Hand over to the next key',
  about: `No valid token is refused: the next key has been published long enough for every validator to know it, or takes over as soon as
it has; the old one goes on verifying until the last token it signed has expired. A feed key that is forced may be unknown to relays and readers
that have feed keys pinned: they take in nothing new until each is pinned anew by hand. This asks first.`,
  flags: {
    purpose: { kind: 'enum', values: ['token', 'feed', 'ring', 'audit'], default: 'token', brief: 'Which keys' },
    force: flag.on('At once, even if validators have not seen the next key yet'),
    yes: flag.yes,
  },
  async run(cli: Cli, { purpose, force, yes }: { purpose: Purpose; force: boolean; yes: boolean }) {
    // Others that meet a key they don't know ask the issuer; the pinned cannot.
    if (force && purpose === 'feed') {
      await cli.confirm(
        'Change the feed key at once? Relays and readers with pinned feed keys that have not seen the next one take in nothing new until each is pinned anew by hand.',
        yes,
      )
    }
    const made = await (await cli.admin()).call('rotateKey', { body: { purpose, force } })
    cli.show(made, () =>
      made.state === 'active'
        ? `${cli.out.good('rotated')}  ${purpose} key ${cli.out.bold(printable(made.id))} signs now`
        : `${cli.out.good('scheduled')}  ${purpose} key ${cli.out.bold(printable(made.id))} signs from ${moment(made.active_at * 1000, cli.now())}, when validators know it`,
    )
  },
})

const compromise = command({
  brief: 'Declare a key stolen',
  about:
    'Every token it signed is refused, a new key signs at once, clients renew without anybody signing in again. It cannot be undone.',
  flags: {
    reason: flag.optional('Goes into the audit record: no personal data', 'TEXT'),
    wait: WAIT,
    yes: flag.yes,
  },
  args: arg('KID', 'The key id'),
  async run(cli: Cli, { reason, wait, yes }: { reason?: string; wait?: Wait; yes: boolean }, id: string) {
    await cli.confirm(`Declare key ${printable(id)} stolen? Every token it signed is refused. This cannot be undone.`, yes)
    const admin = await cli.admin()
    const body = { reason: reason ?? 'declared stolen by an administrator' }
    return showReceipt(cli, admin, () => admin.call('compromiseKey', { params: { id }, body }), { verb: 'declared stolen', wait })
  },
})

export const keys = buildRouteMap<string, Context>({
  docs: { brief: 'Look after signing keys' },
  routes: { list, rotate, compromise },
})
