/**
 * A network of its own for one node: a namespace that a cable leads to. What goes over the cable can be lost by the kernel, one way or both, without
 * a word to either side: connections stay open, and new ones are not refused. For root on Linux, with iproute2.
 */
import { spawnSync } from 'node:child_process'
import type { Janitor } from './janitor.ts'
import type { Way } from './link.ts'

export interface Namespace {
  /** Begins a command line whose program runs within. */
  readonly command: readonly string[]
  /** The addresses of the cable's ends: ours, and that within. */
  readonly near: string
  readonly far: string
  /** `there`: what is sent from within. */
  lose(...ways: readonly Way[]): void
  heal(): void
  close(): void
}

/** A queue that takes no packet, since none is so small; of all the kernel's ways to lose one it is the most common. */
const LOSE = ['root', 'tbf', 'rate', '8bit', 'burst', '1', 'limit', '1']
/** Of ends that nobody else uses: the first block of TEST-NET-2 (RFC 5737), four addresses each. */
const BLOCKS = 60

let why: string | undefined | false = false

/** Why there can be none here. */
export function missingNamespace(): string | undefined {
  if (why !== false) return why
  try {
    const tried = makeNamespace()
    tried.lose('there', 'back')
    tried.close()
    why = undefined
  } catch (error) {
    why = `no network namespace can be made: ${(error as Error).message}`
  }
  return why
}

let made = 0

export function makeNamespace(janitor?: Janitor): Namespace {
  const name = `signet-${process.pid}-${++made}`
  const [outer, inner] = [`sgo${process.pid % 1e6}-${made}`, `sgi${process.pid % 1e6}-${made}`] // 15 characters at most.
  const block = `198.51.100.${4 * ((process.pid + made) % BLOCKS)}`
  const [near, far] = [1, 2].map((host) => block.replace(/\d+$/, (first) => String(Number(first) + host))) as [string, string]
  const within = ['ip', 'netns', 'exec', name]
  run('ip', 'netns', 'add', name)
  const forget = janitor?.add('namespace', name)
  const close = () => {
    run('ip', 'netns', 'delete', name) // The cable goes with it.
    forget?.()
  }
  try {
    run('ip', 'link', 'add', outer, 'type', 'veth', 'peer', 'name', inner, 'netns', name)
    run('ip', 'address', 'add', `${near}/30`, 'dev', outer)
    run('ip', 'link', 'set', outer, 'up')
    run(...within, 'ip', 'address', 'add', `${far}/30`, 'dev', inner)
    for (const device of ['lo', inner]) run(...within, 'ip', 'link', 'set', device, 'up')
  } catch (error) {
    close()
    throw error
  }
  const ends = { there: [...within, 'tc', 'qdisc'], back: ['tc', 'qdisc'] } as const
  const devices = { there: inner, back: outer } as const
  let lost: readonly Way[] = []
  return {
    command: within,
    near,
    far,
    lose(...ways) {
      for (const way of ways) run(...ends[way], 'replace', 'dev', devices[way], ...LOSE)
      lost = ways
    },
    heal() {
      for (const way of lost) run(...ends[way], 'delete', 'dev', devices[way], 'root')
      lost = []
    },
    close,
  }
}

function run(...command: readonly string[]): void {
  const [program, ...args] = command as [string, ...string[]]
  const { status, stderr, error } = spawnSync(program, args, { encoding: 'utf8', timeout: 10_000 })
  if (status !== 0) throw new Error(`${command.join(' ')}: ${error?.message ?? stderr.trim()}`)
}
