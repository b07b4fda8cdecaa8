/** Taking back: one token, one sign-in, one device, one person, one client, one key, one scope, everything. */
import type { AdminClient } from '@signet/api/client.ts'
import type { AdminScope, Call, Revocation } from '@signet/api/schema.ts'
import { buildRouteMap } from '@stricli/core'
import type { Cli, Context } from '../cli.ts'
import { arg, command, flag, given, parseCount, USER } from '../command.ts'
import { findUser, withClient } from '../lookup.ts'
import { printable } from '../output/printable.ts'
import { details } from '../output/table.ts'
import { relative } from '../output/time.ts'
import { EXIT, type ExitCode, Trouble } from '../trouble.ts'
import { dryRun } from './batch.ts'
import { showReceipt, WAIT, type Wait } from './receipt.ts'

type Target = NonNullable<Call<'revoke'>['body']>['target']

interface Why {
  readonly reason?: string
  readonly wait?: Wait
}
const WHY = {
  reason: flag.optional('Goes into the audit record: no personal data', 'TEXT'),
  wait: WAIT,
} as const
const DRY_RUN = flag.on('Only count what it would take along, as `signet batch plan` does')

interface Wide extends Why {
  readonly dryRun: boolean
}

/** What is counted are our own grants and what ends with them. */
function isDry({ dryRun, ...flags }: Wide & { readonly keepGrants?: boolean; readonly issuer?: string }): boolean {
  const other = flags.keepGrants === true ? '--keep-grants' : flags.issuer === undefined ? undefined : '--issuer'
  if (!dryRun || other === undefined) return dryRun
  throw new Trouble({
    what: 'Nothing was counted',
    why: `--dry-run counts grants that would end, and with ${other} none does`,
    advice: `Leave ${other} away.`,
    exit: EXIT.usage,
    code: 'usage',
  })
}

const FOREIGN = flag.optional('Another issuer, whose tokens your validators also check', 'URL')

const token = command({
  brief: 'One access token, refresh token or API key',
  about: 'By the token itself (- reads it from standard input, out of sight of the shell history) or by its id.',
  flags: { ...WHY, issuer: FOREIGN },
  args: arg('TOKEN|ID', 'The token, its jti, or - for standard input'),
  async run(cli: Cli, flags: Why & { issuer?: string }, text: string) {
    const given = await cli.given(text, looksSecret(text) ? 'token' : undefined)
    const target: Target = looksSecret(given)
      ? { token: given }
      : { kind: 'token', id: given, ...(flags.issuer === undefined ? {} : { issuer: flags.issuer }) }
    return take(cli, await cli.admin(), target, flags)
  },
})

const user = command({
  brief: 'Everything of one person: sessions, grants, tokens',
  flags: { ...WHY, dryRun: DRY_RUN, keepGrants: flag.on('Access tokens only: clients renew silently and carry fresh claims') },
  args: USER,
  async run(cli: Cli, flags: Wide & { keepGrants: boolean }, named: string) {
    const admin = await cli.admin()
    const { id } = await findUser(admin, named)
    if (isDry(flags)) return void (await dryRun(cli, admin, { subjects: [id] }, flags.reason))
    return take(cli, admin, { kind: 'subject', id }, flags, { keepGrants: flags.keepGrants })
  },
})

const client = command({
  brief: 'Everything one client holds',
  flags: { ...WHY, dryRun: DRY_RUN, issuer: FOREIGN, keepGrants: flag.on('Access tokens only: grants go on'), yes: flag.yes },
  args: arg('ID', 'The client id'),
  async run(cli: Cli, flags: Wide & { issuer?: string; keepGrants: boolean; yes: boolean }, id: string) {
    if (isDry(flags)) {
      const admin = await cli.admin()
      return void (await withClient(admin, id, () => dryRun(cli, admin, { client: id }, flags.reason)))
    }
    await cli.confirm(`End everything that client ${printable(id)} holds, for all its users?`, flags.yes)
    return take(cli, await cli.admin(), { kind: 'client', id, ...given({ issuer: flags.issuer }) }, flags, {
      keepGrants: flags.keepGrants,
    })
  },
})

