/** The program as it was before the schema's newest version, out of the repository's history. */
import { execFile } from 'node:child_process'
import { mkdir, mkdtemp, readdir, rm, symlink } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'

const ROOT = join(import.meta.dirname, '..')
const MIGRATIONS = 'packages/authority/store/migrations'
const run = promisify(execFile)
const git = async (...args: readonly string[]) => (await run('git', [...args], { cwd: ROOT })).stdout.trim()

export interface ProgramBefore {
  /** Its `packages/authority/main.ts`. */
  readonly main: string
  readonly schemaVersion: number
  remove(): Promise<void>
}

/** Or why it cannot be had, for a test to say when it skips. */
export async function programBefore(): Promise<ProgramBefore | { readonly skip: string }> {
  let commit: string
  try {
    if ((await git('rev-parse', '--is-shallow-repository')) !== 'false') return { skip: 'the repository is a shallow clone' }
    const newest = await git('log', '-1', '--format=%H', '--diff-filter=A', '--', MIGRATIONS)
    commit = await git('rev-parse', '--verify', '--quiet', `${newest}^`)
  } catch {
    return { skip: 'there is no history to take the program before from' }
  }
  const home = await mkdtemp(join(tmpdir(), 'signet-before-'))
  const remove = () => rm(home, { recursive: true, force: true })
  try {
    const archive = join(home, 'archive.tar')
    await git('archive', '--output', archive, commit, 'package.json', 'packages')
    await run('tar', ['-xf', archive, '-C', home])
    await linkModules(home)
    const versions = await readdir(join(home, MIGRATIONS))
    return { main: join(home, 'packages/authority/main.ts'), schemaVersion: versions.length, remove }
  } catch (error) {
    await remove()
    throw error
  }
}

/** What others made is the same for both programs; our own packages are each one's own. */
async function linkModules(home: string): Promise<void> {
  const [from, to] = [join(ROOT, 'node_modules'), join(home, 'node_modules')]
  await mkdir(join(to, '@signet'), { recursive: true })
  for (const name of await readdir(from)) {
    if (name !== '@signet' && !name.startsWith('.')) await symlink(join(from, name), join(to, name))
  }
  for (const name of await readdir(join(home, 'packages'))) {
    await symlink(join(home, 'packages', name), join(to, '@signet', name))
  }
}
