/**
 * How surely someone proved who they are (RFC 9470, OpenID Connect Core §2 `acr`, RFC 8176 `amr`). Two levels, the second
 * above the first: a password may be phished, a passkey may not.
 */

export const ACR_PASSWORD = 'urn:signet:acr:password'
export const ACR_PASSKEY = 'urn:signet:acr:passkey'
/** Weakest first. Published as `acr_values_supported`. */
export const ACR_LEVELS = [ACR_PASSWORD, ACR_PASSKEY] as const
export type Acr = (typeof ACR_LEVELS)[number]

/** Whether a proof of level `acr` is enough where `atLeast` is asked for. */
export function reaches(acr: string, atLeast: Acr): boolean {
  return (ACR_LEVELS as readonly string[]).indexOf(acr) >= ACR_LEVELS.indexOf(atLeast)
}

/**
 * What `acr_values` asks for at the least: the weakest of the known values in it, since any of them will do. `unknown` when
 * it names values and we can give none of them.
 */
export function weakestOf(acrValues: readonly string[]): Acr | 'unknown' | undefined {
  if (acrValues.length === 0) return undefined
  return ACR_LEVELS.find((level) => acrValues.includes(level)) ?? 'unknown'
}

/** How it was proved. A passkey that is synced between machines is not tied to hardware, so it is `swk` (RFC 8176 §2). */
export const AMR_PASSWORD: readonly string[] = ['pwd']
export const amrOfPasskey = (kind: 'singleDevice' | 'multiDevice'): readonly string[] => [
  kind === 'singleDevice' ? 'hwk' : 'swk',
  'user',
  'mfa',
]
