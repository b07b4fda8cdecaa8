/** Looks at everything that usually goes wrong, says how it is, and what to do where it is not well. */
import { readdirSync, statSync } from 'node:fs'
import { dirname, join } from 'node:path'
import type { AdminClient } from '@signet/api/client.ts'
import type { Health } from '@signet/api/schema.ts'
import type { Cli } from '../cli.ts'
import { command } from '../command.ts'
import { printable } from '../output/printable.ts'
import { bytes, relative, short, span } from '../output/time.ts'
import { EXIT, type ExitCode, troubleOf } from '../trouble.ts'
import { VERSION } from '../version.ts'
import { byTrouble } from './fleet.ts'

interface Finding {
  readonly check: string
  readonly state: 'ok' | 'warn' | 'failed'
  readonly found: string
  /** What to do about it. */
  readonly fix?: string
}

export const doctor = command({
  brief: 'Check the authority and this machine, and say how to mend what is wrong',
  about: 'Exit code 0 when nothing failed, 1 when something did, 3 when the authority cannot be reached.',
  async run(cli: Cli): Promise<ExitCode> {
    const findings: Finding[] = [...runtime(), ...stateFiles(cli)]
    let reached = true
    try {
      const admin = await cli.admin()
      const status = await timed(
        () => admin.call('showStatus'),
        () => admin.accessToken('signet:read').catch(() => undefined),
      )
      findings.push(...authority(status), ...keyAges(status.value, cli.now()), ...record(status.value), ...(await fleet(admin)))
    } catch (error) {
      const trouble = troubleOf(error)
      reached = trouble.exit !== EXIT.unreachable
      findings.push({ check: 'authority', state: 'failed', found: `${trouble.message}: ${trouble.why}`, fix: trouble.advice })
    }
    const failed = findings.filter(({ state }) => state === 'failed').length
    const warned = findings.filter(({ state }) => state === 'warn').length
    cli.show({ ok: failed === 0, findings }, () =>
      [...findings.map((finding) => draw(cli, finding)), '', summary(cli, failed, warned)].join('\n'),
    )
    return failed === 0 ? EXIT.done : reached ? EXIT.refused : EXIT.unreachable
  },
})

function runtime(): Finding[] {
  const major = Number(process.versions.node.split('.')[0])
  const found = `Node ${process.versions.node}, signet ${VERSION}`
  return [
    major >= 26
      ? { check: 'this program', state: 'ok', found }
      : { check: 'this program', state: 'failed', found, fix: 'Run it through `npm run signet`, which brings Node 26.' },
  ]
}

/** Files that nobody else may read: they open the store, the keys, the admin API. */
function stateFiles(cli: Cli): Finding[] {
  if (process.platform === 'win32') return []
  const directory = dirname(cli.credentialsFile)
  let names: string[]
  try {
    names = readdirSync(directory).filter((name) => /^(cli\.json|master\.key|signet\.db.*|backups)$/.test(name))
  } catch {
    return [
      {
        check: 'state files',
        state: 'warn',
        found: `${directory} is not here, so its permissions were not checked`,
        fix: 'Run this on the machine of the authority, in its directory.',
      },
    ]
  }
  const open = [directory, ...names.map((name) => join(directory, name))].filter((path) => (statSync(path).mode & 0o077) !== 0)
  return [
    open.length === 0
      ? { check: 'state files', state: 'ok', found: `${directory} is for its owner only` }
      : {
          check: 'state files',
          state: 'failed',
          found: `others may read ${open.join(', ')}`,
          fix: `chmod go= ${open.join(' ')}`,
        },
  ]
}

interface Timed<T> {
  readonly value: T
  readonly tookMs: number
  /** Local wall time halfway between question and answer. */
  readonly middleMs: number
}

async function timed<T>(ask: () => Promise<T>, before: () => Promise<unknown>): Promise<Timed<T>> {
  await before()
  const beganMs = performance.now()
  const value = await ask()
  const tookMs = performance.now() - beganMs
  return { value, tookMs, middleMs: Date.now() - tookMs / 2 }
}

/** Tokens are judged by time, so clocks matter: validators grant 30 s, nodes half a second. */
const CLOCK_WARN_MS = 1000
const CLOCK_FAIL_MS = 30_000

function authority({ value: status, tookMs, middleMs }: Timed<Health>): Finding[] {
  const offsetMs = Math.max(0, Math.abs(status.now_ms - middleMs) - tookMs / 2)
  const { store } = status
  return [
    {
      check: 'authority',
      state: 'ok',
      found: `${status.issuer} answers in ${short(tookMs)}, up for ${span((status.now_ms - status.started_at_ms) / 1000)}`,
    },
    status.version === VERSION
      ? { check: 'versions', state: 'ok', found: `authority ${status.version} on Node ${status.runtime}` }
      : {
          check: 'versions',
          state: 'warn',
          found: `authority ${status.version}, this program ${VERSION}`,
          fix: 'Bring both to the same version.',
        },
    offsetMs < CLOCK_WARN_MS
      ? { check: 'clock', state: 'ok', found: `within ${short(Math.max(offsetMs, tookMs / 2))} of the authority` }
      : {
          check: 'clock',
          state: offsetMs < CLOCK_FAIL_MS ? 'warn' : 'failed',
          found: `${short(offsetMs)} away from the authority's`,
          fix: 'Set both clocks by NTP.',
        },
    store.writable
      ? {
          check: 'store',
          state: 'ok',
          found: `${status.engine}, schema ${store.schema_version}, ${store.queued} waiting${store.bytes === undefined ? '' : `, ${bytes(store.bytes)}`}`,
        }
      : {
          check: 'store',
          state: 'failed',
          found: `${status.engine} cannot be written`,
          fix: 'Check disk space and permissions, or the primary of the database.',
        },
    // What was looked at above is not said twice, unless the node itself finds fault with it.
    ...status.checks
      .filter(({ state }) => state !== 'ok')
      .map(({ name, state, detail, value }) => ({
        check: printable(name),
        state,
        found: printable(
          [detail, value === undefined ? undefined : String(value)].filter((part) => part !== undefined).join(', ') || state,
        ),
        fix: 'See the log of the authority at that time.',
      })),
  ]
}

