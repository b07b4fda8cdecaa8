/**
 * Programs that tests need beside Node: what is installed is used, on Debian as root what is missing is installed, and elsewhere
 * whoever asked is told in a sentence what is missing.
 */
import { execFile } from 'node:child_process'
import { accessSync, constants, readFileSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import { promisify } from 'node:util'

export interface Program {
  /** Tests find the program's path under this name, and skip themselves when it is empty. */
  readonly variable: string
  /** A test that imports this wants it, too. */
  readonly kit?: string
  /** What it may be called on the PATH. */
  readonly names: readonly string[]
  /** Where else it may be. */
  readonly paths?: readonly string[]
  /** Debian's package that brings it. */
  readonly package: string
}

export const PROGRAMS: readonly Program[] = [
  {
    variable: 'SIGNET_CHROMIUM',
    names: ['chromium', 'chromium-browser', 'google-chrome-stable', 'google-chrome', 'chrome'],
    paths: ['/Applications/Chromium.app/Contents/MacOS/Chromium', '/Applications/Google Chrome.app/Contents/MacOS/Google Chrome'],
    package: 'chromium',
  },
  {
    variable: 'SIGNET_NATS_SERVER',
    kit: '@signet/testkit/nats.ts',
    names: ['nats-server'],
    paths: ['/usr/sbin/nats-server'],
    package: 'nats-server',
  },
  {
    variable: 'SIGNET_PGBOUNCER',
    kit: '@signet/testkit/pgbouncer.ts',
    names: ['pgbouncer'],
    paths: ['/usr/sbin/pgbouncer'],
    package: 'pgbouncer',
  },
  { variable: 'SIGNET_PROMTOOL', names: ['promtool'], package: 'prometheus' },
  {
    // A library to be preloaded, not a program to be run.
    variable: 'SIGNET_FAKETIME',
    names: [],
    paths: ['x86_64', 'aarch64'].map((cpu) => `/usr/lib/${cpu}-linux-gnu/faketime/libfaketimeMT.so.1`),
    package: 'libfaketime',
  },
]

const INSTALL_SECONDS = 240

/** The programs that these texts of test files name, by variable; an empty path and a sentence for one that cannot be had. */
export async function providePrograms(
  texts: readonly string[],
): Promise<{ readonly paths: Readonly<Record<string, string>>; readonly missing: readonly string[] }> {
  const paths: Record<string, string> = {}
  const missing: string[] = []
  const named = (word: string | undefined) => word !== undefined && texts.some((text) => text.includes(word))
  for (const program of PROGRAMS.filter(({ variable, kit }) => named(variable) || named(kit))) {
    const found = await provide(program)
    paths[program.variable] = 'path' in found ? found.path : ''
    if ('missing' in found) missing.push(found.missing)
  }
  return { paths, missing }
}

async function provide(program: Program): Promise<{ path: string } | { missing: string }> {
  const { variable } = program
  const given = process.env[variable]
  if (given) return isThere(given) ? { path: given } : { missing: `${variable} names ${given}, which cannot be used` }
  const found = findInstalled(program)
  if (found !== undefined) return { path: found }
  if (process.getuid?.() !== 0 || !isDebian()) return { missing: `install ${program.package}, or name it in ${variable}` }
  console.log(`Installing ${program.package} with apt-get for the tests that need it …`)
  const trouble = await aptInstall(program.package)
  const installed = findInstalled(program)
  if (installed !== undefined) return { path: installed }
  return { missing: trouble ?? `apt-get installed ${program.package}, but it is not where it should be` }
}

function findInstalled({ names, paths = [] }: Program): string | undefined {
  const folders = (process.env.PATH ?? '').split(delimiter)
  return [...folders.flatMap((folder) => names.map((name) => join(folder, name))), ...paths].find(isThere)
}

function isThere(path: string): boolean {
  try {
    accessSync(path, path.endsWith('.so.1') ? constants.R_OK : constants.X_OK)
    return true
  } catch {
    return false
  }
}

/** Some of Ubuntu's packages are stubs that need snapd, so only Debian itself will do. */
function isDebian(): boolean {
  try {
    return /^ID=debian$/m.test(readFileSync('/etc/os-release', 'utf8'))
  } catch {
    return false
  }
}

let listsAreFresh = false

/** Undefined, or what went wrong, in a line. */
async function aptInstall(name: string): Promise<string | undefined> {
  const run = promisify(execFile)
  const options = { timeout: INSTALL_SECONDS * 1000, env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' } }
  try {
    if (!listsAreFresh) await run('apt-get', ['update', '-qq'], options)
    listsAreFresh = true
    // Servers that a package would start by itself are not wanted: tests start their own.
    const policy = ['-c', 'printf "#!/bin/sh\\nexit 101\\n" > /usr/sbin/policy-rc.d && chmod 755 /usr/sbin/policy-rc.d']
    const hadPolicy = isThere('/usr/sbin/policy-rc.d')
    if (!hadPolicy) await run('sh', policy, options)
    try {
      await run('apt-get', ['install', '-y', '-qq', '--no-install-recommends', name], options)
    } finally {
      if (!hadPolicy) await run('rm', ['-f', '/usr/sbin/policy-rc.d'], options)
    }
    return undefined
  } catch (error) {
    return `apt-get could not install ${name}: ${(error as Error).message.trim().split('\n').at(-1)}`
  }
}
