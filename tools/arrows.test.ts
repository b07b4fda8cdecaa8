/** Proves biome.json: every arrow that must not be drawn is refused, every arrow that may be is not, and no folder is forgotten. */
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { globSync, readFileSync } from 'node:fs'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { test } from 'node:test'

const root = join(import.meta.dirname, '..')

/** [file, what it may import, what it may not] */
const ARROWS: readonly [file: string, may: readonly string[], mayNot: readonly string[]][] = [
  [
    'packages/kernel/x.ts',
    ['./ids.ts'],
    ['node:crypto', 'crypto', 'zod', '../bus/bus.ts', './../bus/bus.ts', '@signet/bus/bus.ts'],
  ],
  [
    'packages/bus/x.ts',
    ['./bus.ts', '@signet/kernel/ids.ts', 'pg'],
    ['@signet/validator/index.ts', '../authority/compose.ts', '@nats-io/transport-node'],
  ],
  ['packages/bus/nats-x.ts', ['./bus.ts', '@nats-io/transport-node'], ['@signet/validator/index.ts', '../authority/compose.ts']],
  [
    'packages/api/x.ts',
    ['@signet/kernel/ids.ts', 'zod', './records/keys.ts'],
    ['@signet/authority/compose.ts', '../cli/main.ts'],
  ],
  ['packages/api/records/x.ts', ['../schema.ts', '@signet/kernel/ids.ts'], ['../../cli/main.ts', '@signet/bus/bus.ts']],
  [
    'packages/validator/x.ts',
    ['@signet/bus/bus.ts', '@signet/kernel/ids.ts'],
    ['@signet/authority/compose.ts', '@signet/api/schema.ts', '@nats-io/transport-node'],
  ],
  ['packages/validator/adapters/x.ts', ['../index.ts', 'fastify'], ['@signet/authority/compose.ts', '../../kernel/ids.ts']],
  [
    'packages/gateway/x.ts',
    ['@signet/validator/index.ts', '@signet/kernel/ids.ts', 'pino'],
    ['@signet/authority/compose.ts', '@signet/bus/bus.ts', '@signet/api/schema.ts', '../validator/index.ts'],
  ],
  [
    'packages/cli/x.ts',
    ['@signet/api/client.ts', '@signet/kernel/ids.ts'],
    ['@signet/authority/compose.ts', '@signet/validator'],
  ],
  ['examples/sample-service/x.ts', ['@signet/validator'], ['@signet/kernel/ids.ts', '@signet/authority/compose.ts']],
  [
    'packages/authority/compose.ts',
    ['./store/sqlite.ts', '@signet/bus/postgres.ts'],
    ['pg', '@signet/testkit/clock.ts', '../cli/main.ts', '@nats-io/transport-node'],
  ],
  [
    'packages/authority/policy/x.ts',
    ['../store/store.ts', '../store/ports/families.ts', '@signet/kernel/ids.ts'],
    ['../store/sqlite.ts', '../keys/key-ring.ts'],
  ],
  [
    'packages/authority/store/x.ts',
    ['./store.ts', './tables/x.ts'],
    ['pg', 'node:sqlite', '../policy/settings.ts', '../tokens/mint.ts'],
  ],
  [
    'packages/authority/store/tables/x.ts',
    ['../store.ts', '../ports/families.ts'],
    ['pg', 'node:sqlite', '../../keys/key-ring.ts'],
  ],
  ['packages/authority/store/sqlite.ts', ['node:sqlite', './store.ts'], ['../tokens/mint.ts', '@signet/bus/bus.ts']],
  ['packages/authority/store/postgres.ts', ['pg', './store.ts'], ['../tokens/mint.ts', '@signet/bus/bus.ts']],
  [
    'packages/authority/clients/x.ts',
    ['../store/store.ts', '../store/ports/clients.ts', '../policy/settings.ts'],
    ['../store/sqlite.ts', '../http/form.ts', '../tokens/mint.ts'],
  ],
  [
    'packages/authority/keys/x.ts',
    ['../store/store.ts', '../store/ports/standing.ts', '../policy/settings.ts'],
    ['../tokens/mint.ts', '../revocation/revoke.ts', 'pg'],
  ],
  [
    'packages/authority/tokens/x.ts',
    ['../store/store.ts', '../store/ports/standing.ts', '../keys/key-ring.ts'],
    ['../grants/grant.ts', '../http/form.ts', '../clients/recent.ts'],
  ],
  [
    'packages/authority/audit/x.ts',
    ['../store/store.ts', '../store/ports/audit.ts', '../keys/key-ring.ts'],
    ['../tokens/mint.ts', '../http/form.ts'],
  ],
  [
    'packages/authority/revocation/x.ts',
    ['../store/store.ts', '../store/ports/standing.ts', '@signet/bus/bus.ts'],
    ['@signet/bus/postgres.ts', '../http/feed.ts', '../grants/grant.ts', '@nats-io/transport-node'],
  ],
  [
    'packages/authority/signin/x.ts',
    ['../store/store.ts', '../store/ports/standing.ts', '../policy/settings.ts', '../revocation/revoke.ts'],
    ['../grants/code.ts', '../http/form.ts', '../store/sqlite.ts'],
  ],
  [
    'packages/authority/grants/x.ts',
    [
      '../store/store.ts',
      '../store/ports/families.ts',
      '../clients/recent.ts',
      '../policy/settings.ts',
      '../tokens/mint.ts',
      '../revocation/revoke.ts',
      '../keys/key-ring.ts',
      '@signet/validator/dpop.ts',
    ],
    ['../store/sqlite.ts', '../signin/session.ts', '../http/form.ts', '../keys/master-key.ts', '@signet/bus/bus.ts'],
  ],
  [
    'packages/authority/administration/x.ts',
    ['../store/store.ts', '../store/ports/standing.ts', '../grants/target.ts', '../signin/username.ts', '../tokens/api-key.ts'],
    ['../store/sqlite.ts', '../http/form.ts', '../telemetry/log.ts', '@signet/api/schema.ts', '@signet/bus/bus.ts'],
  ],
  [
    'packages/authority/regions/x.ts',
    [
      '../store/store.ts',
      '../store/ports/standing.ts',
      '../revocation/standing.ts',
      '../keys/key-ring.ts',
      '@signet/bus/bus.ts',
      'zod',
    ],
    ['../store/sqlite.ts', '../keys/master-key.ts', '../http/form.ts', '@signet/bus/postgres.ts', 'pg'],
  ],
  ['packages/authority/telemetry/x.ts', ['@signet/kernel/ids.ts', 'pino'], ['../store/store.ts', '../http/health.ts']],
  [
    'packages/authority/http/x.ts',
    ['../grants/grant.ts', '../tokens/mint.ts', '@signet/validator', '@signet/api/schema.ts'],
    ['../store/sqlite.ts', '../compose.ts', '@signet/bus/bus.ts', '@signet/api/client.ts', 'pg'],
  ],
  [
    'packages/authority/http/oauth/x.ts',
    ['../form.ts', '../../grants/grant.ts', '@signet/validator'],
    ['../../store/sqlite.ts', '../../compose.ts', '@signet/bus/bus.ts'],
  ],
  ['packages/authority/grants/x.test.ts', ['../store/sqlite.ts', '@signet/testkit/clock.ts', 'node:sqlite'], []],
  ['packages/kernel/x.test.ts', ['node:test', 'fast-check'], []],
  ['packages/authority/store/x.contract.ts', ['../policy/settings.ts', '@signet/testkit/clock.ts'], []],
  ['packages/testkit/x.ts', ['@signet/authority/compose.ts'], []],
  ['bench/x.ts', ['@signet/authority/compose.ts'], []],
]