const DAY = 86_400
const OLD_KEY_SECONDS = 90 * DAY

function keyAges(status: Health, nowMs: number): Finding[] {
  const active = status.keys.find((key) => key.purpose === 'token' && key.state === 'active')
  const next = status.keys.find((key) => key.purpose === 'token' && key.state === 'next')
  if (active === undefined)
    return [
      {
        check: 'signing key',
        state: 'failed',
        found: 'no key is active, so no tokens are issued',
        fix: '`signet keys rotate --force`',
      },
    ]
  const age = Math.max(0, nowMs / 1000 - active.active_at)
  const found = `${active.alg}, active for ${span(age)}${next === undefined ? '' : ', the next one is published'}`
  if (age > OLD_KEY_SECONDS) return [{ check: 'signing key', state: 'warn', found, fix: '`signet keys rotate`' }]
  return [
    next === undefined
      ? {
          check: 'signing key',
          state: 'warn',
          found: `${found}, and no next one waits`,
          fix: 'Read the log: the schedule should have made one.',
        }
      : { check: 'signing key', state: 'ok', found },
  ]
}

/** Checkpoints are made hourly, the first within two minutes. */
const OLD_CHECKPOINT_MS = 2 * 3_600_000
const FIRST_CHECKPOINT_MS = 120_000

/** Of an authority that tells: one of an older version does not. */
export function record({ audit, now_ms, started_at_ms }: Health): Finding[] {
  if (audit === undefined) return []
  const lastMs = audit.last_checkpoint_at_ms
  const isLate = lastMs === undefined ? now_ms - started_at_ms > FIRST_CHECKPOINT_MS : now_ms - lastMs > OLD_CHECKPOINT_MS
  const found = lastMs === undefined ? 'no checkpoint was made yet' : `the last checkpoint was made ${relative(lastMs, now_ms)}`
  if (!isLate) return [{ check: 'audit record', state: 'ok', found }]
  return [
    {
      check: 'audit record',
      state: 'warn',
      found,
      fix: '`signet audit checkpoint` makes one now; the log says why none comes by itself, see docs/runbooks/upkeep-stopped.md.',
    },
  ]
}

/** A node that has not looked at the log for so long mints under old knowledge, or is about to stop minting. */
const NODE_STALE_MS = 5000

/** Validators that are named, when some are late. */
const MAX_NAMES = 10

async function fleet(admin: AdminClient): Promise<Finding[]> {
  const feed = await admin.call('showFeed')
  const { node } = feed
  const findings: Finding[] = [
    node.age_ms !== null && node.age_ms < NODE_STALE_MS
      ? {
          check: 'revocation log',
          state: 'ok',
          found: `sequence ${feed.seq}, this node is ${feed.seq - node.seq === 0 ? 'current' : `${feed.seq - node.seq} behind`}`,
        }
      : {
          check: 'revocation log',
          state: 'failed',
          found: 'this node does not follow the log',
          fix: 'Read its log: the store or the bus is cut off.',
        },
  ]
  const { applied, lagging, gone } = feed.fleet
  const known = applied + lagging + gone
  if (known === 0)
    findings.push({
      check: 'validators',
      state: 'warn',
      found: 'none has reported',
      fix: 'Protect a service with the validator, and give it feed credentials.',
    })
  else if (lagging + gone === 0) findings.push({ check: 'validators', state: 'ok', found: `${applied} of ${known} are current` })
  else {
    const { items } = await admin.call('listFleet', { query: { limit: 500 } })
    const late = items.filter(({ state }) => state !== 'applied').sort(byTrouble)
    const names = late
      .slice(0, MAX_NAMES)
      .map(({ id, state, behind }) => (state === 'gone' ? `${id} is gone` : `${id} lags by ${behind}`))
    findings.push({
      check: 'validators',
      state: 'warn',
      found: `${applied} of ${known} are current: ${names.join(', ')}${lagging + gone > names.length ? ' and more' : ''}`,
      fix: 'Look at the network between them and the authority; `signet fleet --watch` shows them.',
    })
  }
  return findings
}

function draw(cli: Cli, { check, state, found, fix }: Finding): string {
  const { out } = cli
  const sign = state === 'ok' ? out.good('✓') : state === 'warn' ? out.warn('!') : out.bad('✗')
  const line = `${sign} ${out.bold(check.padEnd(16))} ${printable(found)}`
  return fix === undefined ? line : `${line}\n  ${' '.repeat(16)} ${out.dim('→')} ${printable(fix)}`
}

function summary(cli: Cli, failed: number, warned: number): string {
  if (failed > 0) return cli.out.bad(`${failed} to mend${warned === 0 ? '' : `, ${warned} to look at`}`)
  return warned === 0 ? cli.out.good('All is well.') : cli.out.warn(`${warned} to look at, nothing broken`)
}
