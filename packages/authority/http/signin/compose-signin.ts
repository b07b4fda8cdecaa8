/** Sign-in with the OAuth side tied to it: the one place where the two know each other. */
import { issueCode } from '../../grants/code.ts'
import { type Catalog, resolveTarget } from '../../grants/target.ts'
import type { PolicySettings } from '../../policy/settings.ts'
import type { SigninParts } from '../../signin/parts.ts'
import { relyingPartyOf } from '../../signin/passkey.ts'
import { createPasswords } from '../../signin/password.ts'

export interface SigninNeeds extends Omit<SigninParts, 'settings' | 'passwords' | 'site' | 'grants'> {
  readonly settings: PolicySettings
  readonly catalog: Catalog
}

export function composeSignin({ catalog, ...needs }: SigninNeeds): SigninParts {
  return {
    ...needs,
    passwords: createPasswords(needs.chance),
    site: relyingPartyOf(needs.issuer),
    grants: {
      resolveTarget: (asked, client) => resolveTarget(asked, client, catalog),
      findResource: async (uri) => (await catalog.find(uri)).value,
      issueCode: (tx, grant) => issueCode(tx, needs, grant),
    },
  }
}