test('each arrow of the table is kept', async () => {
  const probes = ARROWS.map(([file, may, mayNot]) => ({ file, imports: [...may, ...mayNot] }))
  const refused = await refusedImports(probes)
  for (const [file, may, mayNot] of ARROWS) {
    const got = refused.get(file) ?? []
    assert.deepEqual(
      may.filter((specifier) => got.includes(specifier)),
      [],
      `${file} may import these, and was refused`,
    )
    assert.deepEqual(
      mayNot.filter((specifier) => !got.includes(specifier)),
      [],
      `${file} must not import these, and was not refused`,
    )
  }
})

test('every way of importing is seen', async () => {
  const file = 'packages/authority/grants/x.ts'
  const lines = [
    `import { a } from '../http/a.ts'`,
    `import type { B } from '../http/b.ts'`,
    `export { c } from '../http/c.ts'`,
    `export * from '../http/d.ts'`,
    `export const e = await import('../http/e.ts')`,
    `export const use = (b: B) => [a, b]`,
  ]
  const refused = await lint(new Map([[file, lines.join('\n')]]))
  assert.deepEqual(refused.map(({ line }) => line).sort(), [1, 2, 3, 4, 5])
})

test('no folder is without an entry, and none lets its files out of their package', async () => {
  const files = globSync('{packages,examples}/**/*.ts', { cwd: root, exclude: (path) => path.includes('node_modules') })
    .map((path) => path.replaceAll('\\', '/'))
    .filter((path) => !/\.(test|contract|testkit)\.ts$/.test(path) && !path.startsWith('packages/testkit/'))
  const folders = [...new Set(files.map((file) => dirname(file)))]
  const probes = folders.map((folder) => ({
    file: `${folder}/probe.ts`,
    imports: ['@signet/testkit/probe.ts', `${'../'.repeat(folder.split('/').length - 1)}testkit/probe.ts`],
  }))
  const refused = await refusedImports(probes)
  for (const { file, imports } of probes.filter(({ file }) => !file.startsWith('examples/'))) {
    assert.deepEqual(refused.get(file), imports, `biome.json has no entry for the folder of ${file}`)
  }
})

