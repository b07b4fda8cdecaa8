/** People: who may sign in, and what they hold. */
import type { Subject } from '@signet/api/schema.ts'
import { buildRouteMap } from '@stricli/core'
import type { Cli, Context } from '../cli.ts'
import { arg, command, flag, given, USER } from '../command.ts'
import { findUser } from '../lookup.ts'
import { standing } from '../output/paint.ts'
import { printable } from '../output/printable.ts'
import { details } from '../output/table.ts'
import { moment, relative } from '../output/time.ts'
import { wrongFlag } from '../trouble.ts'
import { nothingGiven, wasRevoked } from './client.ts'
import { devices, grants, passkeys, sessions } from './holdings.ts'
import { resumeCommand, suspendCommand } from './suspend.ts'

const list = command({
  brief: 'List people',
  flags: { after: flag.after, limit: flag.limit },
  async run(cli: Cli, { after, limit }: { after?: string; limit?: number }) {
    const reply = await (await cli.admin()).call('listSubjects', { query: given({ after, limit }) })
    cli.list<Subject>(
      reply,
      [
        { title: 'username', cell: (subject) => cli.out.bold(printable(subject.username)) },
        { title: 'name', cell: (subject) => printable(String(subject.claims.name ?? '')), flexible: true },
        { title: 'roles', cell: (subject) => subject.roles.map(printable).join(', ') || cli.out.dim('–') },
        { title: 'signs in with', cell: (subject) => signsInWith(cli, subject) },
        { title: 'status', cell: (subject) => standing(cli.out, subject.status) },
        { title: 'created', cell: (subject) => relative(subject.created_at * 1000, cli.now()) },
        { title: 'id', cell: (subject) => cli.out.dim(printable(subject.id)) },
      ],
      'Nobody yet. `signet user invite` makes a link for somebody.',
    )
  },
})

const show = command({
  brief: 'Show one person',
  args: USER,
  async run(cli: Cli, _flags: object, named: string) {
    const subject = await findUser(await cli.admin(), named)
    cli.show(subject, () => drawUser(cli, subject))
  },
})

interface NewFlags {
  readonly name?: string
  readonly email?: string
  readonly claim?: readonly string[]
  readonly admin: boolean
}
const NEW = {
  name: flag.optional('Full name', 'NAME'),
  email: flag.optional('E-mail address', 'ADDRESS'),
  claim: flag.each('Another OpenID claim', 'NAME=VALUE'),
  admin: flag.on('May administer Signet'),
} as const

const invite = command({
  brief: 'Make a link with which somebody new sets up a passkey or password',
  about: 'The account is made when they open the link. It works once and is shown once.',
  flags: NEW,
  args: {
    kind: 'tuple',
    parameters: [
      { parse: String, optional: true, placeholder: 'USERNAME', brief: 'Their username; they choose one when absent' },
    ],
  },
  async run(cli: Cli, flags: NewFlags, username?: string) {
    const body = given({ username, claims: claimsOf(flags), roles: flags.admin ? ['admin' as const] : [] })
    showLink(cli, await (await cli.admin()).call('inviteSubject', { body }))
  },
})

const recover = command({
  brief: 'Make a link for somebody who has lost every way to sign in',
  about:
    'With it they set up a new passkey or password; the old ones, their sessions and grants end. It works once and is shown once.',
  args: USER,
  async run(cli: Cli, _flags: object, named: string) {
    const admin = await cli.admin()
    const { id } = await findUser(admin, named)
    showLink(cli, await admin.call('recoverSubject', { params: { id } }))
  },
})

const create = command({
  brief: 'Create a person with a password',
  about: 'The password is piped in or typed, never an argument. An invitation is mostly better: then only they know it.',
  flags: { ...NEW, noPassword: flag.on('Without one: `signet user recover` then makes a link') },
  args: arg('USERNAME', 'What the person types to sign in'),
  async run(cli: Cli, flags: NewFlags & { noPassword: boolean }, username: string) {
    const password = flags.noPassword ? undefined : await cli.given('-', 'password')
    const body = given({ username, claims: claimsOf(flags), roles: flags.admin ? ['admin' as const] : [], password })
    const made = await (await cli.admin()).call('createSubject', { body })
    cli.show(made, () => drawUser(cli, made))
  },
})

