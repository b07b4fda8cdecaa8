import { type FileHandle, open, rename, unlink } from 'node:fs/promises'

/** Written aside, synced, renamed: there is the old file or the new one, whole, and its owner alone may read it. */
export async function replaceFile(path: string, write: (file: FileHandle) => Promise<void>): Promise<void> {
  const aside = `${path}.${process.pid}.tmp`
  const file = await open(aside, 'w', 0o600)
  try {
    await write(file)
    await file.sync()
  } catch (cause) {
    await file.close()
    await unlink(aside).catch(() => {})
    throw cause
  }
  await file.close()
  await rename(aside, path)
}