interface Probe {
  readonly file: string
  readonly imports: readonly string[]
}

/** The specifiers that biome.json refuses, by file. */
async function refusedImports(probes: readonly Probe[]): Promise<ReadonlyMap<string, readonly string[]>> {
  const sources = new Map(
    probes.map(({ file, imports }) => [file, imports.map((specifier) => `import '${specifier}'`).join('\n')]),
  )
  const refused = await lint(sources)
  return new Map(
    probes.map(({ file, imports }) => [
      file,
      imports.filter((_, index) => refused.some((found) => found.file === file && found.line === index + 1)),
    ]),
  )
}

/** Lints the sources under our biome.json in a folder of their own. */
async function lint(sources: ReadonlyMap<string, string>): Promise<readonly { file: string; line: number }[]> {
  const folder = await mkdtemp(join(tmpdir(), 'signet-arrows-'))
  try {
    const { vcs: _, $schema: __, ...config } = JSON.parse(readFileSync(join(root, 'biome.json'), 'utf8'))
    await writeFile(join(folder, 'biome.json'), JSON.stringify(config))
    for (const [file, source] of sources) {
      await mkdir(join(folder, dirname(file)), { recursive: true })
      await writeFile(join(folder, file), `${source}\n`)
    }
    const report = await biome(folder, 'lint', '--only=style/noRestrictedImports', '--reporter=json', '--max-diagnostics=none')
    return report.diagnostics.map(({ location }) => ({ file: location.path, line: location.start.line }))
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

interface Report {
  readonly diagnostics: readonly { readonly location: { readonly path: string; readonly start: { readonly line: number } } }[]
}

function biome(cwd: string, ...args: readonly string[]): Promise<Report> {
  const program = join(root, 'node_modules/@biomejs/biome/bin/biome')
  return new Promise((resolve, reject) => {
    execFile(process.execPath, [program, ...args], { cwd, maxBuffer: 16 * 2 ** 20 }, (error, stdout, stderr) => {
      if (stdout === '') reject(error ?? new Error(stderr))
      else resolve(JSON.parse(stdout) as Report)
    })
  })
}