const key = command({
  brief: 'Every token that one signing key signed',
  about: 'The emergency exit for a stolen key: a new key signs at once, clients renew without anybody signing in again.',
  flags: { ...WHY, yes: flag.yes },
  args: arg('KID', 'The key id, as in the header of its tokens'),
  async run(cli: Cli, flags: Why & { yes: boolean }, id: string) {
    await cli.confirm(`Declare key ${printable(id)} stolen? Every token it signed is refused. This cannot be undone.`, flags.yes)
    return take(cli, await cli.admin(), { kind: 'key', id }, flags, { scope: 'signet:keys' })
  },
})

const scope = command({
  brief: 'Every access token that carries one scope',
  about: `Whoever holds it: clients renew silently and get what they may have by then. To keep them from getting it again, first take
the scope from the API or the client; to end the grants behind it as well, \`signet batch plan --scope\`.`,
  flags: { ...WHY, issuer: FOREIGN, yes: flag.yes },
  args: arg('NAME', 'The scope, as in the scope of tokens'),
  async run(cli: Cli, flags: Why & { issuer?: string; yes: boolean }, id: string) {
    await cli.confirm(`Refuse every access token with the scope ${printable(id)} that was issued until now?`, flags.yes)
    const admin = await cli.admin()
    const isKnown = flags.issuer !== undefined || (await hasScope(admin, id))
    const exit = await take(cli, admin, { kind: 'scope', id, ...given({ issuer: flags.issuer }) }, flags)
    // It may have been taken from its API just now, or be misspelt.
    if (!isKnown) cli.say(cli.err.warn(`No API here has a scope ${printable(id)}: see \`signet resource list\`.`))
    return exit
  },
})

/** Whether the authority itself or one of its resources has a scope of this name. True when that cannot be known. */
async function hasScope(admin: AdminClient, name: string): Promise<boolean> {
  if (OWN.test(name)) return true
  for (let after: string | undefined; ; ) {
    const page = await admin.call('listResources', { query: given({ after }) }).catch(() => undefined)
    if (page === undefined || page.items.some(({ scopes }) => scopes.some((scope) => scope.name === name))) return true
    if (page.next === undefined) return false
    after = page.next
  }
}
const OWN = /^(signet:|openid$|profile$|email$|offline_access$)/

const everything = command({
  brief: 'Every token of this authority, and every session',
  about: 'All clients must get new tokens and all people must sign in again. For the worst day.',
  flags: { ...WHY, dryRun: DRY_RUN, yes: flag.yes },
  async run(cli: Cli, flags: Wide & { yes: boolean }) {
    const admin = await cli.admin()
    if (isDry(flags)) return void (await dryRun(cli, admin, { everything: true }, flags.reason))
    await cli.confirm(`End every token and session of ${admin.issuer}? Everybody has to sign in again.`, flags.yes, 'everything')
    return take(cli, admin, { kind: 'issuer', id: admin.issuer }, flags, { scope: 'signet:admin' })
  },
})

const issuer = command({
  brief: 'Every token of another issuer, at your validators',
  flags: { ...WHY, yes: flag.yes },
  args: arg('URL', 'The issuer, as in the iss of its tokens'),
  async run(cli: Cli, flags: Why & { yes: boolean }, url: string) {
    await cli.confirm(`Refuse every token that ${printable(url)} issued until now?`, flags.yes)
    return take(cli, await cli.admin(), { kind: 'issuer', id: url, issuer: url }, flags)
  },
})

