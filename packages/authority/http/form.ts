/**
 * Forms as OAuth wants them (RFC 6749 §3.1, §3.2, appendix B): a parameter comes once or not at all, one without a value counts
 * as absent, unknown ones are ignored by whoever reads. Only `resource` may come several times (RFC 8707 §2).
 */
import { refusal } from '@signet/kernel/errors.ts'
import type { FastifyInstance, FastifyRequest } from 'fastify'

export const FORM_TYPE = 'application/x-www-form-urlencoded'
/** Largest body that any door takes. */
export const MAX_BODY_BYTES = 64 * 1024
const MAX_PARAMETERS = 64

export type FormProblem = 'malformed_form' | 'repeated_parameter' | 'control_character' | 'too_many_parameters' | 'query_too_long'

export class Form {
  readonly #values: ReadonlyMap<string, string>
  /** Every `resource` in the order sent. */
  readonly resources: readonly string[]
  constructor(values: ReadonlyMap<string, string>, resources: readonly string[]) {
    this.#values = values
    this.resources = resources
  }
  /** The value, or undefined when the parameter is absent or empty. */
  get(name: string): string | undefined {
    return this.#values.get(name)
  }
  /** As a body that reads the same, but for some parameters. */
  encoded(without: readonly string[]): string {
    const body = new URLSearchParams([...this.#values].filter(([name]) => !without.includes(name)))
    for (const resource of this.resources) body.append('resource', resource)
    return body.toString()
  }
  /** The value; absent is a refusal that names the parameter. */
  need(name: string): string {
    const value = this.#values.get(name)
    if (value === undefined)
      throw refusal('invalid_request', 'parameter_missing', undefined, [{ path: name, message: 'is missing' }])
    return value
  }
}

/** Lets the routes of this scope take forms, and nothing else. Call it on a scope of its own (`app.register`). */
export function acceptForms(app: FastifyInstance): void {
  app.removeAllContentTypeParsers()
  app.addContentTypeParser(FORM_TYPE, { parseAs: 'buffer', bodyLimit: MAX_BODY_BYTES }, (_request, body, done) => {
    const form = parseForm((body as Buffer).toString('latin1'))
    if (typeof form === 'string') done(refusal('invalid_request', form))
    else done(null, form)
  })
}

/** The form that came as the body. */
export function formOf(request: FastifyRequest): Form {
  if (request.body instanceof Form) return request.body
  throw refusal('invalid_request', 'form_missing')
}

/** The query of a GET, read by the same rules. */
export function queryOf(request: FastifyRequest): Form {
  const url = request.raw.url ?? ''
  const at = url.indexOf('?')
  const form = parseForm(at < 0 ? '' : url.slice(at + 1))
  if (typeof form === 'string') throw refusal('invalid_request', form)
  return form
}

/** Refuses a path with a control character in one of its parameters. */
export function checkPath(request: FastifyRequest): void {
  for (const value of Object.values(request.params as Record<string, string>))
    if (CONTROL.test(value)) throw refusal('invalid_request', 'control_character')
}

/** Reads the text; the name of the problem when it is not a form that we take. */
export function parseForm(text: string): Form | FormProblem {
  if (OUTSIDE_VISIBLE_ASCII.test(text)) return 'malformed_form'
  const values = new Map<string, string>()
  const seen = new Set<string>()
  const resources: string[] = []
  for (let from = 0; from < text.length; ) {
    const end = indexOrEnd(text, '&', from)
    if (end > from) {
      const equals = text.indexOf('=', from)
      const split = equals < 0 || equals > end ? end : equals
      const name = decode(text.slice(from, split))
      const value = decode(text.slice(split + 1, end))
      if (name === undefined || value === undefined) return 'malformed_form'
      if (CONTROL.test(name) || CONTROL.test(value)) return 'control_character'
      if (name === 'resource') {
        if (value !== '') resources.push(value)
      } else {
        if (seen.has(name)) return 'repeated_parameter'
        seen.add(name)
        if (value !== '') values.set(name, value)
      }
      if (seen.size + resources.length > MAX_PARAMETERS) return 'too_many_parameters'
    }
    from = end + 1
  }
  return new Form(values, resources)
}

// Whatever is not visible ASCII must be escaped on the wire (RFC 6749 appendix B).
const OUTSIDE_VISIBLE_ASCII = /[^\x21-\x7e]/
// No OAuth parameter may hold one (RFC 6749 appendix A); in logs and headers they do harm, and PostgreSQL takes no NUL.
const CONTROL = /[\x00-\x1f\x7f-\x9f]/

/** One name or value; undefined when an escape is broken or is not UTF-8. */
export function decode(text: string): string | undefined {
  const spaced = text.includes('+') ? text.replaceAll('+', ' ') : text
  if (!spaced.includes('%')) return spaced
  try {
    return decodeURIComponent(spaced)
  } catch {
    return undefined
  }
}

function indexOrEnd(text: string, mark: string, from: number): number {
  const at = text.indexOf(mark, from)
  return at < 0 ? text.length : at
}
