/** Puts the tables' reads together into the port's lookups. */
import type { Store } from './store.ts'
import { apiKeyLookups } from './tables/api-keys.ts'
import { auditLookups } from './tables/audit.ts'
import { batchLookups } from './tables/batches.ts'
import { clientLookups } from './tables/clients.ts'
import { consentLookups } from './tables/consents.ts'
import { familyLookups } from './tables/families.ts'
import { codeLookups, interactionLookups } from './tables/handles.ts'
import { keyLookups } from './tables/keys.ts'
import { metaLookups } from './tables/meta.ts'
import { createNews } from './tables/news.ts'
import { peerLookups } from './tables/peers.ts'
import { resourceLookups } from './tables/resources.ts'
import { revocationLookups } from './tables/revocations.ts'
import { deviceLookups, sessionLookups } from './tables/sessions.ts'
import type { Sql } from './tables/sql.ts'
import { subjectLookups } from './tables/subjects.ts'
import type { Shared } from './tables/transaction.ts'

export type Lookups = Pick<
  Store,
  | 'clients'
  | 'resources'
  | 'subjects'
  | 'sessions'
  | 'devices'
  | 'families'
  | 'codes'
  | 'consents'
  | 'apiKeys'
  | 'interactions'
  | 'keys'
  | 'peers'
  | 'revocations'
  | 'batches'
  | 'audit'
  | 'meta'
>

/** `slow` is for reads that may take long: they must not keep the others waiting. */
export function createLookups(sql: Sql, slow: Sql, shared: Shared, snapshot: Store['revocations']['snapshot']): Lookups {
  const news = createNews()
  shared.news = news
  return {
    clients: clientLookups(sql),
    resources: resourceLookups(sql),
    subjects: subjectLookups(sql),
    sessions: sessionLookups(sql),
    devices: deviceLookups(sql),
    families: familyLookups(sql, shared.terms),
    codes: codeLookups(sql),
    consents: consentLookups(sql),
    apiKeys: apiKeyLookups(sql),
    interactions: interactionLookups(sql),
    keys: keyLookups(sql),
    peers: peerLookups(sql),
    revocations: revocationLookups(sql, news, snapshot),
    batches: batchLookups(sql),
    audit: auditLookups(sql, slow),
    meta: metaLookups(sql),
  }
}
