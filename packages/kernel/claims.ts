/** What an access token says (RFC 9068 §2.2), and the names of the claims that Signet adds. */
import type { ClientId, DeviceId, FamilyId, SessionId, SubjectId, TokenId } from './ids.ts'

/** RFC 7800 / RFC 9449 §6 / RFC 8705 §3.1: what a sender must prove. */
export interface Confirmation {
  /** SHA-256 thumbprint (RFC 7638) of the DPoP key, base64url. */
  readonly jkt?: string
  /** SHA-256 of the client's TLS certificate, base64url. */
  readonly 'x5t#S256'?: string
}

/** RFC 8693 §4.1: who acts for the subject, outermost first. */
export interface Actor {
  readonly sub: string
  readonly client_id?: string
  readonly act?: Actor
}

export interface AccessTokenClaims {
  readonly iss: string
  readonly sub: SubjectId
  /** One audience unless policy allows more. */
  readonly aud: string | readonly string[]
  readonly client_id: ClientId
  /** Space-separated, in the order granted; absent when empty. */
  readonly scope?: string
  /** Epoch seconds: the millisecond in `jti`, floored. */
  readonly iat: number
  readonly exp: number
  /** UUIDv7; its millisecond is the issue time that cutoffs compare with. */
  readonly jti: TokenId
  /** Grant: the family id, or the grant a code was redeemed for. Absent on client_credentials. */
  readonly gid?: FamilyId
  readonly sid?: SessionId
  readonly did?: DeviceId
  readonly cnf?: Confirmation
  readonly act?: Actor
  /** Ancestor token ids, root first, at most `MAX_ANCESTORS`. */
  readonly anc?: readonly TokenId[]
  /** RFC 9470: how and when the subject proved who it is. */
  readonly acr?: string
  readonly amr?: readonly string[]
  readonly auth_time?: number
  /** Version of the policy under which it was issued: the first 12 characters of the bundle's hash. */
  readonly pv?: string
}

/** A delegation may be this deep; a token with more ancestors is refused. */
export const MAX_ANCESTORS = 8

/** RFC 9068 §2.1. */
export const ACCESS_TOKEN_TYPE = 'at+jwt'
