/** Taking back, suspending, undoing; who has heard of it. */
import type { Endpoint } from '../endpoint.ts'
import * as revocations from '../records/revocations.ts'

export const revocationEndpoints = {
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
} as const satisfies Record<string, Endpoint>
