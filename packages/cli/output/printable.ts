/** Text that came from elsewhere, made safe to print: a name must not be able to steer the terminal. */

/** Control characters, and those that turn the direction of writing (which hide what is really there). */
const DANGEROUS = /[\p{Cc}\p{Cf}\u2028\u2029]/gu

export const printable = (text: string): string => text.replace(DANGEROUS, (c) => (c === '\n' || c === '\t' ? ' ' : '\ufffd'))

/** JSON with nothing in it that a terminal acts on; it reads back as the same value. */
export function jsonText(value: unknown, indent?: number): string {
  return JSON.stringify(value, undefined, indent).replace(
    /[\u007f-\u009f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]/g,
    (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`,
  )
}
