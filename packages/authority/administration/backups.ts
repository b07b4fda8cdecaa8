/** Copies of the embedded store, in one folder of the state directory. Callers choose a name, never a place. */
import { chmod, link, readdir, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { newId } from '@signet/kernel/ids.ts'
import type { Chance, Clock } from '@signet/kernel/surroundings.ts'
import { audited } from '../audit/events.ts'
import type { Store } from '../store/store.ts'
import { makeDirectory } from '../surroundings.ts'
import type { Administrator } from './actor.ts'
import { refuse } from './reasons.ts'

export interface BackupParts {
  readonly store: Pick<Store, 'backup' | 'transact'>
  readonly stateDirectory: string
  readonly clock: Clock
  readonly chance: Chance
}
export interface Backup {
  /** File name in the folder. */
  readonly name: string
  readonly bytes: number
  readonly createdAt: number
}

const ENDING = '.db'
const folderOf = ({ stateDirectory }: Pick<BackupParts, 'stateDirectory'>): string => join(stateDirectory, 'backups')

/** Newest first. */
export async function listBackups(parts: BackupParts): Promise<readonly Backup[]> {
  if (parts.store.backup === undefined) throw refuse('conflict', 'backup_not_here') // "None" would be no answer about its own tools' copies.
  const folder = folderOf(parts)
  const names = await readdir(folder).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return []
    throw error
  })
  const backups = await Promise.all(names.filter((name) => name.endsWith(ENDING)).map((name) => describe(folder, name)))
  return backups.sort((a, b) => b.createdAt - a.createdAt)
}

/** Yields pages done and in all; returns the backup once it is whole and on record. `name` is of letters, digits, `_` and `-`. */
export async function* makeBackup(
  name: string | undefined,
  actor: Administrator,
  parts: BackupParts,
): AsyncGenerator<{ done: number; total: number }, Backup> {
  const { store, clock, chance } = parts
  if (store.backup === undefined) throw refuse('conflict', 'backup_not_here')
  const folder = folderOf(parts)
  const file = (name ?? timeName(clock.now())) + ENDING
  makeDirectory(folder)
  if (await exists(join(folder, file))) throw refuse('conflict', 'backup_exists')
  // Under another name until it is whole: a copy that was cut off must not pass for a backup.
  const part = join(folder, `.${newId<string>(clock.now(), chance)}.part`)
  try {
    yield* told((tell) => store.backup?.(part, tell) ?? Promise.resolve())
    await chmod(part, 0o600)
    await link(part, join(folder, file)).catch((error: NodeJS.ErrnoException) => {
      throw error.code === 'EEXIST' ? refuse('conflict', 'backup_exists') : error
    })
  } finally {
    await rm(part, { force: true })
  }
  await store.transact(async (tx) => tx.audit(audited(clock, chance, 'admin.backup_made', actor, {}, { name: file })))
  return describe(folder, file)
}

/** Turns the calls of `work` into steps, the newest only when the reader is slow. */
async function* told(
  work: (tell: (done: number, total: number) => void) => Promise<void>,
): AsyncGenerator<{ done: number; total: number }> {
  let latest: { done: number; total: number } | undefined
  let changed = Promise.withResolvers<void>()
  let over = false
  const working = work((done, total) => {
    latest = { done, total }
    changed.resolve()
  }).finally(() => {
    over = true
    changed.resolve()
  })
  working.catch(() => {}) // Thrown below, where somebody waits for it.
  try {
    while (!over) {
      await changed.promise
      changed = Promise.withResolvers<void>()
      if (latest !== undefined) yield latest
      latest = undefined
    }
  } finally {
    await working // A reader who left must not leave a half-written file behind.
  }
}

async function describe(folder: string, name: string): Promise<Backup> {
  const found = await stat(join(folder, name))
  return { name, bytes: found.size, createdAt: Math.floor(found.mtimeMs / 1000) }
}

const timeName = (nowMs: number): string => new Date(nowMs).toISOString().slice(0, 19).replaceAll(':', '').replace('T', '-')

const exists = (path: string): Promise<boolean> =>
  stat(path).then(
    () => true,
    () => false,
  )
