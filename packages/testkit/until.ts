/**
 * Long enough for the slowest machine: whoever has waited so long waits for something that does not come. How long a thing takes is never told by
 * this.
 */
export const PATIENCE_MS = 60_000

/** Looks every few milliseconds until it is so. */
export async function until(isSo: () => boolean | Promise<boolean>, what = 'what was waited for'): Promise<void> {
  for (const end = performance.now() + PATIENCE_MS; !(await isSo()); ) {
    if (performance.now() > end) throw new Error(`waited ${PATIENCE_MS / 1000} s in vain: ${what}`)
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
}
