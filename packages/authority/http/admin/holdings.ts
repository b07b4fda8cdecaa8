/** What a person holds: passkeys, sessions, devices, grants. */
import { epochSeconds } from '@signet/kernel/surroundings.ts'
import { findSubject, type SubjectParts } from '../../administration/subjects.ts'
import { page } from './page.ts'
import type { Some } from './parts.ts'

type Names = 'listPasskeys' | 'listSessions' | 'listDevices' | 'listGrants'

export function holdingHandlers(parts: Pick<SubjectParts, 'store'>): Some<Names> {
  const { store } = parts
  return {
    async listPasskeys({ params }) {
      const { id: subject } = await findSubject(params.id, parts)
      const passkeys = await store.subjects.passkeys(subject)
      return {
        items: passkeys.map(({ id, name, transports, createdAt, lastUsedAt }) => ({
          id,
          name,
          transports: [...transports],
          created_at: createdAt,
          last_used_at: lastUsedAt,
        })),
      }
    },

    async listSessions({ params, query }) {
      const { id: subject } = await findSubject(params.id, parts)
      return page(
        query,
        (bounds) => store.sessions.ofSubject(subject, bounds),
        ({ id }) => id,
        (session) => ({
          id: session.id,
          device: session.device,
          status: session.status,
          created_at: epochSeconds(session.createdAtMs),
          auth_at: session.authAt,
          acr: session.acr,
          amr: [...session.amr],
          idle_expires_at: session.idleExpiresAt,
          expires_at: session.expiresAt,
        }),
      )
    },

    async listDevices({ params, query }) {
      const { id: subject } = await findSubject(params.id, parts)
      return page(
        query,
        (bounds) => store.devices.ofSubject(subject, bounds),
        ({ id }) => id,
        ({ id, name, status, createdAt, lastSeenAt }) => ({ id, name, status, created_at: createdAt, last_seen_at: lastSeenAt }),
      )
    },

    async listGrants({ params, query }) {
      const { id: subject } = await findSubject(params.id, parts)
      return page(
        query,
        (bounds) => store.families.ofSubject(subject, bounds),
        ({ id }) => id,
        (family) => ({
          id: family.id,
          client: family.terms.client,
          status: family.status,
          scopes: [...family.terms.scope],
          resources: [...family.terms.resources],
          session: family.session,
          device: family.device,
          generation: family.generation,
          bound: family.jkt !== undefined,
          created_at: epochSeconds(family.createdAtMs),
          rotated_at: epochSeconds(family.rotatedAtMs),
          idle_expires_at: family.idleExpiresAt,
          expires_at: family.expiresAt,
        }),
      )
    },
  }
}
