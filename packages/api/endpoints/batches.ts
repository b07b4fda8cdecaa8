/** Many at once. */
import type { Endpoint } from '../endpoint.ts'
import * as batches from '../records/batches.ts'
import { pageQuery } from '../records/common.ts'
import * as fleet from '../records/fleet.ts'
import * as revocations from '../records/revocations.ts'

export const batchEndpoints = {
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
} as const satisfies Record<string, Endpoint>
