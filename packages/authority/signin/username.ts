/** What people type to say who they are: a name or an e-mail address. Compared without regard to case and Unicode spelling. */

export const USERNAME_MAX = 128

/** The form in which it is stored and looked up, or undefined when it cannot be one. */
export function normalizeUsername(text: string): string | undefined {
  if (text.length > USERNAME_MAX * 2) return undefined
  const name = text.normalize('NFKC').trim().toLowerCase()
  // Letters, marks, digits and what addresses are made of: nothing invisible, nothing that reads as something else.
  return name.length <= USERNAME_MAX && /^[\p{L}\p{N}][\p{L}\p{M}\p{N}._+@\-']*$/u.test(name) ? name : undefined
}
