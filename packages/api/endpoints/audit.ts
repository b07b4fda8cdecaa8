/** The record. */
import type { Endpoint } from '../endpoint.ts'
import * as audit from '../records/audit.ts'
import { pageQuery } from '../records/common.ts'
import * as status from '../records/status.ts'

export const auditEndpoints = {
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
    brief: 'List signed checkpoints, newest first.',
    query: pageQuery,
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
} as const satisfies Record<string, Endpoint>
