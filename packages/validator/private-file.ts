/** Files that are one process's own: written whole or not at all, and read only while nobody else could have read or changed them. */
import { randomUUID } from 'node:crypto'
import { closeSync, fstatSync, mkdirSync, openSync, readFileSync, statSync } from 'node:fs'
import { type FileHandle, link, open, rename, unlink } from 'node:fs/promises'
import { dirname } from 'node:path'

type Write = (file: FileHandle) => Promise<void>

/** There is the old file or the new one, whole, durable when this resolves; its owner alone may read it. */
export async function replaceFile(path: string, write: Write): Promise<void> {
  const aside = await writeAside(path, write)
  await rename(aside, path)
  await syncDirectory(dirname(path))
}

/** As `replaceFile`, but what is there stays: of any number that start at once one makes it. False when it was not this one. */
export async function createFile(path: string, write: Write): Promise<boolean> {
  const aside = await writeAside(path, write)
  try {
    await link(aside, path)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
    return false
  } finally {
    await unlink(aside)
  }
  await syncDirectory(dirname(path))
  return true
}

async function writeAside(path: string, write: Write): Promise<string> {
  const aside = `${path}.${randomUUID()}.tmp`
  const file = await open(aside, 'wx', 0o600)
  try {
    await write(file)
    await file.sync()
  } catch (cause) {
    await file.close()
    await unlink(aside).catch(() => {})
    throw cause
  }
  await file.close()
  return aside
}

/** Makes a new name durable too: without it a power cut may take the file, though its bytes are on disk. */
async function syncDirectory(directory: string): Promise<void> {
  if (process.platform === 'win32') return // Directories cannot be opened there.
  const handle = await open(directory, 'r')
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}

/**
 * Makes a directory, and those above it that are missing, for its owner alone. Node's recursive mkdir never ends where a directory is
 * there in which nothing can be made, such as /proc.
 */
export function makeDirectory(path: string): void {
  try {
    makeFromAbove(path)
  } catch (cause) {
    throw new Error(`the directory ${path} cannot be made`, { cause })
  }
}

function makeFromAbove(path: string): void {
  if (isDirectory(path)) return
  if (dirname(path) !== path) makeFromAbove(dirname(path))
  try {
    mkdirSync(path, { mode: 0o700 })
  } catch (error) {
    if (!isDirectory(path)) throw error // Else another process was quicker.
  }
}

const isDirectory = (path: string): boolean => statSync(path, { throwIfNoEntry: false })?.isDirectory() === true

/** The text of a file that holds a secret. Throws when it is not private; looks at the open file, so that it cannot be swapped in between. */
export function readPrivateText(path: string): string {
  const descriptor = openSync(path, 'r')
  try {
    if (!isPrivate(fstatSync(descriptor))) throw new Error(`${path} may be read or written by others; make it mode 0600`)
    return readFileSync(descriptor, 'utf8')
  } finally {
    closeSync(descriptor)
  }
}

/**
 * Whether a file is its owner's alone. A secret that an orchestrator mounts is too: it belongs to root, and to root's group (a systemd
 * credential) or to a group made for those who may read it, which this process is in (Kubernetes' `fsGroup`).
 */
export function isPrivate(
  { mode, uid, gid }: { readonly mode: number; readonly uid: number; readonly gid: number },
  self: { readonly uid: number; readonly groups: readonly number[] } = {
    uid: process.getuid?.() ?? 0,
    groups: process.getgroups?.() ?? [],
  },
): boolean {
  if (process.platform === 'win32' || (mode & 0o077) === 0) return true
  const isMounted = uid === 0 && self.uid !== 0 && (mode & 0o037) === 0
  return isMounted && (gid === 0 || self.groups.includes(gid))
}

/** Whether its owner alone may change a file. */
export const isOwnersToWrite = ({ mode }: { readonly mode: number }): boolean =>
  process.platform === 'win32' || (mode & 0o022) === 0
