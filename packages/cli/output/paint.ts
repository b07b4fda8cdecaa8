/** Colour, where the stream can show it and nobody asked for none (https://no-color.org). */
import { styleText } from 'node:util'

export interface Paint {
  bold(text: string): string
  dim(text: string): string
  good(text: string): string
  warn(text: string): string
  bad(text: string): string
  accent(text: string): string
}

export function paintFor(stream: NodeJS.WritableStream): Paint {
  // `validateStream` looks at NO_COLOR, FORCE_COLOR and whether the stream is a terminal.
  const style = (format: Parameters<typeof styleText>[0]) => (text: string) =>
    styleText(format, text, { stream, validateStream: true })
  return {
    bold: style('bold'),
    dim: style('dim'),
    good: style('green'),
    warn: style('yellow'),
    bad: style('red'),
    accent: style('cyan'),
  }
}

/** How a standing looks: what lives is green, what waits is yellow, what ended is red. */
export function standing(paint: Paint, status: string): string {
  if (['active', 'ok', 'alive', 'good'].includes(status)) return paint.good(status)
  if (['suspended', 'next', 'retiring', 'warn', 'expired'].includes(status)) return paint.warn(status)
  if (['revoked', 'compromised', 'failed', 'dead'].includes(status)) return paint.bad(status)
  return paint.dim(status)
}
