/** OAuth clients, and the APIs their tokens are for. */
import type { Endpoint } from '../endpoint.ts'
import * as clients from '../records/clients.ts'
import { pageQuery } from '../records/common.ts'

export const clientEndpoints = {
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
    idempotencyKey: true,
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
    idempotencyKey: true,
  },
} as const satisfies Record<string, Endpoint>
