/** Pages of a listing, and members that may be absent. */

interface Bounds {
  readonly after?: string
  readonly limit: number
}

/** Reads a page and shows its rows. A full page has a `next`; where it was the last, the page after it is empty. */
export async function page<Row, Shown>(
  query: { readonly after?: string | undefined; readonly limit: number },
  read: (bounds: Bounds) => Promise<readonly Row[]>,
  idOf: (row: Row) => string,
  show: (row: Row) => Shown | Promise<Shown>,
): Promise<{ items: Shown[]; next?: string }> {
  const { after, limit } = query
  const rows = await read({ limit, ...given({ after }) })
  const items = await Promise.all(rows.map(show))
  const last = rows.at(-1)
  return rows.length < limit || last === undefined ? { items } : { items, next: idOf(last) }
}

/** Without the members that are undefined: records have a member or do not. */
export function given<T extends object>(
  value: T,
): { [K in keyof T as undefined extends T[K] ? never : K]: T[K] } & {
  [K in keyof T as undefined extends T[K] ? K : never]?: Exclude<T[K], undefined>
} {
  return Object.fromEntries(Object.entries(value).filter(([, member]) => member !== undefined)) as never
}
