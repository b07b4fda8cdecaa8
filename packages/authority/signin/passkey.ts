/**
 * Passkeys (WebAuthn Level 3): discoverable credentials with user verification, so that one gesture is both "who" and
 * "really". We ask for no attestation and take none that names a certificate: verifying those fetches addresses from the
 * certificate, which whoever registers could choose.
 */
import { isIP } from 'node:net'
import { fromBase64Url, toBase64Url } from '@signet/kernel/bytes.ts'
import { idToBytes, type SubjectId } from '@signet/kernel/ids.ts'
import type {
  AuthenticationResponseJSON,
  PublicKeyCredentialCreationOptionsJSON,
  PublicKeyCredentialRequestOptionsJSON,
  RegistrationResponseJSON,
} from '@simplewebauthn/server'
import type * as WebauthnHelpers from '@simplewebauthn/server/helpers'
import type { PasskeyRecord, SubjectLookups } from '../store/ports/subjects.ts'
import { amrOfPasskey } from './acr.ts'

/** Loaded by the first sign-in page: an eighth of a fresh node's memory, for which a node that serves only machines has no use. */
const webauthn = () => import('@simplewebauthn/server')

/** The site that passkeys are made for: undefined where browsers don't do WebAuthn, at an address without a name. */
export interface RelyingParty {
  /** The issuer's host name. */
  readonly id: string
  /** The issuer's origin. */
  readonly origin: string
  readonly name: string
}

export function relyingPartyOf(issuer: string): RelyingParty | undefined {
  const { hostname, origin } = new URL(issuer)
  const bare = hostname.replace(/^\[|\]$/g, '')
  return isIP(bare) === 0 ? { id: hostname, origin, name: 'Signet' } : undefined
}

/** EdDSA, ES256, RS256 (COSE): between them every authenticator there is. */
const ALGORITHMS = [-8, -7, -257]
/** A person has so long to find their key. */
const PATIENCE_MS = 300_000

/** What the page gives to `navigator.credentials.get`: no list of credentials, so it tells nothing about any account. */
export async function requestOptions(site: RelyingParty, challenge: string): Promise<PublicKeyCredentialRequestOptionsJSON> {
  const { generateAuthenticationOptions } = await webauthn()
  return generateAuthenticationOptions({
    rpID: site.id,
    challenge: bytesOf(challenge),
    timeout: PATIENCE_MS,
    userVerification: 'required',
  })
}

/** What the page gives to `navigator.credentials.create`. The user handle is the subject id: opaque, and nothing personal. */
export async function creationOptions(
  site: RelyingParty,
  challenge: string,
  person: { readonly subject: SubjectId; readonly username: string; readonly name: string },
  existing: readonly PasskeyRecord[],
): Promise<PublicKeyCredentialCreationOptionsJSON> {
  const { generateRegistrationOptions } = await webauthn()
  return generateRegistrationOptions({
    rpID: site.id,
    rpName: site.name,
    userID: new Uint8Array(idToBytes(person.subject)),
    userName: person.username,
    userDisplayName: person.name,
    challenge: bytesOf(challenge),
    timeout: PATIENCE_MS,
    attestationType: 'none',
    supportedAlgorithmIDs: ALGORITHMS,
    excludeCredentials: existing.map(({ id, transports }) => ({ id, transports: [...transports] })),
    authenticatorSelection: { residentKey: 'required', userVerification: 'required' },
  })
}

export type PasskeyFlaw = 'passkey_malformed' | 'passkey_unknown' | 'passkey_invalid'

export interface PasskeyProof {
  readonly passkey: PasskeyRecord
  readonly counter: number
  readonly amr: readonly string[]
}

