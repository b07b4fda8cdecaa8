/**
 * The protected API: all that a service needs to write. The validator follows the revocation feed by itself; a request is
 * judged without a round trip.
 */
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Validator } from '@signet/validator'
import { protect } from '@signet/validator/adapters/node.ts'

const notes = ['Buy milk', 'Call the bank']

export function createApi(validator: Validator): Record<string, (request: IncomingMessage, response: ServerResponse) => void> {
  return {
    'GET /api/notes': protect(validator, { needs: ['notes:read'] }, (_request, response, verdict) => {
      json(response, 200, { notes, subject: verdict.claims.sub, staleness_ms: Math.round(verdict.stalenessMs) })
    }),
    'POST /api/notes': protect(validator, { needs: ['notes:write'] }, (_request, response) => {
      notes.push(`Note ${notes.length + 1}`)
      notes.splice(0, notes.length - 20) // A sample that runs for weeks should not grow.
      json(response, 201, { notes })
    }),
  }
}

export function json(response: ServerResponse, status: number, body: unknown): void {
  response.writeHead(status, { 'content-type': 'application/json', 'cache-control': 'no-store' })
  response.end(JSON.stringify(body))
}
