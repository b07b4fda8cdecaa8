/**
 * The validator: checks the access tokens of a Signet authority where they are used, knows within milliseconds what was taken
 * back, and says what a refused client should do.
 *
 * ```ts
 * import { createValidator } from '@signet/validator/index.ts'
 * import { protect } from '@signet/validator/adapters/node.ts'
 *
 * const validator = createValidator({ issuer: 'https://id.example', audience: 'https://api.example' })
 * createServer(protect(validator, { needs: 'catalogue:read' }, (request, response, verdict) => {
 *   response.end(`Hello ${verdict.claims.sub}`)
 * })).listen(8080)
 * ```
 */
export type { AccessTokenClaims, Actor, Confirmation } from '@signet/kernel/claims.ts'
export type { Allow, ClientAction, Deny, DenyReason, Freshness, Verdict } from '@signet/kernel/verdict.ts'
export { refusalBody } from './challenge.ts'
export { Events, type Listener, type TroubleKind, type ValidatorEvents } from './events.ts'
export type { FeedMessage, FeedTap, KeptFeed, TappedFeed } from './feed-tap.ts'
export type { FeedCredentials } from './feed-token.ts'
export { PROTECTED_RESOURCE_PATH, type ProtectedResourceMetadata, protectedResourceMetadata } from './metadata.ts'
export type {
  DpopOptions,
  FeedOptions,
  ForeignIssuer,
  KnowledgeSource,
  NatsFeedOptions,
  PinnedKeys,
  ValidatorOptions,
} from './options.ts'
export type { PermissionMap, PermissionRule } from './permissions.ts'
export type { HeadersLike, RequestLike, TokenContext } from './request.ts'
export { createValidator, type Validator, type ValidatorStats } from './validator.ts'
export type { TokenEnd } from './watches.ts'
