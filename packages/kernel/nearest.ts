/** "Did you mean …?" for names, by the number of edits between two texts. */

/** The nearest of the candidates, when one is near enough to be a slip. */
export function nearest(text: string, candidates: Iterable<string>): string | undefined {
  const patience = Math.max(1, Math.floor(text.length / 3))
  let best: string | undefined
  let bestDistance = patience + 1
  for (const candidate of candidates) {
    const distance = candidate.toLowerCase().startsWith(text.toLowerCase())
      ? 1
      : edits(text.toLowerCase(), candidate.toLowerCase())
    if (distance < bestDistance) {
      best = candidate
      bestDistance = distance
    }
  }
  return best
}

/** Insertions, deletions, replacements and swaps of neighbours that turn one into the other (optimal string alignment). */
export function edits(a: string, b: string): number {
  let beforeLast: number[] = []
  let last = Array.from({ length: b.length + 1 }, (_, j) => j)
  for (let i = 1; i <= a.length; i++) {
    const row = [i]
    for (let j = 1; j <= b.length; j++) {
      const same = a[i - 1] === b[j - 1]
      let cost = Math.min((last[j] as number) + 1, (row[j - 1] as number) + 1, (last[j - 1] as number) + (same ? 0 : 1))
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1])
        cost = Math.min(cost, (beforeLast[j - 2] as number) + 1)
      row.push(cost)
    }
    beforeLast = last
    last = row
  }
  return last[b.length] as number
}
