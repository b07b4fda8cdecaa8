import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { describe, it } from 'node:test'

const root = join(import.meta.dirname, '..')
const run = (script: string, ...args: readonly string[]) => {
  const { status, stdout, stderr } = spawnSync(process.execPath, [script, ...args], { cwd: root, encoding: 'utf8' })
  return { status, stdout, stderr }
}

describe('the scripts behind npm run', () => {
  const scripts = {
    start: 'packages/cli/start/main.ts',
    test: 'tools/test.ts',
    check: 'tools/check.ts',
    build: 'tools/build.ts',
    bench: 'bench/main.ts',
    sim: 'sim/main.ts',
    chaos: 'chaos/main.ts',
  }
  for (const [name, script] of Object.entries(scripts)) {
    it(`${name}: says how it is used, and tells an unknown flag in a line`, () => {
      const help = run(script, '--help')
      assert.deepEqual([help.status, help.stderr], [0, ''])
      assert.match(help.stdout, new RegExp(`^Usage: npm (run )?${name} `))
      const wrong = run(script, '--no-such-flag')
      assert.deepEqual([wrong.status, wrong.stdout], [2, ''])
      assert.match(wrong.stderr, /^[^\n]*--no-such-flag[^\n]*--help[^\n]*\n$/)
    })
  }

  it('tell a value that will not do in a line, too', () => {
    for (const [script, ...args] of [
      [scripts.sim, '--seeds', 'many'],
      [scripts.sim, '--mutant', 'no such mutant'],
      [scripts.bench, '--only', 'nothing'],
      [scripts.chaos, '--fault', 'nothing'],
      [scripts.chaos, '--rounds', 'few'],
      [scripts.chaos, '--store', 'sqlite', '--store', 'postgres'],
      [scripts.sim, '--seed=1', '--seed=1'],
      [scripts.test, 'no/such/test'],
      [scripts.start, '--port', 'x'],
    ] as const) {
      const { status, stdout, stderr } = run(script, ...args)
      assert.deepEqual([status, stdout], [2, ''], `${script} ${args.join(' ')}`)
      assert.match(stderr, /^[^\n]+\n$/)
    }
  })
})