const update = command({
  brief: 'Change a person',
  about: 'New roles or claims start a claims epoch: access tokens renew silently, nobody has to sign in again.',
  flags: {
    username: flag.optional('New username', 'NAME'),
    name: flag.optional('Full name', 'NAME'),
    email: flag.optional('E-mail address', 'ADDRESS'),
    claim: flag.each('Another OpenID claim; an empty value takes it away', 'NAME=VALUE'),
    admin: flag.change('May administer Signet'),
  },
  args: USER,
  async run(
    cli: Cli,
    flags: { username?: string; name?: string; email?: string; claim?: readonly string[]; admin?: boolean },
    named: string,
  ) {
    const changed = claimsOf(flags)
    if (flags.username === undefined && flags.admin === undefined && Object.keys(changed).length === 0)
      throw nothingGiven('user update')
    const admin = await cli.admin()
    const before = await findUser(admin, named)
    const claims = Object.fromEntries(Object.entries({ ...before.claims, ...changed }).filter(([, value]) => value !== ''))
    const body = given({
      username: flags.username,
      claims: Object.keys(changed).length === 0 ? undefined : (claims as Record<string, string>),
      roles: flags.admin === undefined ? undefined : flags.admin ? ['admin' as const] : [],
    })
    const subject = await admin.call('updateSubject', { params: { id: before.id }, body })
    cli.show(subject, () => drawUser(cli, subject))
  },
})

const password = command({
  brief: 'Set a password; sessions and grants end',
  about: 'The password is piped in or typed, never an argument.',
  flags: { remove: flag.on('Take the password away: passkeys only') },
  args: USER,
  async run(cli: Cli, { remove }: { remove: boolean }, named: string) {
    const admin = await cli.admin()
    const { id, username } = await findUser(admin, named)
    const body = { password: remove ? null : await cli.given('-', 'password') }
    await admin.call('setPassword', { params: { id }, body })
    cli.show(
      { id, password: !remove },
      () =>
        `${cli.out.good('done')}  ${printable(username)} ${remove ? 'has no password any more' : 'has a new password'}; sessions and grants have ended`,
    )
  },
})

const remove = command({
  brief: 'Revoke everything of a person and forget them',
  flags: { yes: flag.yes },
  args: USER,
  async run(cli: Cli, { yes }: { yes: boolean }, named: string) {
    const admin = await cli.admin()
    const { id, username } = await findUser(admin, named)
    await cli.confirm(
      `Delete ${printable(username)} (${id}), with all sessions, devices, grants and passkeys? This cannot be undone.`,
      yes,
    )
    await admin.call('deleteSubject', { params: { id } })
    cli.show({ deleted: id }, () => `${cli.out.good('deleted')}  ${printable(username)}; every token is revoked`)
  },
})

export const user = buildRouteMap<string, Context>({
  docs: { brief: 'Look after people: who may sign in, and what they hold' },
  routes: {
    list,
    show,
    invite,
    create,
    recover,
    update,
    password,
    sessions,
    devices,
    grants,
    passkeys,
    suspend: suspendCommand('user', 'Suspend a person: nothing of theirs works until resumed'),
    resume: resumeCommand('user', 'Lift the suspension of a person'),
    delete: remove,
  },
})

function claimsOf(flags: { name?: string; email?: string; claim?: readonly string[] }): Record<string, string> {
  const claims: Record<string, string> = given({ name: flags.name, email: flags.email })
  for (const text of flags.claim ?? []) {
    const at = text.indexOf('=')
    if (at <= 0) throw wrongFlag('--claim', text, 'write --claim department=Sales')
    claims[text.slice(0, at)] = text.slice(at + 1)
  }
  return claims
}

function showLink(cli: Cli, link: { readonly url: string; readonly expires_at: number }): void {
  cli.show(link, () => printable(link.url))
  cli.say(cli.err.warn(`Shown this once; works once, until ${moment(link.expires_at * 1000, cli.now())}.`))
}

function signsInWith(cli: Cli, subject: Subject): string {
  const ways = [
    ...(subject.passkeys === 0 ? [] : [subject.passkeys === 1 ? 'passkey' : `${subject.passkeys} passkeys`]),
    ...(subject.has_password ? ['password'] : []),
  ]
  return ways.join(', ') || cli.out.warn('nothing yet')
}

function drawUser(cli: Cli, subject: Subject): string {
  const claims = Object.entries(subject.claims).map(
    ([name, value]) => `${printable(name)}  ${cli.out.dim(printable(typeof value === 'string' ? value : JSON.stringify(value)))}`,
  )
  return details(
    [
      ['username', cli.out.bold(printable(subject.username))],
      ['id', subject.id],
      ['status', standing(cli.out, subject.status)],
      ['roles', subject.roles.length === 0 ? undefined : subject.roles.map(printable).join(', ')],
      ['signs in with', signsInWith(cli, subject)],
      ['claims', claims.length === 0 ? undefined : claims],
      ['created', moment(subject.created_at * 1000, cli.now())],
      ['revoked', !wasRevoked(subject) ? undefined : `sessions and grants made before ${moment(subject.revoked_ms, cli.now())}`],
    ],
    cli.out,
  )
}
