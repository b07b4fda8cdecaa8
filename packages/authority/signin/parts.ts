/** What sign-in needs of the rest of the authority. Each flow says which of it it uses. */
import type { KeyObject } from 'node:crypto'
import type { ClientId, DeviceId, SessionId, SubjectId } from '@signet/kernel/ids.ts'
import type { Chance, Clock, Sha256 } from '@signet/kernel/surroundings.ts'
import type { PolicySettings } from '../policy/settings.ts'
import type { Revoker } from '../revocation/revoke.ts'
import type { Triggers } from '../revocation/triggers.ts'
import type { ClientRecord } from '../store/ports/clients.ts'
import type { KeyPurpose, KeyState } from '../store/ports/keys.ts'
import type { ResourceRecord } from '../store/ports/resources.ts'
import type { Store, Tx } from '../store/store.ts'
import type { RelyingParty } from './passkey.ts'
import type { Passwords } from './password.ts'

export interface SigninParts {
  readonly store: Store
  readonly settings: Pick<PolicySettings, 'sessionIdleSeconds' | 'sessionMaxSeconds' | 'refreshMaxSeconds'>
  readonly issuer: string
  readonly clock: Clock
  readonly chance: Chance
  readonly sha256: Sha256
  readonly passwords: Passwords
  /** Absent where browsers don't do WebAuthn: the issuer is an address without a name. */
  readonly site: RelyingParty | undefined
  readonly keys: HintKeys
  readonly grants: Grants
  readonly revoker: Pick<Revoker, 'within'>
  readonly triggers: Pick<Triggers, 'credentialChanged' | 'signedOut' | 'deviceLost'>
  /** Before an interaction is written: refuses (`slow_down`) when there are too many of them, whoever asks. */
  readonly admitInteraction: () => Promise<void>
  /** For the metric: `succeeded`, or why not. */
  readonly signedIn: (outcome: string) => void
}

/** The keys that an `id_token_hint` may be signed with. */
export interface HintKeys {
  publicKey(
    kid: string,
  ): { readonly key: KeyObject; readonly alg: string; readonly purpose: KeyPurpose; readonly state: KeyState } | undefined
}

/** What a code is for, and who is behind it. */
export interface CodeGrant {
  readonly client: ClientId
  readonly subject: SubjectId
  readonly session: SessionId
  readonly device: DeviceId
  readonly scope: readonly string[]
  readonly resources: readonly string[]
  readonly redirectUri: string
  readonly codeChallenge: string
  readonly nonce?: string
  readonly authAt: number
  readonly acr: string
  readonly amr: readonly string[]
  readonly jkt?: string
  /** The session lies past every cutoff that stood when it began; so must the code. */
  readonly sessionCreatedAtMs: number
}

/** The OAuth side of a sign-in. */
export interface Grants {
  /** Refuses with `invalid_scope` or `invalid_target`. */
  resolveTarget(
    asked: { readonly scope: string | undefined; readonly resources: readonly string[] },
    client: ClientRecord,
  ): Promise<{ readonly scope: readonly string[]; readonly resources: readonly string[] }>
  /** For telling a person what they agree to. */
  findResource(uri: string): Promise<ResourceRecord | undefined>
  issueCode(tx: Tx, grant: CodeGrant): Promise<string>
}
