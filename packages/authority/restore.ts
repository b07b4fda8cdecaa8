/**
 * Puts a backup in the place of the embedded store without bringing anything back to life. What was revoked after the backup is not
 * in it, so everything that could have been revoked ends: grants and sessions (people sign in again) and access tokens (a cutoff
 * on the issuer), and API keys, which hang on the issuer's standing too. Keys that sign or tag tokens are replaced: one that was stolen
 * and declared so after the backup would be good again. Accounts and clients stand as the backup has them.
 * The revocation log begins a new epoch, so that validators drop their place but keep their larger cutoffs until the new snapshot.
 */
import { copyFile, link, open, rename, rm, stat } from 'node:fs/promises'
import { dirname } from 'node:path'
import type { Surroundings } from '@signet/kernel/surroundings.ts'
import { audited } from './audit/events.ts'
import type { Config } from './config.ts'
import { replaceKeys } from './keys/key-moves.ts'
import { assertOpens } from './keys/key-record.ts'
import { loadMasterKey, type MasterKey } from './keys/master-key.ts'
import type { PolicySettings } from './policy/settings.ts'
import { restartLog } from './revocation/restart.ts'
import type { KeyPurpose } from './store/ports/keys.ts'
import { openPostgresStore, timelineOf } from './store/postgres.ts'
import { BEGAN_ANEW, TIMELINE } from './store/postgres-timeline.ts'
import { openSqliteStore } from './store/sqlite.ts'
import type { Store, Tx } from './store/store.ts'
import { makeDirectory, sha256 } from './surroundings.ts'

export interface RestoreReport {
  readonly restored: string
  /** Where the store that was there before now lies; absent when there was none. */
  readonly previous?: string
  readonly epoch: string
}

/**
 * Throws when the backup is missing or is not a store, when an authority is running on the state directory, or when the master key is not
 * the one that the backup's keys are encrypted under. `masterKey` is the variable's value, instead of the file.
 */
export async function restore(
  config: Config,
  backup: string,
  parts: { readonly surroundings: Surroundings; readonly masterKey?: string | undefined },
): Promise<RestoreReport> {
  if (config.database.engine === 'postgres') return restoredElsewhere(config, config.database, backup, parts)
  const { path } = config.database
  if (!(await exists(backup))) throw new Error(`${backup}: no such backup`)
  // Opened and closed once: proves that no authority holds it, and folds its write-ahead log in.
  const previous = (await exists(path)) ? `${path}.before-restore-${parts.surroundings.clock.now()}` : undefined
  if (previous !== undefined) await (await openSqliteStore({ path, surroundings: parts.surroundings })).close()
  // Made whole beside it: what could start from the backup as it was would bring the dead to life.
  const aside = `${path}.restoring`
  await forget(aside)
  try {
    makeDirectory(dirname(path))
    await copyFile(backup, aside)
    const store = await openSqliteStore({ path: aside, surroundings: parts.surroundings })
    const ended = await withMaster(config, parts)
      .then((gap) => endTheGap(store, gap, BY_HAND))
      .finally(() => store.close())
    await sync(aside)
    if (previous !== undefined) await link(path, previous)
    await rename(aside, path)
    await sync(dirname(path))
    return { restored: backup, ...(previous === undefined ? {} : { previous }), ...ended }
  } finally {
    await forget(aside)
  }
}

/** The file and what the engine may have left beside it. */
async function forget(path: string): Promise<void> {
  for (const suffix of ['', '-wal', '-shm', '.lock']) await rm(path + suffix, { force: true })
}

/** A copy, and the name it got, are on disk. */
async function sync(path: string): Promise<void> {
  const file = await open(path, 'r')
  try {
    await file.sync()
  } finally {
    await file.close()
  }
}

type RestoreParts = Parameters<typeof restore>[2]

/** PostgreSQL was put back by its own tools, maybe under another timeline: only the gap is ended. */
async function restoredElsewhere(
  config: Config,
  { url, pooled }: { url: string; pooled: boolean },
  backup: string,
  parts: RestoreParts,
): Promise<RestoreReport> {
  if (backup !== '-')
    throw new Error(
      'PostgreSQL is restored with its own tools; afterwards run "restore -", which ends what may have been revoked since',
    )
  const { surroundings } = parts
  const store = await openPostgresStore({ url, pooled, surroundings, anyTimeline: true })
  try {
    const timeline = await timelineOf(url, pooled)
    const keep = async (tx: Tx) => {
      if (timeline !== undefined) for (const name of [TIMELINE, BEGAN_ANEW]) await tx.meta.put(name, timeline)
    }
    return { restored: '-', ...(await endTheGap(store, await withMaster(config, parts), BY_HAND, keep)) }
  } finally {
    await store.close()
  }
}

export const BY_HAND: Gap = { reason: 'restored_from_backup', actor: 'operator:local', keys: ['token', 'feed', 'ring'] }

export interface Gap {
  readonly reason: string
  readonly actor: 'system' | 'operator:local'
  /** Whose keys are replaced. Not the audit's: the record's checkpoints need them. */
  readonly keys: readonly Exclude<KeyPurpose, 'audit'>[]
}

async function withMaster(config: Config, { surroundings, masterKey }: RestoreParts): Promise<GapParts> {
  const { issuer, settings, masterKeyFile: file } = config
  const env = masterKey === undefined ? {} : { env: masterKey }
  const master = await loadMasterKey({ file, create: false, chance: surroundings.chance, ...env })
  return { issuer, settings, master, surroundings }
}

interface GapParts {
  readonly issuer: string
  readonly settings: PolicySettings
  readonly master: MasterKey
  readonly surroundings: Surroundings
}

/**
 * Begins a new epoch in which nothing issued until now is good, and nothing that the old keys sign from now on. `also` adds to the
 * same transaction; it may run more than once.
 */
export async function endTheGap(
  store: Store,
  { issuer, settings, master, surroundings }: GapParts,
  { reason, actor, keys }: Gap,
  also: (tx: Tx) => Promise<void> = async () => {},
): Promise<{ epoch: string }> {
  const { clock, chance } = surroundings
  assertOpens(master, await store.keys.all())
  const { epoch } = await restartLog(
    { reason, actor },
    { store, issuer, settings, sha256, ...surroundings },
    async (tx, restarted) => {
      await also(tx)
      const detail = { epoch: restarted.epoch, cutoff_ms: restarted.cutoffMs }
      tx.audit(audited(clock, chance, 'store.restored', actor, {}, detail))
      return replaceKeys(tx, keys, settings, { master, chance }, actor)
    },
  )
  return { epoch }
}

const exists = (path: string): Promise<boolean> =>
  stat(path).then(
    () => true,
    () => false,
  )
