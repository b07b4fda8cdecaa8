/** What the admin API is made of. Each group of routes names the part of it that it uses. */
import type { AdminScope, Answer, EndpointName, Endpoints, PlainName, Request, StreamName } from '@signet/api/schema.ts'
import type { Asker } from '../../administration/actor.ts'
import type { ApiKeyParts } from '../../administration/api-keys.ts'
import type { BackupParts } from '../../administration/backups.ts'
import type { ClientParts } from '../../administration/clients.ts'
import type { InspectParts } from '../../administration/inspect.ts'
import type { ResourceParts } from '../../administration/resources.ts'
import type { SubjectParts } from '../../administration/subjects.ts'
import type { PolicySettings } from '../../policy/settings.ts'
import type { Regions } from '../../regions/regions.ts'
import type { Batches } from '../../revocation/batches.ts'
import type { Registry } from '../../revocation/registry.ts'
import type { Revoker } from '../../revocation/revoke.ts'
import type { Check } from '../health.ts'

export interface AdminParts extends ClientParts, ResourceParts, SubjectParts, ApiKeyParts, InspectParts, BackupParts {
  readonly store: ClientParts['store']
  readonly settings: PolicySettings
  readonly revoker: Pick<Revoker, 'revoke' | 'within' | 'suspend' | 'resume' | 'undo'>
  readonly batches: Batches
  readonly registry: Pick<Registry, 'position' | 'ageMs' | 'issuerStanding' | 'lookNow'>
  /** Streams open on this node. */
  readonly feed: { readonly readers: number }
  readonly policyVersion: string
  /** Absent where there is one region only. */
  readonly regions?: Pick<Regions, 'name' | 'peers' | 'status' | 'familiesEndedMs' | 'takeOver' | 'relink'> | undefined
  /** Health checks of this node, with reasons. */
  checks(): Promise<readonly Check[]>
  readonly version: string
  /** Epoch milliseconds. */
  readonly startedAtMs: number
}

/** Who asks, for the audit record. */
export interface AdminCaller extends Asker {
  /** Whether the token opens more than this endpoint asks for. */
  may(scope: AdminScope): boolean
}

export type PlainHandler<N extends EndpointName> = (request: Request<N>, caller: AdminCaller) => Promise<Answer<N>>
export type StreamHandler<N extends EndpointName> = (request: Request<N>, caller: AdminCaller) => AsyncGenerator<Answer<N>>

/** One handler for each endpoint of the table, so that a new endpoint does not compile until it is handled. */
export type Handlers = { readonly [N in PlainName]: PlainHandler<N> } & { readonly [N in StreamName]: StreamHandler<N> }
export type Some<N extends keyof Endpoints> = Pick<Handlers, N>
