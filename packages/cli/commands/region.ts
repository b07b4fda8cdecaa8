/** Other regions of the same issuer. */
import type { Peer } from '@signet/api/schema.ts'
import { buildRouteMap } from '@stricli/core'
import type { Cli, Context } from '../cli.ts'
import { arg, command, flag } from '../command.ts'
import { printable } from '../output/printable.ts'
import { moment, short } from '../output/time.ts'

const status = command({
  brief: 'Show how the other regions are followed: their age, clock, place in the log, trouble',
  async run(cli: Cli) {
    const regions = await (await cli.admin()).call('listRegions')
    const endedMs = regions.families_ended_ms
    if (endedMs !== null)
      cli.say(`Another region took over from this one: grants from before ${moment(endedMs, cli.now())} have ended.`)
    const age = ({ age_ms }: Peer): string => (age_ms === null ? cli.out.warn('never') : short(age_ms))
    cli.list<Peer>(
      regions,
      [
        { title: 'region', cell: (peer) => cli.out.bold(printable(peer.name)) },
        { title: 'age', cell: age, align: 'right' },
        { title: 'clock', cell: ({ clock_offset_ms: ms }) => (ms === undefined ? cli.out.dim('–') : `${ms} ms`), align: 'right' },
        { title: 'at', cell: (peer) => String(peer.seq), align: 'right' },
        {
          title: 'state',
          cell: (peer) =>
            peer.taken_over
              ? cli.out.warn(peer.problem === undefined ? 'taken over, does not know it yet' : 'taken over')
              : peer.problem === undefined
                ? cli.out.good('followed')
                : cli.out.warn(printable(peer.problem)),
        },
        { title: 'address', cell: (peer) => printable(peer.url) },
      ],
      'There is one region only.',
    )
  },
})

const takeover = command({
  brief: 'Say that a region is lost, so that its people sign in anew here',
  about: `What it signed is refused, and its refresh tokens get invalid_grant instead of "try again". That is for good: when it comes back it hears of it and
ends what began there, and then counts as returned. See docs/regions.md.`,
  flags: { reason: flag.optional('Goes into the audit record: no personal data', 'TEXT'), yes: flag.yes },
  args: arg('NAME', 'The region that is lost'),
  async run(cli: Cli, { reason, yes }: { reason?: string; yes: boolean }, name: string) {
    const admin = await cli.admin()
    const peer = (await admin.call('listRegions')).items.find((one) => one.name === name)
    const lag =
      peer === undefined
        ? ''
        : ` What it took back ${peer.age_ms === null ? 'ever' : `in the last ${short(peer.age_ms)}`} is not known here.`
    await cli.confirm(`Take over from region ${printable(name)}?${lag} Everybody who signed in there signs in again.`, yes)
    const done = await admin.call('takeOverRegion', {
      params: { name },
      body: { reason: reason ?? 'declared lost by an administrator' },
    })
    cli.show(done, () => `${cli.out.good('taken over')}  ${cli.out.bold(printable(name))}, ${done.keys} of its keys cut off`)
  },
})

const relink = command({
  brief: 'Follow a region anew after entries of its log were lost',
  about: `Only where \`signet region status\` says entries_were_lost. What was lost stays lost: end first what was revoked there and may live on here, see
docs/regions.md.`,
  flags: { reason: flag.optional('Goes into the audit record: no personal data', 'TEXT'), yes: flag.yes },
  args: arg('NAME', 'The region whose entries were lost'),
  async run(cli: Cli, { reason, yes }: { reason?: string; yes: boolean }, name: string) {
    const admin = await cli.admin()
    await cli.confirm(`Follow region ${printable(name)} anew? What it revoked and has forgotten will never be known here.`, yes)
    await admin.call('relinkRegion', { params: { name }, body: { reason: reason ?? 'begun anew by an administrator' } })
    cli.show({ relinked: name }, () => `${cli.out.good('relinked')}  ${cli.out.bold(printable(name))}`)
  },
})

export const region = buildRouteMap<string, Context>({
  docs: { brief: 'Look at the other regions, take over from one that is lost, follow one anew' },
  routes: { status, takeover, relink },
})
