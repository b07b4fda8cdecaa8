const TRIES = 60
const BETWEEN_MS = 250

/** What a run needs before its first fault and after its last, on a machine that may be busy: tried again for a quarter of a minute. */
export async function insist<T>(run: () => Promise<T>): Promise<T> {
  for (let tries = 1; ; tries++) {
    try {
      return await run()
    } catch (error) {
      if (tries >= TRIES) throw error
      await new Promise((resolve) => setTimeout(resolve, BETWEEN_MS))
    }
  }
}
