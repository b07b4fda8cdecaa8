/** Many at once: what a selector names is counted first, then taken back, held or let go on at a bounded rate. */
import { readFile } from 'node:fs/promises'
import type { AdminClient } from '@signet/api/client.ts'
import type { Batch, Call } from '@signet/api/schema.ts'
import { buildRouteMap } from '@stricli/core'
import type { Cli, Context } from '../cli.ts'
import { arg, command, flag, given, parseCount } from '../command.ts'
import { printable } from '../output/printable.ts'
import { details } from '../output/table.ts'
import { localTime, pastOf, relative, timeOf } from '../output/time.ts'
import { patiently } from '../patience.ts'
import { EXIT, type ExitCode, Trouble } from '../trouble.ts'

type Body = NonNullable<Call<'planBatch'>['body']>
type Selector = Body['selector']

interface PlanFlags {
  readonly action?: NonNullable<Body['action']>
  readonly client?: string
  readonly user?: readonly string[]
  readonly usersFile?: string
  readonly scope?: string
  readonly issuedAfter?: string
  readonly issuedBefore?: string
  readonly platform?: NonNullable<Selector['platform']>
  readonly network?: string
  readonly agent?: readonly string[]
  readonly everything: boolean
  readonly reason?: string
  readonly perSecond?: number
}

const REASON = flag.optional('Goes into the audit record: no personal data', 'TEXT')
const BATCH = arg('BATCH', 'The id that planning it gave')

const plan = command({
  brief: 'Count what a selector names; nothing is changed',
  about: `What several flags say must all be true of a grant. A client alone, people alone, and everything are one cutoff each and end sessions
too; all else goes grant by grant. Only grants that are there now are meant: whoever signs in later is not.`,
  flags: {
    action: { kind: 'enum', values: ['revoke', 'suspend', 'resume'], optional: true, brief: 'Default revoke' },
    client: flag.optional('Grants of this client', 'ID'),
    user: flag.many('Grants of these people', 'USER'),
    usersFile: flag.optional('The same, a username or id to a line; - reads standard input', 'FILE'),
    scope: flag.optional('Grants with this scope, perhaps beside others', 'SCOPE'),
    issuedAfter: flag.optional('Grants made since so long ago (2h, 7d) or since a time', 'TIME'),
    issuedBefore: flag.optional('Grants made until then', 'TIME'),
    platform: {
      kind: 'enum',
      values: ['web', 'browser', 'native', 'service'],
      optional: true,
      brief: 'Grants for this class of installation',
    },
    network: flag.optional('Grants last refreshed from this IPv4 /24 or IPv6 /48, by one of --agent', 'CIDR'),
    agent: flag.each('A User-Agent header, exactly: network and agent are kept as one digest', 'TEXT'),
    everything: flag.on('Nothing narrows it'),
    reason: REASON,
    perSecond: flag.number('Entries a second, at most; default 200'),
  },
  async run(cli: Cli, flags: PlanFlags) {
    const subjects = [...(flags.user ?? []), ...(flags.usersFile === undefined ? [] : await readUsers(cli, flags.usersFile))]
    const selector = given({
      everything: flags.everything ? (true as const) : undefined,
      client: flags.client,
      subjects: subjects.length === 0 ? undefined : subjects,
      scope: flags.scope,
      issued_from_ms: flags.issuedAfter === undefined ? undefined : pastOf('--issued-after', flags.issuedAfter, cli.now()),
      issued_to_ms: flags.issuedBefore === undefined ? undefined : timeOf('--issued-before', flags.issuedBefore, cli.now()),
      platform: flags.platform,
      network: flags.network,
      agents: flags.agent === undefined ? undefined : [...flags.agent],
    }) as Selector
    const body = given({
      selector,
      action: flags.action,
      reason: flags.reason ?? 'batch by an administrator',
      per_second: flags.perSecond,
    }) as Body
    await count(cli, await cli.admin(), body, 'signet batch start')
  },
})

/** Plans it and shows the plan. `remark`: what can be done with its id. */
async function count(cli: Cli, admin: AdminClient, body: Body, remark: string): Promise<void> {
  for await (const line of admin.stream('planBatch', { body })) {
    if (line.kind === 'progress') cli.progress(cli.err.dim(`${line.looked} looked at, ${line.grants} meant …`))
    else cli.show(line, () => `${draw(cli, line)}\n\n${cli.out.dim(`${remark} ${line.id}`)}`)
  }
}

