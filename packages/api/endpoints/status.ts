/** The authority itself: health, tokens as it sees them, backups. */
import type { Endpoint } from '../endpoint.ts'
import * as status from '../records/status.ts'

export const statusEndpoints = {
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
