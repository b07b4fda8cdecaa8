/**
 * The admin API, whole: each endpoint with its least scope, input and answer. The authority's routes, the typed client,
 * the CLI and docs/admin-api.md are all made from this table, so they cannot disagree.
 */
import type { AnswerOf, CallOf, Endpoint, ReplyOf, RequestOf } from './endpoint.ts'
import * as audit from './records/audit.ts'
import * as batches from './records/batches.ts'
import * as clients from './records/clients.ts'
import { pageQuery } from './records/common.ts'
import * as fleet from './records/fleet.ts'
import * as keys from './records/keys.ts'
import * as regions from './records/regions.ts'
import * as revocations from './records/revocations.ts'
import * as status from './records/status.ts'
import * as subjects from './records/subjects.ts'

export const endpoints = {
  // ── Clients ──
  listClients: {
    method: 'GET',
    path: '/clients',
    scope: 'signet:read',
    brief: 'List OAuth clients.',
    query: pageQuery,
    reply: clients.clientList,
  },
  createClient: {
    method: 'POST',
    path: '/clients',
    scope: 'signet:admin',
    brief: 'Register a client; a secret is shown once.',
    body: clients.createClient,
    reply: clients.clientCreated,
    status: 201,
  },
  showClient: {
    method: 'GET',
    path: '/clients/:id',
    scope: 'signet:read',
    brief: 'Show one client.',
    params: clients.clientPath,
    reply: clients.client,
  },
  updateClient: {
    method: 'PATCH',
    path: '/clients/:id',
    scope: 'signet:admin',
    brief: 'Change a client; what is not given stays.',
    params: clients.clientPath,
    body: clients.updateClient,
    reply: clients.client,
  },
  deleteClient: {
    method: 'DELETE',
    path: '/clients/:id',
    scope: 'signet:admin',
    brief: 'Remove a client; all its tokens are revoked.',
    params: clients.clientPath,
  },
  rotateClientSecret: {
    method: 'POST',
    path: '/clients/:id/secrets',
    scope: 'signet:admin',
    brief: 'Make a new client secret; the old one works on for the overlap.',
    params: clients.clientPath,
    body: clients.rotateSecret,
    reply: clients.secretRotated,
    status: 201,
  },

  // ── Resources ──
  listResources: {
    method: 'GET',
    path: '/resources',
    scope: 'signet:read',
    brief: 'List resources, the APIs that tokens are for.',
    query: pageQuery,
    reply: clients.resourceList,
  },
  showResource: {
    method: 'GET',
    path: '/resources/:uri',
    scope: 'signet:read',
    brief: 'Show one resource.',
    params: clients.resourcePath,
    reply: clients.resource,
  },
  putResource: {
    method: 'PUT',
    path: '/resources/:uri',
    scope: 'signet:admin',
    brief: 'Put a resource in place, new or instead of what was there.',
    params: clients.resourcePath,
    body: clients.putResource,
    reply: clients.resource,
  },
  deleteResource: {
    method: 'DELETE',
    path: '/resources/:uri',
    scope: 'signet:admin',
    brief: 'Remove a resource: no new tokens for it.',
    params: clients.resourcePath,
  },

  // ── Subjects ──
  listSubjects: {
    method: 'GET',
    path: '/subjects',
    scope: 'signet:read',
    brief: 'List people, or find one by username.',
    query: subjects.subjectQuery,
    reply: subjects.subjectList,
  },
  createSubject: {
    method: 'POST',
    path: '/subjects',
    scope: 'signet:admin',
    brief: 'Create a person.',
    body: subjects.createSubject,
    reply: subjects.subject,
    status: 201,
  },
  showSubject: {
    method: 'GET',
    path: '/subjects/:id',
    scope: 'signet:read',
    brief: 'Show one person.',
    params: subjects.subjectPath,
    reply: subjects.subject,
  },
  updateSubject: {
    method: 'PATCH',
    path: '/subjects/:id',
    scope: 'signet:admin',
    brief: 'Change a person; new roles or claims start a claims epoch.',
    params: subjects.subjectPath,
    body: subjects.updateSubject,
    reply: subjects.subject,
  },
  deleteSubject: {
    method: 'DELETE',
    path: '/subjects/:id',
    scope: 'signet:admin',
    brief: 'Delete a person; everything they hold is revoked.',
    params: subjects.subjectPath,
  },
  setPassword: {
    method: 'PUT',
    path: '/subjects/:id/password',
    scope: 'signet:admin',
    brief: 'Set or take away a password; sessions and grants end.',
    params: subjects.subjectPath,
    body: subjects.setPassword,
  },
  inviteSubject: {
    method: 'POST',
    path: '/invitations',
    scope: 'signet:admin',
    brief: 'Make an invitation, a one-time link with which somebody new sets up a passkey or password.',
    body: subjects.inviteSubject,
    reply: subjects.setupLink,
    status: 201,
  },
  recoverSubject: {
    method: 'POST',
    path: '/subjects/:id/recoveries',
    scope: 'signet:admin',
    brief: 'Make a recovery link, for somebody who has lost every way to sign in.',
    params: subjects.subjectPath,
    reply: subjects.setupLink,
    status: 201,
  },
  listPasskeys: {
    method: 'GET',
    path: '/subjects/:id/passkeys',
    scope: 'signet:read',
    brief: "List a person's passkeys.",
    params: subjects.subjectPath,
    reply: subjects.passkeyList,
  },
  deletePasskey: {
    method: 'DELETE',
    path: '/subjects/:id/passkeys/:passkey',
    scope: 'signet:admin',
    brief: 'Remove a passkey; sessions and grants end.',
    params: subjects.passkeyPath,
  },
  listSessions: {
    method: 'GET',
    path: '/subjects/:id/sessions',
    scope: 'signet:read',
    brief: "List a person's sessions.",
    params: subjects.subjectPath,
    query: pageQuery,
    reply: subjects.sessionList,
  },
  listDevices: {
    method: 'GET',
    path: '/subjects/:id/devices',
    scope: 'signet:read',
    brief: "List a person's devices.",
    params: subjects.subjectPath,
    query: pageQuery,
    reply: subjects.deviceList,
  },
  listGrants: {
    method: 'GET',
    path: '/subjects/:id/grants',
    scope: 'signet:read',
    brief: "List a person's grants (refresh families).",
    params: subjects.subjectPath,
    query: pageQuery,
    reply: subjects.grantList,
  },

  // ── Taking back ──
  revoke: {
    method: 'POST',
    path: '/revocations',
    scope: 'signet:revoke',
    brief: 'Revoke one target, whatever its kind.',
    body: revocations.revoke,
    reply: revocations.receipt,
    idempotencyKey: true,
  },
  listRevocations: {
    method: 'GET',
    path: '/revocations',
    scope: 'signet:read',
    brief: 'Read the revocation log, in order.',
    query: revocations.revocationQuery,
    reply: revocations.revocationList,
  },
  undoRevocations: {
    method: 'POST',
    path: '/revocations/undo',
    scope: 'signet:admin',
    brief: 'Undo revocations: a new epoch of the log begins in which they were never made.',
    body: revocations.undo,
    reply: revocations.undone,
    idempotencyKey: true,
  },
  suspend: {
    method: 'POST',
    path: '/suspensions',
    scope: 'signet:revoke',
    brief: 'Suspend a person, client, session, device or grant.',
    body: revocations.suspend,
    reply: revocations.receipt,
    idempotencyKey: true,
  },
  resume: {
    method: 'DELETE',
    path: '/suspensions/:kind/:id',
    scope: 'signet:revoke',
    brief: 'Lift a suspension.',
    params: revocations.suspensionPath,
    query: revocations.resumeQuery,
    idempotencyKey: true,
  },

  // ── Batches ──
  planBatch: {
    method: 'POST',
    path: '/batches',
    scope: 'signet:revoke',
    brief: 'Plan a batch, a dry run that counts what a selector names.',
    body: batches.planBatch,
    maxBodyBytes: 1024 * 1024,
    reply: batches.batchPlanned,
    stream: true,
  },
  listBatches: {
    method: 'GET',
    path: '/batches',
    scope: 'signet:read',
    brief: 'List batches, newest first.',
    query: pageQuery,
    reply: batches.batchList,
  },
  showBatch: {
    method: 'GET',
    path: '/batches/:id',
    scope: 'signet:read',
    brief: 'Show one batch and how far it is.',
    params: batches.batchPath,
    reply: batches.batch,
  },
  startBatch: {
    method: 'POST',
    path: '/batches/:id/start',
    scope: 'signet:revoke',
    brief: 'Start a batch that was planned; a wide one needs `signet:admin`.',
    params: batches.batchPath,
    body: batches.startBatch,
    reply: batches.batch,
    idempotencyKey: true,
  },
  pauseBatch: {
    method: 'POST',
    path: '/batches/:id/pause',
    scope: 'signet:revoke',
    brief: 'Pause a batch after the piece under way.',
    params: batches.batchPath,
    reply: batches.batch,
  },
  resumeBatch: {
    method: 'POST',
    path: '/batches/:id/resume',
    scope: 'signet:revoke',
    brief: 'Let a batch go on that was paused, or that failed.',
    params: batches.batchPath,
    reply: batches.batch,
  },
  cancelBatch: {
    method: 'POST',
    path: '/batches/:id/cancel',
    scope: 'signet:revoke',
    brief: 'Cancel a batch; what is done stays done.',
    params: batches.batchPath,
    reply: batches.batch,
  },
  undoBatch: {
    method: 'POST',
    path: '/batches/:id/undo',
    scope: 'signet:revoke',
    brief: 'Undo a suspension batch: exactly what it suspended goes on. Asked twice, it is done once.',
    params: batches.batchPath,
    body: batches.undoBatch,
    reply: batches.batch,
  },

  showFeed: {
    method: 'GET',
    path: '/feed',
    scope: 'signet:read',
    brief: 'Show the feed: the log head, and how many validators follow it.',
    reply: revocations.feed,
  },
  listFleet: {
    method: 'GET',
    path: '/fleet',
    scope: 'signet:read',
    brief: 'List the validators that follow the feed, by their own account, as all nodes heard it.',
    query: pageQuery,
    reply: fleet.fleet,
  },
  showRevocation: {
    method: 'GET',
    path: '/revocations/:seq',
    scope: 'signet:read',
    brief: 'Show the receipt of a revocation: which validators have applied it, and since when that is known.',
    params: fleet.revocationPath,
    query: fleet.receiptQuery,
    reply: fleet.fleetReceipt,
  },

  // ── Other regions ──
  listRegions: {
    method: 'GET',
    path: '/regions',
    scope: 'signet:read',
    brief: 'Show how the other regions are followed.',
    reply: regions.regions,
  },
  takeOverRegion: {
    method: 'POST',
    path: '/regions/:name/takeover',
    scope: 'signet:admin',
    brief: 'Declare a region lost: what it signed is refused, its people sign in anew here.',
    params: regions.regionPath,
    body: regions.takeover,
    reply: regions.takenOver,
  },

  // ── Keys ──
  listKeys: {
    method: 'GET',
    path: '/keys',
    scope: 'signet:read',
    brief: 'List signing keys with their schedule.',
    reply: keys.keyList,
  },
  rotateKey: {
    method: 'POST',
    path: '/keys/rotations',
    scope: 'signet:keys',
    brief: 'Rotate a key: the next of its purpose comes forward.',
    body: keys.rotateKey,
    reply: keys.keyRotated,
  },
  compromiseKey: {
    method: 'POST',
    path: '/keys/:id/compromise',
    scope: 'signet:keys',
    brief: 'Declare a key stolen: every token it signed is refused, a new key signs at once.',
    params: keys.keyPath,
    body: keys.compromise,
    reply: revocations.receipt,
  },

  // ── API keys ──
  listApiKeys: {
    method: 'GET',
    path: '/api-keys',
    scope: 'signet:read',
    brief: "List a client's API keys.",
    query: keys.apiKeyQuery,
    reply: keys.apiKeyList,
  },
  createApiKey: {
    method: 'POST',
    path: '/api-keys',
    scope: 'signet:admin',
    brief: 'Make an API key, shown once.',
    body: keys.createApiKey,
    reply: keys.apiKeyCreated,
    status: 201,
  },
  showApiKey: {
    method: 'GET',
    path: '/api-keys/:id',
    scope: 'signet:read',
    brief: 'Show one API key, without its secret.',
    params: keys.apiKeyPath,
    reply: keys.apiKey,
  },
  rotateApiKey: {
    method: 'POST',
    path: '/api-keys/:id/rotations',
    scope: 'signet:admin',
    brief: 'Rotate an API key: it gets an heir and works on for the overlap.',
    params: keys.apiKeyPath,
    body: keys.rotateApiKey,
    reply: keys.apiKeyCreated,
    status: 201,
  },
  suspendApiKey: {
    method: 'PUT',
    path: '/api-keys/:id/suspension',
    scope: 'signet:revoke',
    brief: 'Suspend an API key until resumed.',
    params: keys.apiKeyPath,
    body: keys.suspendApiKey,
    reply: keys.apiKey,
  },
  resumeApiKey: {
    method: 'DELETE',
    path: '/api-keys/:id/suspension',
    scope: 'signet:revoke',
    brief: 'Resume an API key; those that a restore suspended too.',
    params: keys.apiKeyPath,
    query: revocations.resumeQuery,
    reply: keys.apiKey,
  },
  revokeApiKey: {
    method: 'DELETE',
    path: '/api-keys/:id',
    scope: 'signet:revoke',
    brief: 'Revoke an API key.',
    params: keys.apiKeyPath,
    reply: revocations.receipt,
  },

  // ── The record ──
  searchAudit: {
    method: 'GET',
    path: '/audit/events',
    scope: 'signet:read',
    brief: 'Search the audit record, in time order.',
    query: audit.auditQuery,
    reply: audit.auditList,
  },
  verifyAudit: {
    method: 'POST',
    path: '/audit/verifications',
    scope: 'signet:read',
    brief: 'Verify the audit record: every hash is recomputed, the first bad one named.',
    body: audit.verifyAudit,
    reply: audit.auditVerification,
    stream: true,
  },
  listCheckpoints: {
    method: 'GET',
    path: '/audit/checkpoints',
    scope: 'signet:read',
    brief: 'List signed checkpoints.',
    reply: audit.checkpointList,
  },
  makeCheckpoint: {
    method: 'POST',
    path: '/audit/checkpoints',
    scope: 'signet:admin',
    brief: 'Make a checkpoint: the heads of all chains are signed now.',
    reply: audit.checkpoint,
    status: 201,
  },
  showLineage: {
    method: 'GET',
    path: '/lineage/:id',
    scope: 'signet:read',
    brief: 'Show a lineage: from what something was issued, by whom, rotated when, ended why.',
    params: audit.lineagePath,
    reply: audit.lineage,
  },
  inspectToken: {
    method: 'POST',
    path: '/tokens/inspections',
    scope: 'signet:read',
    brief: 'Inspect a token: whether it is alive, and if not, what ended it.',
    body: status.inspectToken,
    reply: status.inspection,
  },

  // ── The authority itself ──
  showStatus: {
    method: 'GET',
    path: '/status',
    scope: 'signet:read',
    brief: 'Show the status of the answering node, with reasons.',
    reply: status.health,
  },
  showPolicy: {
    method: 'GET',
    path: '/policy',
    scope: 'signet:read',
    brief: 'Show the policy in force.',
    reply: status.policy,
  },
  listBackups: {
    method: 'GET',
    path: '/backups',
    scope: 'signet:read',
    brief: 'List backups in the state directory.',
    reply: status.backupList,
  },
  startBackup: {
    method: 'POST',
    path: '/backups',
    scope: 'signet:admin',
    brief: 'Back up the whole store, as of one moment, while it is in use.',
    body: status.startBackup,
    reply: status.backupProgress,
    stream: true,
  },
} as const satisfies Record<string, Endpoint>

export type Endpoints = typeof endpoints
export type EndpointName = keyof Endpoints
export type StreamName = { [N in EndpointName]: Endpoints[N] extends { stream: true } ? N : never }[EndpointName]
export type PlainName = Exclude<EndpointName, StreamName>

export type Call<N extends EndpointName> = CallOf<Endpoints[N]>
export type Request<N extends EndpointName> = RequestOf<Endpoints[N]>
export type Answer<N extends EndpointName> = AnswerOf<Endpoints[N]>
export type Reply<N extends EndpointName> = ReplyOf<Endpoints[N]>

/** What a refused or failed request carries (ISS-24). */
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
