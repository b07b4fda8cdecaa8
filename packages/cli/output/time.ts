/** Times and sizes as people say them. */
import { wrongFlag } from '../trouble.ts'

const UNITS = [
  ['y', 365 * 86_400],
  ['d', 86_400],
  ['h', 3600],
  ['min', 60],
  ['s', 1],
] as const

/** "3 min ago", "in 12 d", "now". */
export function relative(atMs: number, nowMs: number): string {
  const seconds = Math.round((nowMs - atMs) / 1000)
  if (seconds === 0) return 'now'
  return seconds > 0 ? `${span(seconds)} ago` : `in ${span(-seconds)}`
}

/** In the largest unit of which there are two at least, rounded: "90 min", "36 h", "30 d". */
export function span(seconds: number): string {
  const [name, size] = UNITS.find(([, unit]) => seconds >= unit * 1.95) ?? ['s', 1]
  return `${Math.round(seconds / size)} ${name}`
}

/** Milliseconds as they matter: "0.8 ms", "42 ms", "3.1 s", "4 min". */
export function short(milliseconds: number): string {
  if (milliseconds < 10) return `${milliseconds.toFixed(1)} ms`
  if (milliseconds < 1000) return `${Math.round(milliseconds)} ms`
  return milliseconds < 60_000 ? `${(milliseconds / 1000).toFixed(1)} s` : span(milliseconds / 1000)
}

/** "2026-11-21 02:15:04" in the local time zone. */
export function localTime(atMs: number): string {
  const at = new Date(atMs)
  const two = (n: number) => String(n).padStart(2, '0')
  return `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())} ${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}`
}

/** Both: when, and how long ago or ahead. */
export const moment = (atMs: number, nowMs: number): string => `${localTime(atMs)} (${relative(atMs, nowMs)})`

export function bytes(count: number): string {
  if (count < 1024) return `${count} B`
  const power = Math.min(4, Math.floor(Math.log2(count) / 10))
  return `${(count / 1024 ** power).toFixed(1)} ${['B', 'KiB', 'MiB', 'GiB', 'TiB'][power]}`
}

const DURATION = /^(\d{1,9})(s|m|min|h|d|w)?$/
const SECONDS: Readonly<Record<string, number>> = { s: 1, m: 60, min: 60, h: 3600, d: 86_400, w: 604_800 }

export const isDuration = (text: string): boolean => DURATION.test(text)

/** "90", "90s", "15m", "12h", "30d", "2w" in seconds. Throws for anything else. */
export function parseDuration(text: string): number {
  const found = DURATION.exec(text)
  if (found === null) throw new Error('write a duration such as 90s, 15m, 12h or 30d')
  return Number(found[1]) * (SECONDS[found[2] ?? 's'] as number)
}

const DATE = /^(\d{4}-\d\d-\d\d)(?:[T ](\d\d:\d\d(?::\d\d(?:\.\d{1,3})?)?(?:Z|[+-]\d\d:\d\d)?))?$/

/** Not `Date.parse` alone: it reads "1mar" as a day of 2001, and the 30th of February as one of March. */
function parseDate(text: string): number {
  const [, day, time] = DATE.exec(text) ?? []
  const midnightMs = day === undefined ? Number.NaN : Date.parse(day)
  if (!Number.isFinite(midnightMs) || !new Date(midnightMs).toISOString().startsWith(day as string)) return Number.NaN
  return time === undefined ? midnightMs : Date.parse(`${day}T${time}`)
}

/** The value of a flag in epoch milliseconds: "2h" is two hours ago; anything else is a date. A number alone might be a year. */
export function timeOf(flag: string, text: string, nowMs: number): number {
  const isSpan = isDuration(text) && !/^\d+$/.test(text)
  const atMs = isSpan ? nowMs - parseDuration(text) * 1000 : parseDate(text)
  if (Number.isFinite(atMs)) return Math.max(0, Math.floor(atMs))
  throw wrongFlag(flag, text, 'write a span with its unit such as 2h or 7d, or a time such as 2026-11-21 or 2026-11-21T08:00')
}

/** The same for what is looked back to. */
export function pastOf(flag: string, text: string, nowMs: number): number {
  const atMs = timeOf(flag, text, nowMs)
  if (atMs <= nowMs + CLOCKS_DIFFER_MS) return atMs
  throw wrongFlag(flag, text, 'write a time that is past, or a span such as 2h or 7d', 'that time is yet to come')
}
const CLOCKS_DIFFER_MS = 60_000
