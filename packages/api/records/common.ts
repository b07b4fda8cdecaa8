/**
 * Shapes that several records share. Requests are strict: an unknown member is refused, so that a misspelt limit never
 * passes silently. Replies are open: a newer authority may say more than an older client knows.
 */
import { z } from 'zod'

/** Epoch seconds, and epoch milliseconds. */
export const seconds = z.int().min(0)
export const milliseconds = z.number().min(0)

export const status = z.enum(['active', 'suspended', 'revoked'])

/** What is looked for in the store: PostgreSQL refuses a text with a NUL, and nothing stored has another control character. */
export const sought = z
  .string()
  .min(1)
  .regex(/^[^\x00-\x1f\x7f]*$/, 'must not contain control characters')

/** `limit` rows that come after `after`, the `next` of the page before. */
export const pageQuery = z.strictObject({
  after: sought.max(512).optional().describe('`next` of the page before'),
  limit: z.coerce.number().int().min(1).max(500).default(100).describe('Rows, at most 500'),
})

export const listOf = <T extends z.ZodType>(item: T) =>
  z.object({ items: z.array(item), next: z.string().optional().describe('Give it as `after` to go on; absent on the last page') })

const uuid = z.string().regex(/^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/, 'must be a lower-case UUID')
export const subjectId = uuid
export const tokenId = uuid
export const keyId = z.string().min(1).max(128)
export const clientId = z
  .string()
  .regex(/^[A-Za-z0-9][A-Za-z0-9._~:-]{0,127}$/, 'must be 1 to 128 letters, digits or ._~:- and begin with a letter or digit')

export const scopeName = z
  .string()
  .regex(
    /^[\x21\x23-\x5b\x5d-\x7e]{1,128}$/,
    'must be 1 to 128 printable characters without space, quote or backslash (RFC 6749 §3.3)',
  )
export const scopeList = z.array(scopeName).max(64).refine(allDifferent, 'names one scope twice')

/** RFC 8707 §2: an absolute URI without fragment. */
export const resourceUri = z
  .string()
  .max(512)
  .refine((text) => {
    const url = URL.parse(text)
    return url !== null && !text.includes('#') && !/\s/.test(text)
  }, 'must be an absolute URI without a fragment (RFC 8707 §2)')

export const displayName = z
  .string()
  .min(1)
  .max(128)
  .refine(
    (text) => text.trim() === text && !/\p{C}/u.test(text),
    'must not begin or end with a space or contain control characters',
  )

/** Why something was done, in the words of whoever did it: goes into the audit record, so no personal data. */
export const reason = z
  .string()
  .regex(/^[\x20-\x7e]{1,128}$/, 'must be 1 to 128 printable ASCII characters')
  .describe('Goes into the audit record: no personal data')

export const idempotencyKey = z.string().regex(/^[\x21-\x7e]{1,128}$/, 'must be 1 to 128 printable characters')

export function allDifferent(items: readonly string[]): boolean {
  return new Set(items).size === items.length
}