const undo = command({
  brief: 'Undo revocations that were wrong and wide',
  about: `Begins a new epoch of the log in which they were never made. Access tokens that are still in their time pass again, and so do the
grants of a person, a client or the issuer. A single grant, session, device or key that was revoked has ended for good.`,
  flags: {
    reason: WHY.reason,
    here: flag.on('Also what another region revoked, after it was undone there'),
    yes: flag.yes,
  },
  args: {
    kind: 'array',
    parameter: { parse: parseCount, placeholder: 'SEQ', brief: 'Sequence numbers, as on the receipts' },
    minimum: 1,
  },
  async run(cli: Cli, { reason, here, yes }: { reason?: string; here: boolean; yes: boolean }, ...seqs: readonly number[]) {
    const admin = await cli.admin()
    const { entries, epoch } = await findEntries(admin, seqs)
    for (const entry of entries)
      cli.say(
        `  ${entry.seq}  ${printable(`${entry.kind} ${entry.target}, ${entry.reason}, by ${entry.actor}`)} ${cli.err.dim(relative(entry.at_ms, cli.now()))}`,
      )
    await cli.confirm('Begin a new epoch of the log in which this was never made?', yes)
    const body = { epoch, seqs: [...seqs], reason: reason ?? 'undone by an administrator', here }
    const done = await admin.call('undoRevocations', { body })
    cli.show(done, () =>
      details(
        [
          ['undone', cli.out.good(`${done.removed} left out, ${done.entries} carried over`)],
          ['grants', done.restored === 0 ? undefined : `of ${done.restored} go on again`],
          ['epoch', printable(done.epoch)],
        ],
        cli.out,
      ),
    )
  },
})

export const revoke = buildRouteMap<string, Context>({
  docs: {
    brief: 'Take back tokens, everywhere, within milliseconds',
    fullDescription: `Take back tokens, everywhere, within milliseconds.

A receipt says its place in the revocation log. Every validator that has applied that number refuses the target; --wait asks
the validators and says which have. What a person, a client or everything would take along, --dry-run counts; what a selector names,
\`signet batch plan\`.`,
  },
  routes: {
    token,
    grant: byId('grant'),
    session: byId('session'),
    device: byId('device'),
    user,
    client,
    key,
    scope,
    issuer,
    everything,
    undo,
  },
})

function byId(kind: 'grant' | 'session' | 'device') {
  const briefs = {
    grant: 'One grant: the refresh tokens of one sign-in and what came from them',
    session: 'One sign-in in one browser',
    device: 'One lost or stolen device; other devices go on',
  }
  return command({
    brief: briefs[kind],
    flags: { ...WHY, issuer: FOREIGN },
    args: arg('ID', `The ${kind} id`),
    run: async (cli: Cli, flags: Why & { issuer?: string }, id: string) =>
      take(cli, await cli.admin(), { kind, id, ...given({ issuer: flags.issuer }) }, flags),
  })
}

/** What is about to be undone, so that people see it before they agree. */
async function findEntries(admin: AdminClient, seqs: readonly number[]): Promise<{ entries: Revocation[]; epoch: string }> {
  const entries: Revocation[] = []
  let epoch = ''
  for (const seq of seqs) {
    const { items, head } = await admin.call('listRevocations', { query: { after: seq - 1, limit: 1 } })
    const [entry] = items
    epoch = head.epoch
    if (entry?.seq === seq) entries.push(entry)
    else
      throw new Trouble({
        what: `There is no revocation ${seq}`,
        why: 'the log has forgotten it, or never had it',
        advice: '`signet feed tail --since 1h` shows the last ones',
        exit: EXIT.refused,
        code: 'not_found',
      })
  }
  return { entries, epoch }
}

async function take(
  cli: Cli,
  admin: AdminClient,
  target: Target,
  why: Why,
  { keepGrants = false, scope = 'signet:revoke' }: { keepGrants?: boolean; scope?: AdminScope } = {},
): Promise<ExitCode> {
  // Not part of the delay that is shown.
  await admin.accessToken(scope === 'signet:keys' ? `signet:revoke ${scope}` : scope).catch(() => undefined)
  const body = { target, reason: why.reason ?? 'revoked by an administrator', keep_grants: keepGrants }
  return showReceipt(cli, admin, () => admin.call('revoke', { body, scope }), { verb: 'revoked', wait: why.wait })
}

/** A JWT or one of our opaque tokens, not a bare id. */
export const looksSecret = (text: string): boolean => text.split('.').length === 3 || /^sg[a-z]_/.test(text)
