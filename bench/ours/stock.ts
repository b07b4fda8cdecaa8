/** What a run uses up, made by the authority's own code as after a sign-in: each of a person, session and device of its own. */
import type { Authority } from '@signet/authority/compose.ts'
import { issueCode } from '@signet/authority/grants/code.ts'
import type { PolicySettings } from '@signet/authority/policy/settings.ts'
import type { SessionRecord } from '@signet/authority/store/ports/sessions.ts'
import type { SubjectRecord } from '@signet/authority/store/ports/subjects.ts'
import type { Tx } from '@signet/authority/store/store.ts'
import { sha256 } from '@signet/authority/surroundings.ts'
import { mintApiKey } from '@signet/authority/tokens/api-key.ts'
import { encodeRefreshToken } from '@signet/authority/tokens/refresh-token.ts'
import { type ClientId, type DeviceId, newId, type SessionId, type SubjectId } from '@signet/kernel/ids.ts'
import type { Surroundings } from '@signet/kernel/surroundings.ts'
import { newFamily } from '../families.ts'
import {
  APP_CLIENT,
  CODE_CHALLENGE,
  REDIRECT_URI,
  RESOURCE,
  RESOURCE_SCOPES,
  type ServerAnswers,
  type StockKind,
} from '../http/server.ts'

/** At once; more would only wait in the store's queue. */
const PER_WAVE = 500
const DAY = 86_400

export function createStock(
  { store, keys }: Authority,
  settings: PolicySettings,
  surroundings: Surroundings,
): ServerAnswers['stock'] {
  const { clock, chance } = surroundings
  return async ({ kind, count }) => {
    const made: string[] = []
    while (made.length < count) {
      const wave = Math.min(PER_WAVE, count - made.length)
      made.push(...(await Promise.all(Array.from({ length: wave }, () => store.transact((tx) => make(kind, tx))))))
    }
    return made
  }

  async function make(kind: StockKind, tx: Tx): Promise<string> {
    if (kind === 'opaque') return makeApiKey(tx)
    const { subject, session } = await signIn(tx)
    if (kind === 'refresh') return makeRefreshToken(tx, subject, session)
    return issueCode(
      tx,
      { settings, clock, chance, sha256 },
      {
        client: APP_CLIENT.id as ClientId,
        subject: subject.id,
        session: session.id,
        sessionCreatedAtMs: session.createdAtMs,
        device: session.device,
        scope: ['openid', ...RESOURCE_SCOPES],
        resources: [RESOURCE],
        redirectUri: REDIRECT_URI,
        codeChallenge: CODE_CHALLENGE,
        authAt: session.authAt,
        acr: session.acr,
        amr: session.amr,
      },
    )
  }

  async function signIn(tx: Tx): Promise<{ subject: SubjectRecord; session: SessionRecord }> {
    const nowMs = clock.now()
    const nowAt = Math.floor(nowMs / 1000)
    const active = { status: 'active', cutoffMs: 0, revokedMs: 0 } as const
    const subject: SubjectRecord = {
      ...active,
      id: newId<SubjectId>(nowMs, chance),
      username: newId<string>(nowMs, chance),
      claims: {},
      roles: [],
      createdAt: nowAt,
    }
    const device = newId<DeviceId>(nowMs, chance)
    const session: SessionRecord = {
      ...active,
      id: newId<SessionId>(nowMs, chance),
      subject: subject.id,
      device,
      secretHash: chance.bytes(32),
      createdAtMs: nowMs,
      authAt: nowAt,
      acr: 'urn:signet:acr:password',
      amr: ['pwd'],
      idleExpiresAt: nowAt + DAY,
      expiresAt: nowAt + DAY,
    }
    await tx.subjects.create(subject)
    const seenAt = { createdAt: nowAt, lastSeenAt: nowAt }
    await tx.devices.create({
      ...active,
      ...seenAt,
      id: device,
      subject: subject.id,
      secretHash: chance.bytes(32),
      name: 'A browser',
    })
    await tx.sessions.create(session)
    return { subject, session }
  }

  async function makeRefreshToken(tx: Tx, subject: SubjectRecord, session: SessionRecord): Promise<string> {
    const ring = keys.ring()?.version as number
    const family = { ...newFamily(), subject: subject.id, session: session.id, device: session.device, ring, previousRing: ring }
    await tx.families.create(family)
    return encodeRefreshToken(keys, family)
  }

  async function makeApiKey(tx: Tx): Promise<string> {
    const { id, key, secretHash } = mintApiKey(clock.now(), chance)
    await tx.apiKeys.create({
      id,
      secretHash,
      name: 'bench',
      client: APP_CLIENT.id as ClientId,
      scopes: RESOURCE_SCOPES,
      resource: RESOURCE,
      status: 'active',
      createdAt: Math.floor(clock.now() / 1000),
    })
    return key.reveal()
  }
}
