/** Signing keys and API keys. */
import type { Endpoint } from '../endpoint.ts'
import * as keys from '../records/keys.ts'
import * as revocations from '../records/revocations.ts'

export const keyEndpoints = {
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
    brief: 'Resume an API key.',
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
} as const satisfies Record<string, Endpoint>