/** Judges the answer to `requestOptions`. That the counter rose is left to the store, which settles it in the transaction. */
export async function verifyPasskey(
  text: string,
  challenge: string,
  site: RelyingParty,
  subjects: Pick<SubjectLookups, 'passkey'>,
): Promise<PasskeyProof | PasskeyFlaw> {
  const response = parseResponse<AuthenticationResponseJSON>(text, ['clientDataJSON', 'authenticatorData', 'signature'])
  if (response === undefined) return 'passkey_malformed'
  const passkey = await subjects.passkey(response.id)
  if (passkey === undefined) return 'passkey_unknown'
  // A discoverable credential says whose it is (WebAuthn §7.2 step 6).
  if (response.response.userHandle !== toBase64Url(idToBytes(passkey.subject))) return 'passkey_invalid'
  const { verifyAuthenticationResponse } = await webauthn()
  const verified = await orUndefined(() =>
    verifyAuthenticationResponse({
      response,
      expectedChallenge: challenge,
      expectedOrigin: site.origin,
      expectedRPID: site.id,
      credential: { id: passkey.id, publicKey: new Uint8Array(passkey.publicKey), counter: 0 },
      requireUserVerification: true,
    }),
  )
  if (verified?.verified !== true) return 'passkey_invalid'
  const { newCounter, credentialDeviceType } = verified.authenticationInfo
  return { passkey, counter: newCounter, amr: amrOfPasskey(credentialDeviceType) }
}

/** A new credential as its authenticator described it. */
export interface NewPasskey extends Pick<PasskeyRecord, 'id' | 'publicKey' | 'counter' | 'transports'> {
  readonly amr: readonly string[]
}

/** Judges the answer to `creationOptions`. */
export async function verifyNewPasskey(text: string, challenge: string, site: RelyingParty): Promise<NewPasskey | PasskeyFlaw> {
  const response = parseResponse<RegistrationResponseJSON>(text, ['clientDataJSON', 'attestationObject'])
  if (response === undefined) return 'passkey_malformed'
  const [{ verifyRegistrationResponse }, helpers] = await Promise.all([webauthn(), import('@simplewebauthn/server/helpers')])
  const verified = await orUndefined(async () => {
    if (!isPlainAttestation(response.response.attestationObject, helpers)) return undefined
    return verifyRegistrationResponse({
      response,
      expectedChallenge: challenge,
      expectedOrigin: site.origin,
      expectedRPID: site.id,
      requireUserVerification: true,
      supportedAlgorithmIDs: ALGORITHMS,
    })
  })
  if (verified?.verified !== true) return 'passkey_invalid'
  const { credential, credentialDeviceType } = verified.registrationInfo
  const { id, publicKey, counter } = credential
  return { id, publicKey, counter, transports: transportsOf(response), amr: amrOfPasskey(credentialDeviceType) }
}

/** `none`, or a key that vouches for itself (WebAuthn §5.1.3 step 28): nothing that leads to a certificate. */
function isPlainAttestation(encoded: string, { decodeAttestationObject, isoBase64URL }: typeof WebauthnHelpers): boolean {
  const decoded = decodeAttestationObject(isoBase64URL.toBuffer(encoded))
  const format = decoded.get('fmt')
  return format === 'none' || (format === 'packed' && decoded.get('attStmt').get('x5c') === undefined)
}

// Kept only to tell the browser later how the key may be reached, so just the words of the specification.
const TRANSPORTS = ['usb', 'nfc', 'ble', 'smart-card', 'hybrid', 'internal', 'cable']
function transportsOf(response: RegistrationResponseJSON): readonly string[] {
  const given: unknown = response.response.transports
  return Array.isArray(given) ? TRANSPORTS.filter((known) => given.includes(known)) : []
}

const MAX_RESPONSE = 16_384
const BASE64URL = /^[A-Za-z0-9_-]{1,8192}$/

/** The JSON form of a credential (WebAuthn §5.1 `toJSON`) with these members of its response, or undefined. */
function parseResponse<T extends AuthenticationResponseJSON | RegistrationResponseJSON>(
  text: string,
  members: readonly string[],
): T | undefined {
  if (text.length > MAX_RESPONSE) return undefined
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    return undefined
  }
  if (!isObject(value) || !isObject(value.response)) return undefined
  const { id, response } = value
  const fits = [id, ...members.map((name) => response[name])].every((part) => typeof part === 'string' && BASE64URL.test(part))
  return fits && (id as string).length <= 1366 ? (value as unknown as T) : undefined
}

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

/** The library throws at what is merely wrong; to us that is an answer. */
async function orUndefined<T>(verify: () => Promise<T>): Promise<T | undefined> {
  try {
    return await verify()
  } catch {
    return undefined
  }
}

const bytesOf = (challenge: string): Uint8Array<ArrayBuffer> => new Uint8Array(fromBase64Url(challenge) as Uint8Array)
