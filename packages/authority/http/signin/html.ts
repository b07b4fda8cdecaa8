/**
 * HTML by a template tag that escapes. Whatever is interpolated is text, unless it is itself a result of the tag. Every
 * attribute value in a template stands in double quotes; URLs put into `href` and `action` are our own or were matched with
 * a registered one before.
 */

/** Markup that may be written as it stands. The class stays in this file: only the tag makes one. */
class Html {
  readonly #text: string
  constructor(text: string) {
    this.#text = text
  }
  toString(): string {
    return this.#text
  }
}

export type { Html }

export type Content = Html | string | number | false | null | undefined | readonly Content[]

/** `html\`<p>${anything}</p>\``: text is escaped, markup kept, lists joined; false, null and undefined vanish. */
export function html(strings: TemplateStringsArray, ...values: readonly Content[]): Html {
  let text = strings[0] as string
  for (let i = 0; i < values.length; i++) text += render(values[i]) + strings[i + 1]
  return new Html(text)
}

function render(content: Content): string {
  if (content === undefined || content === null || content === false) return ''
  if (content instanceof Html) return content.toString()
  if (typeof content === 'object') return content.map(render).join('')
  return escapeText(String(content))
}

const ENTITIES: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
  '`': '&#96;',
}
// Control characters have no business on a page, and direction overrides could make a name read as something else.
const UNSAFE = /[&<>"'`]|[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f\u200e\u200f\u202a-\u202e\u2066-\u2069]/g

export function escapeText(text: string): string {
  return text.replace(UNSAFE, (character) => ENTITIES[character] ?? '\ufffd')
}
