/** On PostgreSQL a statement costs more than what it finds: those who ask for one thing each in the same moment share one. */

/** Keys in one statement. */
const MOST = 128

/** Finds one thing; `findAll` is asked for those of all who asked before this turn's promises were worked off, in their order. */
export function together<Key, Found>(findAll: (keys: readonly Key[]) => Promise<readonly Found[]>): (key: Key) => Promise<Found> {
  let waiting: { key: Key; resolve: (found: Found) => void; reject: (reason: unknown) => void }[] = []

  function ask(): void {
    const asked = waiting
    waiting = []
    if (asked.length === 0) return
    findAll(asked.map(({ key }) => key)).then(
      (found) => {
        for (const [n, { resolve }] of asked.entries()) resolve(found[n] as Found)
      },
      (reason: unknown) => {
        for (const { reject } of asked) reject(reason)
      },
    )
  }

  return (key) =>
    new Promise((resolve, reject) => {
      waiting.push({ key, resolve, reject })
      if (waiting.length === MOST) ask()
      else if (waiting.length === 1) void Promise.resolve().then(ask)
    })
}
