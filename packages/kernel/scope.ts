/** Scopes (RFC 6749 §3.3): a set of case-sensitive names, written with single spaces, kept in the order granted. */

const NAME = /^[\x21\x23-\x5b\x5d-\x7e]{1,128}$/
/** More scopes than this in one request is refused. */
export const MAX_SCOPES = 64

/** A token with more of them, which only another issuer could make, is refused: each is looked up. */
export const MAX_TOKEN_SCOPES = 256

export const isScopeName = (text: string): boolean => NAME.test(text)

/** The names in a scope parameter without repeats, or undefined when it is malformed or too long. */
export function parseScope(text: string): readonly string[] | undefined {
  if (text === '') return []
  const names = text.split(' ')
  if (names.length > MAX_SCOPES || !names.every((name) => NAME.test(name))) return undefined
  return [...new Set(names)]
}

/** The names in the scope claim of a token, whoever issued it: repeats and stray spaces are let be. */
export const scopeNames = (text: string): readonly string[] => text.split(' ').filter(Boolean)

export const formatScope = (names: readonly string[]): string => names.join(' ')

/** Whether every one of `inner` is in `outer`. */
export function isSubset(inner: readonly string[], outer: readonly string[]): boolean {
  return inner.every((name) => outer.includes(name))
}
