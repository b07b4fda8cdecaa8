/** What the scopes of OpenID Connect Core §5.4 release about a person. Access tokens carry none of it. */

const CLAIMS_OF: Readonly<Record<string, readonly string[]>> = {
  profile: [
    'name',
    'family_name',
    'given_name',
    'middle_name',
    'nickname',
    'preferred_username',
    'profile',
    'picture',
    'website',
    'gender',
    'birthdate',
    'zoneinfo',
    'locale',
    'updated_at',
  ],
  email: ['email', 'email_verified'],
}

/** Every claim that some scope may release; published in discovery. */
export const RELEASABLE_CLAIMS: readonly string[] = Object.values(CLAIMS_OF).flat()

/** Whether these scopes may release any claim at all. */
export const releasesClaims = (scope: readonly string[]): boolean => scope.some((name) => Object.hasOwn(CLAIMS_OF, name))

/** The claims of a person that these scopes release, and no others. */
export function releasedClaims(claims: Readonly<Record<string, unknown>>, scope: readonly string[]): Record<string, unknown> {
  const released: Record<string, unknown> = {}
  for (const name of scope.flatMap((scopeName) => CLAIMS_OF[scopeName] ?? [])) {
    if (Object.hasOwn(claims, name)) released[name] = claims[name]
  }
  return released
}
