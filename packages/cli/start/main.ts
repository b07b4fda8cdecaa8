/**
 * `npm start`: an authority on an embedded store, a sample protected service in a process of its own, and a walkthrough in
 * the browser. With `--check` the same walkthrough runs by itself, on ports and a state directory of its own, and says by
 * its exit code whether every step did what it should.
 */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { parseArgs, styleText } from 'node:util'
import { freePort } from './free-port.ts'
import { startProcess } from './process.ts'
import { registerSample } from './register.ts'
import { walkThrough } from './walk-through.ts'

const USAGE = `Usage: npm start [-- flags]

  --check           walk through every step without a person, print the delays, exit 0 or 1
  --state DIR       where the authority keeps its store and keys; default ./.signet
  --port N          the authority's port; default 4800. The sample service takes the next one
`

const flags = readFlags()
if (flags.help) {
  process.stdout.write(USAGE)
  process.exit(0)
}

const scratch = flags.check && flags.state === undefined ? await mkdtemp(join(tmpdir(), 'signet-check-')) : undefined
const state = resolve(flags.state ?? scratch ?? '.signet')
const authorityPort = flags.port !== undefined ? Number(flags.port) : flags.check ? await freePort() : 4800
const samplePort = flags.check ? await freePort() : authorityPort + 1
const issuer = `http://localhost:${authorityPort}`
const sampleUrl = `http://localhost:${samplePort}`

const stops: (() => Promise<void>)[] = []
let failed = false
try {
  const authority = await startProcess('authority', 'packages/authority/main.ts', [
    '--state',
    state,
    '--listen',
    `127.0.0.1:${authorityPort}`,
    '--issuer',
    issuer,
    '--log-level',
    flags.check ? 'error' : 'warn',
  ])
  stops.unshift(authority.stop)
  const settingsFile = await registerSample({ state, issuer, sampleUrl })
  const sample = await startProcess('sample service', 'examples/sample-service/main.ts', [settingsFile])
  stops.unshift(sample.stop)
  const setup = authority.ready.setup as string | undefined
  if (flags.check) {
    failed = !(await walkThrough({ issuer, sampleUrl, setup }))
  } else {
    welcome(setup)
    await Promise.race([authority.ended, sample.ended, asked()])
  }
} catch (error) {
  failed = true
  process.stderr.write(`\n${(error as Error).message}\n`)
} finally {
  for (const stop of stops) await stop()
  if (scratch !== undefined) await rm(scratch, { recursive: true, force: true })
}
process.exit(failed ? 1 : 0)

function welcome(setup: string | undefined): void {
  const bold = (text: string) => styleText('bold', text)
  const link = (text: string) => styleText('cyan', text)
  process.stdout.write(
    [
      '',
      `  ${bold('Signet is running.')}`,
      '',
      `  Authority        ${link(issuer)}`,
      `  Sample service   ${link(sampleUrl)}`,
      `  State            ${state}`,
      '',
      ...(setup === undefined
        ? [`  1. Walk through the life of a token: ${link(sampleUrl)}`]
        : [
            `  1. Set up the administrator (this link works once):`,
            `     ${link(setup)}`,
            `  2. Walk through the life of a token: ${link(sampleUrl)}`,
          ]),
      `  ${setup === undefined ? 2 : 3}. In another terminal: ${bold('npm run signet -- --help')}, ${bold('npm run signet -- feed tail')}`,
      '',
      `  ${styleText('dim', 'Ctrl-C stops everything. `npm start -- --check` runs the walkthrough by itself.')}`,
      '',
      '',
    ].join('\n'),
  )
}

function asked(): Promise<void> {
  return new Promise((done) => {
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => done())
  })
}

function readFlags() {
  const options = {
    check: { type: 'boolean', default: false },
    state: { type: 'string' },
    port: { type: 'string' },
    help: { type: 'boolean', short: 'h' },
  } as const
  try {
    const { values } = parseArgs({ options })
    // The sample service takes the next one.
    if (values.port !== undefined && !(/^\d{1,5}$/.test(values.port) && Number(values.port) < 65_535))
      throw new Error(`--port takes a number up to 65534, not "${values.port}"`)
    return values
  } catch (error) {
    console.error(`${(error as Error).message.split('. ')[0]}. --help shows how it is used.`)
    process.exit(2)
  }
}
