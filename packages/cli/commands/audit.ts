/** The record: look things up in it, and prove that nobody altered it. */
import { readFile } from 'node:fs/promises'
import type { AuditEvent, AuditVerification } from '@signet/api/schema.ts'
import { buildRouteMap } from '@stricli/core'
import type { Cli, Context } from '../cli.ts'
import { command, flag, given } from '../command.ts'
import { printable } from '../output/printable.ts'
import { details } from '../output/table.ts'
import { localTime, moment, pastOf, relative, short, timeOf } from '../output/time.ts'
import { EXIT, type ExitCode, Trouble } from '../trouble.ts'

interface SearchFlags {
  readonly type?: string
  readonly since?: string
  readonly until?: string
  readonly after?: string
  readonly limit?: number
}

const search = command({
  brief: 'Search the audit record',
  about: 'Events in time order. TEXT is an id, an actor, a reason: anything that stands in the event.',
  flags: {
    type: flag.optional('Only these events, such as token.refused or token.*', 'TYPE'),
    since: flag.optional('From so long ago (2h, 7d) or from a time; default 24h', 'TIME'),
    until: flag.optional('Up to then', 'TIME'),
    after: flag.after,
    limit: flag.limit,
  },
  args: { kind: 'tuple', parameters: [{ parse: String, optional: true, placeholder: 'TEXT', brief: 'What to look for' }] },
  async run(cli: Cli, flags: SearchFlags, text?: string) {
    const query = given({
      text,
      type: flags.type,
      from_ms: flags.since === undefined ? undefined : pastOf('--since', flags.since, cli.now()),
      to_ms: flags.until === undefined ? undefined : timeOf('--until', flags.until, cli.now()),
      after: flags.after,
      limit: flags.limit,
    })
    const reply = await (await cli.admin()).call('searchAudit', { query })
    cli.list<AuditEvent>(
      reply,
      [
        { title: 'time', cell: (event) => cli.out.dim(localTime(event.at_ms)) },
        { title: 'event', cell: (event) => paintType(cli, event.type) },
        { title: 'actor', cell: (event) => printable(event.actor) },
        { title: 'about', cell: (event) => about(event), flexible: true },
      ],
      'Nothing found. --since looks further back.',
    )
  },
})

const verify = command({
  brief: 'Prove that nothing in the record was altered, removed or reordered',
  about: `Recomputes every hash and checks every checkpoint. Exit code 1 and the first bad record when something is wrong. With
--checkpoint the record must agree with notes that you kept elsewhere, whatever the store holds now.`,
  flags: { checkpoint: flag.each('A checkpoint note that you kept', 'FILE') },
  async run(cli: Cli, { checkpoint }: { checkpoint?: readonly string[] }): Promise<ExitCode> {
    const copies = await Promise.all((checkpoint ?? []).map(readNote))
    const admin = await cli.admin()
    let result: Result | undefined
    for await (const line of admin.stream('verifyAudit', { body: { copies }, signal: cli.interrupted })) {
      if (line.kind === 'result') result = line
      else
        cli.progress(
          cli.err.dim(
            `link ${line.index.toLocaleString('en')} of ${line.of.toLocaleString('en')} in chain ${printable(line.chain)} …`,
          ),
        )
    }
    if (result === undefined) return EXIT.refused
    cli.show(result, () => drawResult(cli, result as Result))
    return result.sound ? EXIT.done : EXIT.refused
  },
})

const checkpoint = command({
  brief: 'Sign the heads of all chains now, or list earlier checkpoints',
  about: 'Keep the note elsewhere: whoever has it can prove that the record was not rewritten up to there.',
  flags: { list: flag.on('List instead, newest first'), after: flag.after, limit: flag.limit },
  async run(cli: Cli, { list, after, limit }: { list: boolean; after?: string; limit?: number }) {
    const admin = await cli.admin()
    if (list || after !== undefined || limit !== undefined) {
      const reply = await admin.call('listCheckpoints', { query: given({ after, limit }) })
      cli.list(
        reply,
        [
          { title: 'time', cell: ({ at_ms }) => moment(at_ms, cli.now()) },
          {
            title: 'number',
            cell: ({ note }) => printable(/^number (.*)$/m.exec(note)?.[1] ?? 'cannot be read'),
            align: 'right',
          },
          { title: 'chains', cell: ({ note }) => String(note.match(/^chain /gm)?.length ?? 0), align: 'right' },
        ],
        'No checkpoints yet.',
      )
      return
    }
    const made = await admin.call('makeCheckpoint')
    cli.show(made, () => made.note.split('\n').map(printable).join('\n').trimEnd())
  },
})

export const audit = buildRouteMap<string, Context>({
  docs: { brief: 'Search the audit record and prove it intact' },
  routes: { search, verify, checkpoint },
})

type Result = Extract<AuditVerification, { kind: 'result' }>

async function readNote(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8')
  } catch (error) {
    throw new Trouble({
      what: `Could not read the note ${path}`,
      why: (error as Error).message,
      advice: 'Name a file that `signet audit checkpoint` made',
      exit: EXIT.usage,
      code: 'usage',
    })
  }
}

function drawResult(cli: Cli, result: Result): string {
  const { out } = cli
  const findings = result.findings.map(
    ({ problem, chain, index, checkpoint }) =>
      `${out.bad(printable((PROBLEMS[problem] ?? problem).replaceAll('_', ' ')))}${chain === undefined ? '' : `, chain ${printable(chain)}`}${index === undefined ? '' : ` link ${index}`}${checkpoint === undefined ? '' : `, checkpoint ${checkpoint}`}`,
  )
  return details(
    [
      ['verdict', result.sound ? out.good('intact') : out.bad(out.bold('not intact'))],
      ['first wrong', findings.length === 0 ? undefined : findings],
      ['chains', String(result.chains)],
      ['links', result.batches.toLocaleString('en')],
      ['events', result.events.toLocaleString('en')],
      [
        'checkpoints',
        `${result.checkpoints}${result.last_checkpoint_at_ms === undefined ? '' : `, the last ${relative(result.last_checkpoint_at_ms, cli.now())}`}${result.distrusted === 0 ? '' : out.warn(`, ${result.distrusted} by a key that was stolen since`)}`,
      ],
      ['took', short(result.took_ms)],
    ],
    out,
  )
}

const PROBLEMS: Readonly<Record<string, string>> = {
  missing: 'a link is missing',
  unreadable: 'the events are not what was written',
  wrong_count: 'events were added or taken out',
  broken_link: 'a link does not follow on the one before it',
  altered: 'a link was altered',
  wrong_head: 'links were cut off at the end',
  against_checkpoint: 'the chain was rewritten: a checkpoint says otherwise',
  missing_chain: 'a whole chain is gone',
  malformed_checkpoint: 'a checkpoint cannot be read',
  unsigned_checkpoint: 'a checkpoint has no good signature',
  broken_checkpoint_link: 'a checkpoint is missing or was replaced',
  missing_checkpoint: 'a checkpoint that was kept elsewhere is not in the store',
}

function paintType(cli: Cli, type: string): string {
  const text = printable(type)
  if (/refused|reuse|compromised|leak/.test(type)) return cli.out.bad(text)
  if (/revocation|suspension|deleted|removed|withdrawn/.test(type)) return cli.out.warn(text)
  return text
}

function about(event: AuditEvent): string {
  const ids = Object.entries(event.ids).map(([role, id]) => `${role}=${id}`)
  const rest = Object.entries(event.detail).map(
    ([name, value]) => `${name}=${Array.isArray(value) ? value.join(',') : String(value)}`,
  )
  return printable([...ids, ...rest].join(' '))
}