/** What revoking it would take along: the plan of a batch that is not started. */
export const dryRun = (cli: Cli, admin: AdminClient, selector: Selector, reason = 'dry run'): Promise<void> =>
  count(
    cli,
    admin,
    { selector, action: 'revoke', reason },
    'Nothing was changed. The same without --dry-run does it, or signet batch start',
  )

const start = command({
  brief: 'Start a batch that was planned',
  about: 'Where the plan warns, the number of what it touches must be typed, or given with --accept.',
  flags: {
    accept: { kind: 'parsed', parse: parseCount, optional: true, placeholder: 'N', brief: 'What the plan touches' },
    watch: flag.on('Show how it goes until it ends'),
    yes: flag.yes,
  },
  args: BATCH,
  async run(cli: Cli, flags: { accept?: number; watch: boolean; yes: boolean }, id: string): Promise<ExitCode | undefined> {
    const admin = await cli.admin()
    const planned = await admin.call('showBatch', { params: { id } })
    const touches = planned.touches ?? planned.grants ?? 0
    if (planned.warning && flags.accept !== touches) {
      cli.say(draw(cli, planned))
      if (!cli.interactive || flags.accept !== undefined) {
        throw new Trouble({
          what: 'Nothing was started',
          why: `it touches ${touches} (${drawWhole(planned)}), more than policy lets pass unasked${flags.accept === undefined ? '' : `, and --accept says ${flags.accept}`}`,
          advice: `Add --accept ${touches} if you mean it; \`signet batch show ${id}\` says what it is.`,
          exit: EXIT.refused,
          code: 'blast_radius_not_accepted',
        })
      }
      await cli.confirm(`Really ${planned.action} ${drawWhole(planned)}?`, false, String(touches))
    } else if (!planned.warning) {
      await cli.confirm(`Really ${planned.action} ${drawWhole(planned)}?`, flags.yes)
    }
    const begun = await admin.call('startBatch', {
      params: { id },
      body: planned.warning ? { accept: touches } : {},
      ...(planned.warning ? { scope: 'signet:admin' } : {}),
    })
    if (flags.watch) return follow(cli, admin, id)
    cli.show(begun, () => `${draw(cli, begun)}\n\n${cli.out.dim(`signet batch watch ${printable(begun.id)}`)}`)
    return undefined
  },
})

const list = command({
  brief: 'List batches, newest first',
  flags: { after: flag.after, limit: flag.limit },
  async run(cli: Cli, { after, limit }: { after?: string; limit?: number }) {
    const reply = await (await cli.admin()).call('listBatches', { query: given({ after, limit }) })
    cli.list(
      reply,
      [
        { title: 'batch', cell: (row) => cli.out.bold(printable(row.id)) },
        { title: 'action', cell: (row) => printable(row.action) },
        { title: 'state', cell: (row) => drawState(cli, row) },
        { title: 'moved', cell: (row) => `${row.moved} of ${row.entries}`, align: 'right' },
        { title: 'planned', cell: (row) => relative(row.planned_at_ms, cli.now()) },
        { title: 'reason', cell: (row) => printable(row.reason), flexible: true },
      ],
      'No batches yet.',
    )
  },
})

const show = command({
  brief: 'Show one batch and how far it is',
  args: BATCH,
  async run(cli: Cli, _flags: object, id: string) {
    const batch = await (await cli.admin()).call('showBatch', { params: { id } })
    cli.show(batch, () => draw(cli, batch))
  },
})

const watch = command({
  brief: 'Show how a batch goes until it ends or is paused',
  about:
    'With --json a line for each step. An authority that is away is asked again for a minute. Ctrl-C ends the watching, not the batch. Exit code 1 when it did not get done.',
  args: BATCH,
  async run(cli: Cli, _flags: object, id: string): Promise<ExitCode> {
    const admin = await cli.admin()
    await admin.metadata() // A wrong address is told at once.
    return follow(cli, admin, id)
  },
})

