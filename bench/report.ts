/** Rows for people, and rows for programs. */
import { styleText } from 'node:util'
import { isMet, type Row, type Target } from './benchmark.ts'

export function printRows(rows: readonly Row[]): void {
  const table = rows.map((row) => [
    row.name,
    `${figure(row.ours)}${row.theirs === undefined ? '' : ` / ${figure(row.theirs)}`} ${row.unit}`,
    row.ratio === undefined ? '' : `× ${figure(row.ratio)}`,
    verdict(row),
  ])
  const widths = [0, 1, 2].map((column) => Math.max(...table.map((cells) => (cells[column] as string).length)))
  table.forEach((cells, index) => {
    const [name, figures, ratio, met] = cells as [string, string, string, string]
    console.log(
      `  ${name.padEnd(widths[0] as number)}  ${figures.padStart(widths[1] as number)}  ${ratio.padStart(widths[2] as number)}  ${met}`,
    )
    const note = rows[index]?.note
    if (note !== undefined) console.log(styleText('dim', `      ${note}`))
  })
}

/** `bench/out/latest.json`: an array, one object per row; figures that do not exist are null. */
export function toJson(rows: readonly Row[]): string {
  const plain = rows.map(({ name, ours, theirs = null, ratio = null, target, unit, rounds, note, ...rest }) => ({
    name,
    ours,
    theirs,
    ratio,
    target: target === undefined ? null : words(target),
    met: isMet({ name, ours, unit, rounds, ...(ratio !== null && { ratio }), ...(target && { target }), ...rest }) ?? null,
    unit,
    rounds,
    ...(note !== undefined && { note }),
  }))
  return `${JSON.stringify(plain, undefined, 2)}\n`
}

function verdict(row: Row): string {
  const met = isMet(row)
  if (row.target === undefined || met === undefined) return ''
  return met ? styleText('green', `✔ ${words(row.target)}`) : styleText('red', `✖ ${words(row.target)}`)
}

function words({ on, is, bound }: Target): string {
  return `${is === 'at least' ? '≥' : '≤'} ${bound}${on === 'ratio' ? ' ×' : ''}`
}

/** Three significant digits, large numbers with thousands apart. */
function figure(value: number): string {
  if (!Number.isFinite(value)) return '–'
  return Math.abs(value) >= 1000
    ? Math.round(value).toLocaleString('en').replaceAll(',', ' ')
    : String(Number(value.toPrecision(3)))
}
