/** Practising for bad days: what each drill does, and doing it. */
import type { AdminClient } from '@signet/api/client.ts'
import { ApiError } from '@signet/api/errors.ts'
import type { AdminScope } from '@signet/api/schema.ts'
import { buildRouteMap } from '@stricli/core'
import type { Cli, CommonFlags, Context } from '../cli.ts'
import { arg, command, flag } from '../command.ts'
import { findEmpty } from '../drill/database.ts'
import { type Drill, type Left, type Leftover, leftOf, type Outcome, playOut, type Run, type Step } from '../drill/drill.ts'
import { DRILLS } from '../drill/drills.ts'
import { findNats } from '../drill/nats.ts'
import { demandSample } from '../drill/scratch.ts'
import type { Paint } from '../output/paint.ts'
import { printable } from '../output/printable.ts'
import { details } from '../output/table.ts'
import { short } from '../output/time.ts'
import { EXIT, type ExitCode, Trouble, troubleOf } from '../trouble.ts'

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
        scopes_named: named?.scopes,
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
              : [
                  ...numbered('when named', named.does),
                  ['harm', named.harm ?? 'none'] as const,
                  ['rights', named.scopes.join(', ')] as const,
                ]),
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
a named one it acts on the authority that your credentials are for, and asks before it does what people there would notice. What it made is put away
however it ends, Ctrl-C too. Exit code 1 when something was not as it must be, 3 when it could not go on because somebody did not answer, 130 after
Ctrl-C. Where it says "not checked", it has not shown that.`,
  flags: {
    environment: { kind: 'enum', values: ['scratch', 'named'], default: 'scratch', brief: 'Where' },
    database: flag.optional(
      'For a scratch environment: an empty PostgreSQL database; a schema is made in it and dropped again',
      'URL',
    ),
    bus: flag.optional('For a scratch environment: a NATS server, or several with commas between', 'URL'),
    yes: flag.yes,
  },
  args: arg('NAME', 'As `signet drill list` names it'),
  async run(cli: Cli, flags: RunFlags & CommonFlags, name: string): Promise<ExitCode> {
    const drill = find(name)
    cli.say(`${cli.err.bold(drill.name)}: ${drill.brief}`)
    const told = flags.environment === 'named' ? (drill.named?.does ?? []) : drill.does
    for (const [index, does] of told.entries()) cli.say(cli.err.dim(`  ${index + 1}. ${does}`))
    const play = flags.environment === 'named' ? await prepareNamed(cli, drill, flags) : await prepareScratch(cli, drill, flags)
    const began = performance.now()
    const clock = createClock(cli)
    const leftovers: Leftover[] = []
    const outcome = await playOut(play, {
      told: (step) => cli.say(drawStep(cli, step)),
      doing: clock.doing,
      interrupted: stopSignal(cli, leftovers),
      leftovers,
    })
    clock.stop()
    const exit = report(cli, drill, flags, outcome, performance.now() - began)
    // What was under way when it was stopped may still wait for an answer.
    return outcome.interrupted ? process.exit(INTERRUPTED) : exit
  },
})

/** As a shell has it of a program that Ctrl-C ended. */
const INTERRUPTED = 130

/** Whoever ends it, by Ctrl-C or by closing the terminal, has what it made put away; whoever does it twice has not. */
function stopSignal(cli: Cli, leftovers: readonly Leftover[]): AbortSignal {
  const stopping = new AbortController()
  let stoppedMs = 0
  const stop = () => {
    if (stopping.signal.aborted) {
      if (performance.now() - stoppedMs < ECHO_MS) return
      for (const left of leftOf(leftovers)) cli.say(drawLeft(cli.err, left))
      process.exit(INTERRUPTED)
    }
    stoppedMs = performance.now()
    stopping.abort()
    cli.say('Stopping, and putting away what was made. Once more ends it at once.')
  }
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, stop)
  return stopping.signal
}

/** What the terminal sends to all, npm sends on to its child once more. */
const ECHO_MS = 500

/** What goes on, and for how long already. */
function createClock(cli: Cli) {
  let now = ''
  let began = 0
  const draw = () => {
    const seconds = Math.floor((performance.now() - began) / 1000)
    if (now !== '') cli.progress(cli.err.dim(`… ${now}${seconds === 0 ? '' : `  ${seconds} s`}`))
  }
  const timer = setInterval(draw, 1000)
  return {
    doing(what: string) {
      now = what
      began = performance.now()
      draw()
    },
    stop: () => clearInterval(timer),
  }
}

function report(cli: Cli, drill: Drill, { environment }: RunFlags, outcome: Outcome, tookMs: number): ExitCode {
  const { steps, notChecked, interrupted, left } = outcome
  const broke = outcome.broke === undefined ? undefined : troubleOf(outcome.broke)
  // The step at which it broke may be as it must be; nobody knows.
  const wrong = (broke === undefined ? steps : steps.slice(0, -1)).filter((step) => !step.ok).length
  const ok = broke === undefined && !interrupted && wrong === 0
  const harmed = environment === 'named' && drill.named?.harm !== undefined
  const why = interrupted
    ? `you stopped it${left.length > 0 ? '' : harmed ? '; what it did stays done' : ', and nothing of it is left'}`
    : (broke?.message ?? `${wrong === 1 ? '1 thing was' : `${wrong} things were`} not as they must be`)
  cli.show(
    {
      drill: drill.name,
      environment,
      ok,
      took_ms: Math.round(tookMs),
      ...(interrupted && { interrupted }),
      ...(broke && { broke: printable(`${broke.message}: ${broke.why}`), advice: broke.advice }),
      steps: steps.map(jsonStep),
      not_checked: notChecked,
      ...(left.length > 0 && { left: left.map(({ what, byHand }) => ({ what, by_hand: byHand })) }),
    },
    () =>
      [
        ok
          ? `${cli.out.good('passed')}  ${drill.name} in ${short(tookMs)}`
          : `${cli.out.bad('failed')}  ${drill.name}: ${printable(why)}`,
        ...(broke === undefined
          ? []
          : [`${cli.out.dim('   why')}  ${printable(broke.why)}`, `${cli.out.dim('    do')}  ${printable(broke.advice)}`]),
        ...notChecked.map((what) => `${cli.out.warn('not checked')}  ${what}`),
        ...left.map((one) => drawLeft(cli.out, one)),
      ].join('\n'),
  )
  if (ok) return EXIT.done
  return wrong === 0 && broke?.exit === EXIT.unreachable ? EXIT.unreachable : EXIT.refused
}

type Play = (run: Run) => Promise<void>

/** Everything that can be known before anything is done: the place, the rights, and that somebody is there who says that it worked. */
async function prepareNamed(cli: Cli, drill: Drill, { yes, database, bus }: RunFlags): Promise<Play> {
  const { named } = drill
  if (named === undefined)
    throw needed(
      drill,
      'it cuts connections or stops an authority, which is for scratch environments',
      'Leave --environment away.',
    )
  if (database !== undefined || bus !== undefined)
    throw needed(drill, '--database and --bus are for scratch environments', 'Leave them away, or leave --environment away.')
  const admin = await cli.admin()
  await demandRights(admin, drill, named.scopes)
  const { counts } = await admin.call('listFleet', { query: { limit: 1 } })
  const present = counts.applied + counts.lagging
  if (present === 0) {
    throw new Trouble({
      what: `Nothing was done: ${drill.name} could show nothing`,
      why: `no validator reports to ${printable(admin.issuer)}, so nobody could say that it reached a service`,
      advice:
        '`signet fleet` shows who reports; a validator does when it has feed credentials and a name. Without any, leave --environment away: a scratch environment has a service of its own.',
      exit: EXIT.refused,
      code: 'no_validators',
    })
  }
  cli.say(`${present} ${present === 1 ? 'validator reports' : 'validators report'} to ${printable(admin.issuer)}.`)
  if (named.harm !== undefined)
    await cli.confirm(`Run ${drill.name} on ${printable(admin.issuer)}? ${named.harm}`, yes, drill.name)
  return (run) => named.play(run, admin)
}

async function demandRights(admin: AdminClient, drill: Drill, scopes: readonly AdminScope[]): Promise<void> {
  for (const scope of scopes) {
    try {
      // A client that was registered with `signet:admin` alone may do everything.
      await admin.accessToken(scope).catch((error) => admin.accessToken('signet:admin').catch(() => Promise.reject(error)))
    } catch (error) {
      if (!(error instanceof ApiError) || error.kind !== 'forbidden') throw error
      throw new Trouble({
        what: `Nothing was done: ${drill.name} needs rights that your credentials lack`,
        why: `their client may not have ${scope}; the drill needs ${scopes.join(', ')}`,
        advice: troubleOf(error).advice,
        exit: EXIT.refused,
        code: 'forbidden',
      })
    }
  }
}

async function prepareScratch(
  cli: Cli,
  drill: Drill,
  { database, bus, server, credentials }: RunFlags & CommonFlags,
): Promise<Play> {
  if (server !== undefined || credentials !== undefined)
    throw needed(
      drill,
      'a scratch environment is an authority of its own, and --server and --credentials name another',
      'To drill there, add --environment named; else leave them away.',
    )
  for (const [what, given] of [
    ['database', database],
    ['bus', bus],
  ] as const) {
    const need = drill.needs?.[what]
    if (need !== undefined && given === undefined) throw needed(drill, `it needs ${need}`, `Name one with --${what} URL.`)
  }
  if (bus !== undefined && drill.needs?.bus === undefined) throw needed(drill, 'it has no use for a bus', 'Leave --bus away.')
  if (database !== undefined && drill.sqliteOnly !== undefined) throw needed(drill, drill.sqliteOnly, 'Leave --database away.')
  demandSample()
  cli.progress(cli.err.dim('… looking at what was given'))
  const place = {
    ...(bus === undefined ? {} : { nats: await findNats(bus) }),
    ...(database === undefined ? {} : { database: await findEmpty(database) }),
  }
  return (run) => drill.scratch(run, place)
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

const drawLeft = (paint: Paint, { what, byHand }: Left): string =>
  `${paint.warn('left')}  ${what}, which was not put away: ${paint.bold(byHand)}`

function drawStep(cli: Cli, { what, ok, ms }: Step): string {
  const time = ms === undefined ? '' : cli.err.dim(`  ${short(ms)}`)
  return `${ok ? cli.err.good('✓') : cli.err.bad('✗')} ${what}${time}`
}

export const drill = buildRouteMap<string, Context>({
  docs: { brief: 'Practise for bad days: leaked tokens, stolen keys, outages, restores' },
  routes: { list, show, run },
})
