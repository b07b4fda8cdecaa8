/** What a measured authorization server can be asked beside HTTP; ours and the peer answer alike, each in its own process. */
import { createHash } from 'node:crypto'
import type { Child, ProcessorTime } from '../child.ts'
import type { ProfilerAnswers } from './profiler.ts'

export type ServerAnswers = ProfilerAnswers & {
  describe(): Description
  cpu(): ProcessorTime
  /** Makes what a run will use up, outside the measured time. */
  stock(question: { readonly kind: StockKind; readonly count: number }): Promise<readonly string[]>
}

export type Server = Child<ServerAnswers>

/**
 * `refresh`: refresh tokens, each of a grant of its own. `code`: authorization codes with PKCE, likewise. `opaque`: opaque tokens
 * that an API would have introspected. `access`: signed access tokens of grants.
 */
export type StockKind = 'refresh' | 'code' | 'opaque' | 'access'

export interface Description {
  readonly port: number
  readonly paths: { readonly token: string; readonly introspect: string; readonly revoke: string }
}

/** The same on both sides, so that requests are the same too. */
export const SERVICE_CLIENT = { id: 'bench-service', secret: 'a-secret-that-only-serves-measurements-0001' }
export const APP_CLIENT = { id: 'bench-app', secret: 'a-secret-that-only-serves-measurements-0002' }
export const API_CLIENT = { id: 'bench-api', secret: 'a-secret-that-only-serves-measurements-0003' }
export const RESOURCE = 'https://orders.example'
export const RESOURCE_SCOPES = ['orders:read', 'orders:write']
export const REDIRECT_URI = 'https://app.example/callback'
/** RFC 7636 §4.1; one verifier for all codes, since it is not what is measured. */
export const CODE_VERIFIER = 'M25iVXpKU3puUjFaYWg3T1NDTDQtcW1ROUY5YXlwalNoc0hhakxifmZHag'
export const CODE_CHALLENGE = createHash('sha256').update(CODE_VERIFIER).digest('base64url')