const undo = command({
  brief: 'Undo a suspension batch: what it suspended goes on',
  about: `Exactly what it suspended is resumed, at the same rate, by a batch of its own: not what was suspended otherwise, before, since or beside it.
What a batch revoked has ended for good; a wide cutoff can be undone with \`signet revoke undo\`.`,
  flags: { reason: REASON, yes: flag.yes },
  args: BATCH,
  async run(cli: Cli, { reason, yes }: { reason?: string; yes: boolean }, id: string) {
    await cli.confirm('Resume everything that this batch holds suspended?', yes)
    const undoing = await (await cli.admin()).call('undoBatch', {
      params: { id },
      body: { reason: reason ?? 'undone by an administrator' },
    })
    cli.show(undoing, () => draw(cli, undoing))
  },
})

function moving(brief: string, name: 'pauseBatch' | 'resumeBatch' | 'cancelBatch') {
  return command({
    brief,
    args: BATCH,
    async run(cli: Cli, _flags: object, id: string) {
      const batch = await (await cli.admin()).call(name, { params: { id } })
      cli.show(batch, () => draw(cli, batch))
    },
  })
}

export const batch = buildRouteMap<string, Context>({
  docs: {
    brief: 'Take back or suspend many at once: count, start, watch, undo',
    fullDescription: `Take back or suspend many at once: count, start, watch, undo.

A batch is planned first, which counts and changes nothing, then started. It runs at a bounded rate on any node, goes on by itself
after a crash, and can be paused, cancelled and, when it only suspended, undone.`,
  },
  routes: {
    plan,
    start,
    list,
    show,
    watch,
    pause: moving('Pause a batch', 'pauseBatch'),
    resume: moving('Let a paused or failed batch go on', 'resumeBatch'),
    cancel: moving('Cancel a batch; what is done stays done', 'cancelBatch'),
    undo,
  },
})

const LOOK_EVERY_MS = 250
const BAR = 24

async function follow(cli: Cli, admin: AdminClient, id: string): Promise<ExitCode> {
  let told = ''
  const look = () => admin.call('showBatch', { params: { id } })
  const givenUp = {
    what: 'Could not watch the batch to its end',
    advice: `It goes on by itself, on any node. Watch it again with \`signet batch watch ${id}\`.`,
  }
  for (;;) {
    const now = await patiently(cli, look, givenUp)
    const isOver = now.state !== 'running'
    const step = JSON.stringify([now.state, now.moved, now.unmoved])
    if (cli.json && step !== told) cli.line(now, () => '')
    told = step
    if (isOver || cli.interrupted.aborted) {
      if (!cli.json) cli.show(now, () => draw(cli, now))
      if (now.state === 'planned') cli.say(cli.err.dim(`Nobody has started it: signet batch start ${printable(id)}`))
      if (!isOver)
        cli.say(cli.err.warn(`The batch goes on. \`signet batch pause ${printable(id)}\` holds it, \`cancel\` ends it.`))
      return now.state === 'done' ? EXIT.done : EXIT.refused
    }
    const share = now.entries === 0 ? 1 : Math.min(1, (now.moved + now.unmoved) / now.entries)
    const full = Math.round(share * BAR)
    const left = Math.max(0, now.entries - now.moved - now.unmoved) / now.per_second
    cli.progress(
      `${'█'.repeat(full)}${cli.err.dim('░'.repeat(BAR - full))} ${Math.floor(share * 100)} %  ${now.moved} of ${now.entries}  ${cli.err.dim(`about ${Math.ceil(left)} s left`)}`,
    )
    await cli.pause(LOOK_EVERY_MS)
  }
}

/** A cutoff on a client or a person ends more than the grants that were counted. */
function drawWhole({ method, entries, selector, grants = 0, api_keys = 0, own_tokens }: Batch): string {
  if (method === 'grants') return counted(entries, 'grant', 'grants')
  if (selector.everything === true) return `everything, with ${counted(grants, 'grant', 'grants')}`
  const whole =
    selector.client === undefined ? counted(entries, 'person', 'people') : `client ${printable(String(selector.client))}`
  const with_ = [
    counted(grants, 'grant', 'grants'),
    ...(api_keys === 0 ? [] : [counted(api_keys, 'API key', 'API keys')]),
    ...(own_tokens === true ? ['the tokens it got for itself'] : []),
  ]
  return `${whole}, with ${with_.join(', ')}`
}

const counted = (count: number, one: string, many: string): string => `${count} ${count === 1 ? one : many}`

const METHODS: Readonly<Record<Batch['method'], string>> = {
  one_cutoff: 'one cutoff, one entry in the log',
  cutoff_each: 'one entry in the log for each person',
  grants: 'grant by grant',
}

