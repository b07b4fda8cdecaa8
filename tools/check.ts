/**
 * `npm run check [-- --all]`: everything about the source that can be told without running it; with `--all`, then the tests. Each
 * check is quiet when it is content; the summary names those that are not, and the exit code is then 1.
 */
import { execFile, spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { styleText } from 'node:util'
import { readFlags } from './flags.ts'
import { brokenLinks } from './links.ts'
import { lockfileProblems } from './lockfile.ts'

interface Check {
  readonly name: string
  /** What is wrong, as text for people; empty when nothing is. */
  run(): Promise<string>
}

const USAGE = `Usage: npm run check [-- --all]

Format, lint, import arrows, types, leftovers, lockfile and links. With --all, then the tests.
`

const CHECKS: readonly Check[] = [
  {
    name: 'format, lint, arrows (biome)',
    run: () => program('@biomejs/biome/bin/biome', 'check', '--error-on-warnings', '--colors=off'),
  },
  { name: 'types (tsc)', run: () => program('typescript/bin/tsc', '--project', '.', '--pretty', 'false') },
  { name: 'promises (oxlint)', run: () => program('oxlint/bin/oxlint', '--type-aware', '--deny-warnings') },
  { name: 'leftovers (knip)', run: () => program('knip/bin/knip.js', '--no-progress') },
  { name: 'lockfile', run: async () => lockfileProblems('.').join('\n') },
  { name: 'links in documents', run: async () => brokenLinks('.').join('\n') },
]

process.chdir(join(import.meta.dirname, '..'))
process.exitCode = await main()

async function main(): Promise<number> {
  const { values } = readFlags(USAGE, { all: { type: 'boolean', default: false } })
  const results = await Promise.all(CHECKS.map(tell))
  if (values.all) results.push(spawnSync(process.execPath, ['tools/test.ts'], { stdio: 'inherit' }).status === 0)
  const bad = results.filter((ok) => !ok).length
  console.log(bad === 0 ? `${results.length} checks, nothing to mend` : `${bad} of ${results.length} checks found something`)
  return bad === 0 ? 0 : 1
}

async function tell({ name, run }: Check): Promise<boolean> {
  const began = performance.now()
  const problems = await run()
  const took = styleText('dim', `${((performance.now() - began) / 1000).toFixed(1)} s`)
  if (problems === '') console.log(`${styleText('green', '✔')} ${name}  ${took}`)
  else console.log(`${styleText('red', '✖')} ${name}  ${took}\n${problems.trimEnd().replace(/^/gm, '    ')}`)
  return problems === ''
}

/** Runs a program of `node_modules` and gives what it printed, if it was not content. */
function program(path: string, ...args: readonly string[]): Promise<string> {
  return new Promise((resolve) => {
    execFile(process.execPath, [join('node_modules', path), ...args], { maxBuffer: 64 * 2 ** 20 }, (error, stdout, stderr) => {
      resolve(error === null ? '' : `${stdout}${stderr}`.trim() || error.message)
    })
  })
}
