/**
 * The admin API, whole: each endpoint with its least scope, input and answer, by noun in endpoints/; what goes in and out is in records/.
 * The authority's routes, the typed client, the CLI and docs/admin-api.md are all made from this table, so they cannot disagree.
 */
import type { AnswerOf, CallOf, Endpoint, ReplyOf, RequestOf } from './endpoint.ts'
import { auditEndpoints } from './endpoints/audit.ts'
import { batchEndpoints } from './endpoints/batches.ts'
import { clientEndpoints } from './endpoints/clients.ts'
import { keyEndpoints } from './endpoints/keys.ts'
import { regionEndpoints } from './endpoints/regions.ts'
import { revocationEndpoints } from './endpoints/revocations.ts'
import { statusEndpoints } from './endpoints/status.ts'
import { subjectEndpoints } from './endpoints/subjects.ts'

export const endpoints = {
  ...clientEndpoints,
  ...subjectEndpoints,
  ...revocationEndpoints,
  ...batchEndpoints,
  ...regionEndpoints,
  ...keyEndpoints,
  ...auditEndpoints,
  ...statusEndpoints,
} as const satisfies Record<string, Endpoint>

export type Endpoints = typeof endpoints
export type EndpointName = keyof Endpoints
export type StreamName = { [N in EndpointName]: Endpoints[N] extends { stream: true } ? N : never }[EndpointName]
export type PlainName = Exclude<EndpointName, StreamName>

export type Call<N extends EndpointName> = CallOf<Endpoints[N]>
export type Request<N extends EndpointName> = RequestOf<Endpoints[N]>
export type Answer<N extends EndpointName> = AnswerOf<Endpoints[N]>
export type Reply<N extends EndpointName> = ReplyOf<Endpoints[N]>

/** What a refused or failed request carries. */
export interface Problem {
  /** OAuth error code, or `not_found`, `conflict`, `temporarily_unavailable`. */
  readonly error: string
  readonly error_description: string
  /** Stable: which rule said no. */
  readonly reason?: string
  /** `refresh`, `reauthenticate`, `retry`, `step_up` or `none`. */
  readonly action?: string
  /** Which members were wrong, and why. */
  readonly details?: readonly { readonly path: string; readonly message: string }[]
}

export { ADMIN_BASE, ADMIN_SCOPES, type AdminScope, type Endpoint } from './endpoint.ts'
export type { AuditEvent, AuditVerification, LineageNode } from './records/audit.ts'
export type { Batch } from './records/batches.ts'
export type { Client, Resource } from './records/clients.ts'
export { idempotencyKey } from './records/common.ts'
export type { Fleet, FleetReceipt, FleetValidator, Following } from './records/fleet.ts'
export type { FleetCounts } from './records/fleet-counts.ts'
export type { ApiKey, SigningKey } from './records/keys.ts'
export type { Peer } from './records/regions.ts'
export type { Receipt, Revocation } from './records/revocations.ts'
export type { Health, Inspection } from './records/status.ts'
export type { Subject } from './records/subjects.ts'