function draw(cli: Cli, batch: Batch): string {
  const { out } = cli
  const some = (count: number | undefined) =>
    count === undefined ? undefined : `${count}${count === batch.counted_to ? ' or more' : ''}`
  return details(
    [
      ['batch', out.bold(printable(batch.id))],
      ['state', drawState(cli, batch)],
      ['action', `${printable(batch.action)} ${out.dim(METHODS[batch.method])}`],
      [
        'selected',
        Object.entries(batch.selector).map(([name, value]) => `${printable(name)} ${printable(drawValue(name, value))}`),
      ],
      [
        'grants',
        batch.grants === undefined
          ? undefined
          : `${batch.warning ? out.warn(String(batch.grants)) : batch.grants}${batch.of_grants === undefined ? '' : out.dim(` of ${batch.of_grants}`)}`,
      ],
      ['API keys', batch.api_keys ? out.warn(String(batch.api_keys)) : undefined],
      ['its own', batch.own_tokens === true ? out.warn('tokens that it got for itself: how many, nobody knows') : undefined],
      // Whose grants they are: without any they would say of eight people that there are none.
      ...(batch.grants === 0
        ? []
        : ([
            ['sessions', some(batch.sessions)],
            ['people', some(batch.subjects)],
            ['clients', some(batch.clients)],
          ] as const)),
      [
        'warning',
        batch.warning
          ? [
              out.warn('more than policy lets pass unasked'),
              out.dim(`starting it takes signet:admin and --accept ${batch.touches ?? batch.grants}`),
            ]
          : undefined,
      ],
      ['rate', `${batch.per_second} a second, ${Math.ceil(batch.entries / batch.per_second)} s in all`],
      [
        'moved',
        batch.state === 'planned'
          ? undefined
          : `${batch.moved} of ${batch.entries}${batch.unmoved === 0 ? '' : out.dim(`, ${batch.unmoved} needed nothing`)}`,
      ],
      ['reason', printable(batch.reason)],
      ['planned', `${relative(batch.planned_at_ms, cli.now())} ${out.dim(`by ${printable(batch.actor)}`)}`],
      ['ended', batch.ended_at_ms === undefined ? undefined : relative(batch.ended_at_ms, cli.now())],
      ['trouble', batch.trouble === undefined ? undefined : out.bad(printable(batch.trouble))],
      ['next', whatNext(batch)],
      ['undoes', batch.undoes && printable(batch.undoes)],
      ['undone by', batch.undone_by && printable(batch.undone_by)],
    ],
    out,
  )
}

/** What whoever finds it stopped can do. One that was undone does not go on. */
export function whatNext({
  id,
  state,
  trouble,
  undone_by,
}: Pick<Batch, 'id' | 'state' | 'trouble' | 'undone_by'>): string | undefined {
  if (undone_by !== undefined) return undefined
  if (state === 'paused') return `signet batch resume ${printable(id)}, or cancel`
  if (state !== 'failed') return undefined
  return trouble === 'more_than_planned'
    ? 'more is meant by now than the plan counted: signet batch plan counts again'
    : `the log of the authority says what broke; signet batch resume ${printable(id)} tries again`
}

const drawValue = (name: string, value: string | number | boolean): string =>
  name.endsWith('Ms') && typeof value === 'number' ? localTime(value) : String(value)

function drawState(cli: Cli, { state }: Batch): string {
  if (state === 'done') return cli.out.good(state)
  return state === 'failed' ? cli.out.bad(state) : state === 'running' ? cli.out.accent(state) : state
}

const LONGEST_LIST = 1024 * 1024

/** Empty lines do not count, nor does what follows a #. */
async function readUsers(cli: Cli, file: string): Promise<readonly string[]> {
  const text =
    file === '-'
      ? await cli.given('-', undefined, LONGEST_LIST)
      : await readFile(file, 'utf8').catch((error: Error) => Promise.reject(unreadable(file, error.message)))
  if (text.length > LONGEST_LIST) throw unreadable(file, `it is longer than ${LONGEST_LIST} characters`)
  return text
    .split('\n')
    .map((line) => line.replace(/#.*/, '').trim())
    .filter((line) => line !== '')
}

const unreadable = (file: string, why: string): Trouble =>
  new Trouble({
    what: `Could not read ${file}`,
    why,
    advice: 'Name a file with a username or id to a line, at most 10,000 of them.',
    exit: EXIT.usage,
    code: 'unreadable_file',
  })
