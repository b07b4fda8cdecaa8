/** Runs `work` `count` times at a steady pace, not waiting for one before the next; the answers in order. */
export async function steadily<T>(perSecond: number, count: number, work: (index: number) => Promise<T>): Promise<readonly T[]> {
  const began = performance.now()
  const under: Promise<T>[] = []
  while (under.length < count) {
    const due = Math.min(count, Math.floor(((performance.now() - began) / 1000) * perSecond))
    while (under.length < due) under.push(work(under.length))
    await new Promise((resolve) => setTimeout(resolve, 1))
  }
  return Promise.all(under)
}
