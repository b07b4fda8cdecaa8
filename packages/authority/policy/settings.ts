/**
 * What is allowed and for how long. Plain typed settings with defaults that follow RFC 9700; a value beyond its cap is
 * refused at load, in words that name the setting. Spans are in seconds unless the name says milliseconds.
 */
export interface PolicySettings {
  /** Life of an access token. Cap 3600; above 600 needs `allowLongAccessTokens`. */
  readonly accessTokenSeconds: number
  readonly idTokenSeconds: number
  readonly authorizationCodeSeconds: number
  /** A refresh family that was not used for so long has ended ("offline too long"). */
  readonly refreshIdleSeconds: number
  /** A refresh family ends so long after sign-in whatever happens. */
  readonly refreshMaxSeconds: number
  /** For so long after a rotation the spent token still yields the same successor … */
  readonly graceSeconds: number
  /** … and for so long when the request proves the same DPoP key. */
  readonly graceSecondsWithProof: number
  /** Grace answers for one generation, at most. */
  readonly graceLimit: number
  /** Generations in a row that needed grace, at most; fewer when the asker's network or agent differs. */
  readonly graceRunLimit: number
  readonly graceForeignRunLimit: number
  /** On refresh, access tokens issued before it die so long after it. Undefined: they live out their time. */
  readonly retirePriorAccessTokenAfterSeconds: number | undefined
  readonly sessionIdleSeconds: number
  readonly sessionMaxSeconds: number
  /** The largest offset a node's clock may have against the store's. */
  readonly clockOffsetMilliseconds: number
  /** The oldest knowledge of clients and cutoffs that a node may mint under. */
  readonly mintStalenessMilliseconds: number
  /** A revocation's commit may take so long from its start; see guardMilliseconds. */
  readonly commitAllowanceMilliseconds: number
  /** Validators' leeway on exp, nbf and iat that revocations must outlast. */
  readonly leewaySeconds: number
  /** Requests per second and burst, per client and per address, at the token endpoint of one node. */
  readonly clientRate: { readonly perSecond: number; readonly burst: number }
  readonly addressRate: { readonly perSecond: number; readonly burst: number }
  /** Refreshes of one family: per second and burst. */
  readonly familyRate: { readonly perSecond: number; readonly burst: number }
  /** Serve the revocation feed to anyone. Its entries are digests; default: needs scope `signet:feed`. */
  readonly feedOpen: boolean
  /** A batch over more grants than this, or over a larger share of all, must be accepted by number and needs `signet:admin` (ANO-05). */
  readonly batchWarnGrants: number
  readonly batchWarnShare: number
  /** Algorithm of new token signing keys. */
  readonly signingAlgorithm: SigningAlgorithm
  /**
   * Algorithm of new feed signing keys. Every validator verifies each batch, which takes a third of the time with RSA; each answer to a probe
   * then costs a node ten times as much (docs/capacity.md).
   */
  readonly feedSigningAlgorithm: SigningAlgorithm
  /** A signing key is published so long before it signs (≥ JWKS cache time) … */
  readonly keyPublishSeconds: number
  /** … and signs for so long. */
  readonly keyActiveSeconds: number
  readonly jwksCacheSeconds: number
}
export type SigningAlgorithm = 'ES256' | 'EdDSA' | 'RS256' | 'PS256'

export const defaultSettings: PolicySettings = {
  accessTokenSeconds: 300,
  idTokenSeconds: 300,
  authorizationCodeSeconds: 60,
  refreshIdleSeconds: 14 * 86_400,
  refreshMaxSeconds: 90 * 86_400,
  graceSeconds: 30,
  graceSecondsWithProof: 600,
  graceLimit: 256,
  graceRunLimit: 1000,
  graceForeignRunLimit: 3,
  retirePriorAccessTokenAfterSeconds: undefined,
  sessionIdleSeconds: 8 * 3600,
  sessionMaxSeconds: 30 * 86_400,
  clockOffsetMilliseconds: 500,
  mintStalenessMilliseconds: 1000,
  commitAllowanceMilliseconds: 500,
  leewaySeconds: 30,
  clientRate: { perSecond: 500, burst: 1000 },
  addressRate: { perSecond: 200, burst: 600 },
  familyRate: { perSecond: 5, burst: 300 },
  feedOpen: false,
  batchWarnGrants: 1000,
  batchWarnShare: 0.05,
  signingAlgorithm: 'ES256',
  feedSigningAlgorithm: 'ES256',
  keyPublishSeconds: 3600,
  keyActiveSeconds: 30 * 86_400,
  jwksCacheSeconds: 300,
}

/**
 * How far past its commit a cutoff lies: it covers a node whose clock runs ahead, knowledge that a node may mint
 * under, and a commit that takes its time (docs/architecture.md, "The guard").
 */
export function guardMilliseconds(settings: PolicySettings): number {
  return settings.clockOffsetMilliseconds + settings.mintStalenessMilliseconds + settings.commitAllowanceMilliseconds
}
