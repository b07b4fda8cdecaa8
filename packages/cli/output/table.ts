/** Aligned columns. Ids are never cut, since people copy them; the one flexible column gives way when the terminal is narrow. */
import { stripVTControlCharacters } from 'node:util'
import type { Paint } from './paint.ts'

export interface Column<Row> {
  readonly title: string
  /** The text of a cell; already made printable, may carry colour. */
  readonly cell: (row: Row) => string
  readonly align?: 'right'
  /** Cut with … when the whole is wider than the terminal. At most one column. */
  readonly flexible?: true
}

const GAP = '  '
const NARROWEST = 8

export function table<Row>(
  rows: readonly Row[],
  columns: readonly Column<Row>[],
  paint: Paint,
  width: number | undefined,
): string {
  const cells = rows.map((row) => columns.map((column) => column.cell(row)))
  const widths = columns.map((column, i) => Math.max(column.title.length, ...cells.map((row) => visibleLength(row[i] as string))))
  const flexible = columns.findIndex((column) => column.flexible === true)
  if (flexible >= 0 && width !== undefined) {
    const whole = widths.reduce((sum, w) => sum + w, 0) + GAP.length * (columns.length - 1)
    if (whole > width) widths[flexible] = Math.max(NARROWEST, (widths[flexible] as number) - (whole - width))
  }
  const line = (texts: readonly string[]) =>
    texts
      .map((text, i) => fit(text, widths[i] as number, columns[i]?.align === 'right'))
      .join(GAP)
      .trimEnd()
  return [paint.dim(line(columns.map((column) => column.title.toUpperCase()))), ...cells.map(line)].join('\n')
}

/** Names on the left, values on the right. Values that are undefined are left out; a list takes a line each. */
export function details(pairs: readonly (readonly [string, string | readonly string[] | undefined])[], paint: Paint): string {
  const shown = pairs.filter((pair): pair is readonly [string, string | readonly string[]] => pair[1] !== undefined)
  const width = Math.max(0, ...shown.map(([name]) => name.length))
  return shown
    .flatMap(([name, value]) => {
      const lines = typeof value === 'string' ? [value] : value.length === 0 ? [paint.dim('none')] : value
      return lines.map((text, i) => `${paint.dim((i === 0 ? name : '').padEnd(width))}${GAP}${text}`)
    })
    .join('\n')
}

function fit(text: string, width: number, right: boolean): string {
  const length = visibleLength(text)
  if (length > width) return cut(text, width)
  const space = ' '.repeat(width - length)
  return right ? space + text : text + space
}

/** At most so many characters; what is cut loses its colour. */
export const cut = (text: string, width: number): string =>
  visibleLength(text) <= width ? text : `${[...stripVTControlCharacters(text)].slice(0, width - 1).join('')}…`

const visibleLength = (text: string): number => [...stripVTControlCharacters(text)].length
