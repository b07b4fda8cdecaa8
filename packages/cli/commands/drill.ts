/** Practising for bad days: what each drill does, and doing it. */
import { buildRouteMap } from '@stricli/core'
import type { Cli, Context } from '../cli.ts'
import { arg, command, flag } from '../command.ts'
import { createRun, type Drill, type Step } from '../drill/drill.ts'
import { DRILLS } from '../drill/drills.ts'
import { closeScratch } from '../drill/scratch.ts'
import { printable } from '../output/printable.ts'
import { details } from '../output/table.ts'
import { short } from '../output/time.ts'
import { EXIT, type ExitCode, Trouble } from '../trouble.ts'

const list = command({
  brief: 'List the drills there are',
  async run(cli: Cli) {
    const items = DRILLS.map((drill) => ({
      name: drill.name,
      brief: drill.brief,
      needs: needsOf(drill),
      named: drill.named !== undefined,
    }))
    cli.list(
      { items },
      [
        { title: 'drill', cell: ({ name }) => cli.out.bold(name) },
        { title: 'about', cell: ({ brief }) => brief },
        { title: 'needs', cell: ({ needs }) => needs ?? cli.out.dim('nothing') },
        { title: 'where', cell: ({ named }) => (named ? 'scratch, named' : 'scratch') },
      ],
      'No drills.',
    )
  },
})

const show = command({
  brief: 'Show what a drill does, without doing it',
  args: arg('NAME', 'As `signet drill list` names it'),
  async run(cli: Cli, _flags: object, name: string) {
    const drill = find(name)
    const { named } = drill
    cli.show(
      {
        name: drill.name,
        brief: drill.brief,
        does: drill.does,
        needs: drill.needs ?? {},
        does_named: named?.does,
        harm: named?.harm,
      },
      () =>
        details(
          [
            ['drill', cli.out.bold(drill.name)],
            ['about', drill.brief],
            ...numbered('does', drill.does),
            ['needs', needsOf(drill)],
            ...(named === undefined
              ? [['when named', 'only in a scratch environment'] as const]
              : [...numbered('when named', named.does), ['harm', named.harm ?? 'none'] as const]),
          ],
          cli.out,
        ),
    )
  },
})

interface RunFlags {
  readonly environment: 'scratch' | 'named'
  readonly database?: string
  readonly bus?: string
  readonly yes: boolean
}

const run = command({
  brief: 'Run a drill: tells what it does, does it, checks what must be true, and reports the times',
  about: `In a scratch environment it starts an authority and a service of its own, on SQLite or on an empty database that you give, and removes them. In
a named one it acts on the authority that your credentials are for, and asks before it does what people there would notice. Exit code 1 when
something was not as it must be.`,
  flags: {
    environment: { kind: 'enum', values: ['scratch', 'named'], default: 'scratch', brief: 'Where' },
    database: flag.optional('For a scratch environment: an empty PostgreSQL database; it is written to', 'URL'),
    bus: flag.optional('For a scratch environment: a NATS server', 'URL'),
    yes: flag.yes,
  },
  args: arg('NAME', 'As `signet drill list` names it'),
  async run(cli: Cli, flags: RunFlags, name: string): Promise<ExitCode> {
    const drill = find(name)
    cli.say(`${cli.err.bold(drill.name)}: ${drill.brief}`)
    const told = flags.environment === 'named' ? (drill.named?.does ?? []) : drill.does
    for (const [index, does] of told.entries()) cli.say(cli.err.dim(`  ${index + 1}. ${does}`))
    const stop = () => void closeScratch().finally(() => process.exit(130))
    cli.interrupted.addEventListener('abort', stop, { once: true })
    const began = performance.now()
    const playing = createRun((step) => cli.say(drawStep(cli, step)))
    let broke: string | undefined
    try {
      if (flags.environment === 'named') await playNamed(cli, drill, flags, playing)
      else await playScratch(drill, flags, playing)
    } catch (error) {
      if (error instanceof Trouble) throw error
      broke = printable((error as Error).message)
    }
    const { steps } = playing
    const ok = broke === undefined && steps.every((step) => step.ok)
    const tookMs = performance.now() - began
    cli.show(
      {
        drill: drill.name,
        environment: flags.environment,
        ok,
        took_ms: Math.round(tookMs),
        ...(broke && { broke }),
        steps: steps.map(jsonStep),
      },
      () =>
        ok
          ? `${cli.out.good('passed')}  ${drill.name} in ${short(tookMs)}`
          : `${cli.out.bad('failed')}  ${drill.name}: ${broke ?? `${steps.filter((step) => !step.ok).length} things were not as they must be`}`,
    )
    return ok ? EXIT.done : EXIT.refused
  },
})

async function playNamed(cli: Cli, drill: Drill, { yes }: RunFlags, playing: ReturnType<typeof createRun>): Promise<void> {
  const { named } = drill
  if (named === undefined)
    throw needed(
      drill,
      'it cuts connections or stops an authority, which is for scratch environments',
      'Leave --environment away.',
    )
  const admin = await cli.admin()
  if (named.harm !== undefined)
    await cli.confirm(`Run ${drill.name} on ${printable(admin.issuer)}? ${named.harm}`, yes, drill.name)
  await named.play(playing, admin)
}

async function playScratch(drill: Drill, { database, bus }: RunFlags, playing: ReturnType<typeof createRun>): Promise<void> {
  for (const [what, given] of [
    ['database', database],
    ['bus', bus],
  ] as const) {
    const need = drill.needs?.[what]
    if (need !== undefined && given === undefined) throw needed(drill, `it needs ${need}`, `Name one with --${what} URL.`)
  }
  await drill.scratch(playing, { database: database ?? 'sqlite', nodes: 1, ...(bus !== undefined && { bus }) })
}

function needed({ name }: Drill, why: string, advice: string): Trouble {
  return new Trouble({ what: `Could not run ${name}`, why, advice, exit: EXIT.usage, code: 'drill' })
}

function find(name: string): Drill {
  const drill = DRILLS.find((each) => each.name === name)
  if (drill !== undefined) return drill
  throw new Trouble({
    what: `There is no drill ${printable(name)}`,
    why: `there are ${DRILLS.map((each) => each.name).join(', ')}`,
    advice: '`signet drill list` says what each is about.',
    exit: EXIT.usage,
    code: 'usage',
  })
}

const needsOf = ({ needs }: Drill): string | undefined =>
  needs === undefined
    ? undefined
    : Object.keys(needs)
        .map((name) => `--${name}`)
        .join(', ')

const numbered = (title: string, all: readonly string[]) =>
  all.map((does, index): [string, string] => [index === 0 ? title : '', `${index + 1}. ${does}`])

const jsonStep = ({ what, ok, ms }: Step) => ({ what, ok, ...(ms !== undefined && { ms: Math.round(ms * 10) / 10 }) })

function drawStep(cli: Cli, { what, ok, ms }: Step): string {
  const time = ms === undefined ? '' : cli.err.dim(`  ${short(ms)}`)
  return `${ok ? cli.err.good('✓') : cli.err.bad('✗')} ${what}${time}`
}

export const drill = buildRouteMap<string, Context>({
  docs: { brief: 'Practise for bad days: leaked tokens, stolen keys, outages, restores' },
  routes: { list, show, run },
})
