/** Records for tests about families: ordinary ones, with what a test cares about given over. */
import type { ClientId, DeviceId, FamilyId, SessionId, SubjectId } from '@signet/kernel/ids.ts'
import type { ClientRecord } from '../store/ports/clients.ts'
import type { FamilyRecord } from '../store/ports/families.ts'
import type { Standing } from '../store/ports/standing.ts'

const DAY = 86_400

export const aStanding = (over: Partial<Standing> = {}): Standing => ({ status: 'active', cutoffMs: 0, revokedMs: 0, ...over })

export const aClient = (over: Partial<ClientRecord> = {}): ClientRecord => ({
  ...aStanding(),
  id: 'web-app' as ClientId,
  name: 'Web app',
  platform: 'web',
  authMethod: 'none',
  secrets: [],
  jwks: [],
  redirectUris: [],
  postLogoutRedirectUris: [],
  grantTypes: ['authorization_code', 'refresh_token'],
  scopes: [],
  resources: [],
  introspects: [],
  dpopBound: false,
  firstParty: true,
  createdAt: 0,
  ...over,
})

export function aFamily(over: Partial<FamilyRecord> & { readonly createdAtMs: number }): FamilyRecord {
  const createdAt = Math.floor(over.createdAtMs / 1000)
  return {
    id: '018f0000-0000-7000-8000-00000000fa01' as FamilyId,
    terms: {
      client: 'web-app' as ClientId,
      platform: 'web',
      scope: ['read'],
      resources: ['https://api.example'],
      acr: 'pwd',
      amr: ['pwd'],
      policy: 'abcdef',
      idleSeconds: 14 * DAY,
    },
    subject: '018f0000-0000-7000-8000-000000000501' as SubjectId,
    session: '018f0000-0000-7000-8000-000000005e01' as SessionId,
    device: '018f0000-0000-7000-8000-00000000de01' as DeviceId,
    status: 'active',
    cutoffMs: 0,
    authAt: createdAt,
    generation: 0,
    nonce: new Uint8Array(16).fill(7),
    ring: 1,
    previousRing: 1,
    rotatedAtMs: over.createdAtMs,
    graceCount: 0,
    graceForeign: false,
    graceRun: 0,
    foreignRun: 0,
    seen: new Uint8Array(8).fill(1),
    idleExpiresAt: createdAt + 14 * DAY,
    expiresAt: createdAt + 90 * DAY,
    ...over,
  }
}
