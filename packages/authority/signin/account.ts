/** A person's own page: where they are signed in, how they sign in, which apps have access, and taking each of it back. */
import { type ClientId, type DeviceId, newId, type SessionId } from '@signet/kernel/ids.ts'
import { epochSeconds } from '@signet/kernel/surroundings.ts'
import { audited } from '../audit/events.ts'
import { issuerStanding } from '../revocation/standing.ts'
import type { ConsentRecord } from '../store/ports/consents.ts'
import type { FamilyRecord } from '../store/ports/families.ts'
import type { DeviceRecord, SessionRecord } from '../store/ports/sessions.ts'
import type { Standing } from '../store/ports/standing.ts'
import type { PasskeyRecord, SubjectRecord } from '../store/ports/subjects.ts'
import type { Tx } from '../store/store.ts'
import { type AskItem, describeAsk } from './ask.ts'
import type { SigninParts } from './parts.ts'
import { judgeSession, type SignedIn } from './session.ts'

export interface Account {
  readonly subject: SubjectRecord
  /** The current one first, then by when it was seen last. */
  readonly devices: readonly AccountDevice[]
  readonly passkeys: readonly PasskeyRecord[]
  readonly apps: readonly AccountApp[]
}
export interface AccountDevice {
  readonly record: DeviceRecord
  readonly isThis: boolean
  readonly sessions: readonly SessionRecord[]
}
export interface AccountApp {
  readonly client: ClientId
  readonly name: string
  /** What it may do, in words where there are any. */
  readonly items: readonly AskItem[]
  /** Epoch seconds. */
  readonly since: number
  readonly lastUsedAt: number
}

type ReadParts = Pick<SigninParts, 'store' | 'clock' | 'chance' | 'settings' | 'grants' | 'issuer'>

export async function readAccount({ subject, session }: SignedIn, parts: ReadParts): Promise<Account> {
  const { store } = parts
  const [devices, sessions, passkeys, consents, families, issuer] = await Promise.all([
    readAll((after) => store.devices.ofSubject(subject.id, { ...after, limit: PAGE })),
    readAll(
      (after) => store.sessions.ofSubject(subject.id, { ...after, limit: PAGE }),
      longestAgo(parts, parts.settings.sessionMaxSeconds),
    ),
    store.subjects.passkeys(subject.id),
    store.consents.ofSubject(subject.id),
    liveFamilies(subject, parts),
    issuerStanding(store),
  ])
  const nowMs = parts.clock.now()
  const shown = devices
    .filter(({ status }) => status !== 'revoked')
    .map((record): AccountDevice => {
      const alive = (one: SessionRecord): boolean =>
        one.device === record.id && judgeSession(one, { subject, device: record, issuer }, nowMs) === 'alive'
      return { record, isThis: record.id === session.device, sessions: sessions.filter(alive) }
    })
  shown.sort((a, b) => Number(b.isThis) - Number(a.isThis) || b.record.lastSeenAt - a.record.lastSeenAt)
  return { subject, devices: shown.slice(0, MAX_SHOWN), passkeys, apps: await gatherApps(consents, families, parts) }
}

const PAGE = 500
/** More of one kind than this and the page shows the first. What is taken back is taken back whole. */
const MAX_PAGES = 4
const MAX_SHOWN = 100

async function readAll<T extends { readonly id: string }>(
  read: (after: { after?: string }) => Promise<readonly T[]>,
  from?: string,
): Promise<readonly T[]> {
  const all: T[] = []
  let after = from
  for (let page = 0; page < MAX_PAGES; page++) {
    const rows = await read(after === undefined ? {} : { after })
    all.push(...rows)
    if (rows.length < PAGE) break
    after = rows.at(-1)?.id
  }
  return all
}

/** Ids grow with time, so what began before this can't be alive and is not read. A day more, since it may have begun a little ahead. */
const longestAgo = ({ clock, chance }: Pick<SigninParts, 'clock' | 'chance'>, seconds: number): string =>
  newId<string>(Math.max(0, clock.now() - (seconds + 86_400) * 1000), chance)

async function liveFamilies(subject: SubjectRecord, parts: ReadParts): Promise<readonly FamilyRecord[]> {
  const from = longestAgo(parts, parts.settings.refreshMaxSeconds)
  const all = await readAll((after) => parts.store.families.ofSubject(subject.id, { ...after, limit: PAGE }), from)
  return all.filter((one) => isLive(one, subject, epochSeconds(parts.clock.now())))
}

const isLive = (one: FamilyRecord, subject: SubjectRecord, nowAt: number): boolean =>
  one.status !== 'revoked' && one.idleExpiresAt > nowAt && one.expiresAt > nowAt && isAfter(one, subject)

const isAfter = (one: { readonly createdAtMs: number }, standing: Standing): boolean => one.createdAtMs > standing.revokedMs

async function gatherApps(
  consents: readonly ConsentRecord[],
  families: readonly FamilyRecord[],
  parts: ReadParts,
): Promise<readonly AccountApp[]> {
  const ids = [...new Set([...consents.map(({ client }) => client), ...families.map(({ terms }) => terms.client)])].slice(
    0,
    MAX_SHOWN,
  )
  const apps = await Promise.all(
    ids.map(async (client): Promise<AccountApp> => {
      const consent = consents.find((one) => one.client === client)
      const own = families.filter(({ terms }) => terms.client === client)
      const times = own.map(({ createdAtMs }) => epochSeconds(createdAtMs))
      const granted = [...own.map(({ terms }) => terms), { scope: consent?.scopes ?? [], resources: consent?.resources ?? [] }]
      const scope = [...new Set(granted.flatMap((one) => one.scope))]
      const resources = [...new Set(granted.flatMap((one) => one.resources))]
      return {
        client,
        name: (await parts.store.clients.find(client))?.name ?? client,
        items: (await describeAsk({ scope, resources }, parts)).flatMap(({ items }) => items),
        since: Math.min(...times, consent?.grantedAt ?? Number.POSITIVE_INFINITY),
        lastUsedAt: Math.max(
          0,
          consent?.grantedAt ?? 0,
          ...own.map(({ rotatedAtMs, createdAtMs }) => epochSeconds(Math.max(rotatedAtMs, createdAtMs))),
        ),
      }
    }),
  )
  return apps.sort((a, b) => b.lastUsedAt - a.lastUsedAt)
}

// ── Taking back ────────────────────────────────────────────────────────────────────────────────────────────────────

type EndParts = ReadParts & Pick<SigninParts, 'revoker' | 'triggers'>

/** One of the person's own sessions; false when it is not theirs. */
export async function endSession({ subject }: SignedIn, id: SessionId, { store, revoker }: EndParts): Promise<boolean> {
  const session = await store.sessions.find(id)
  if (session?.subject !== subject.id) return false
  const why = { reason: 'ended_by_owner', actor: `subject:${subject.id}` }
  await store.transact((tx) => revoker.within(tx, { kind: 'session', id }, why))
  return true
}

/** One of the person's own devices, with every session and token on it; the others stay. False when it is not theirs. */
export async function removeDevice({ subject }: SignedIn, id: DeviceId, { store, triggers }: EndParts): Promise<boolean> {
  const device = await store.devices.find(id)
  if (device?.subject !== subject.id) return false
  await store.transact((tx) => triggers.deviceLost(tx, id, `subject:${subject.id}`))
  return true
}

/** Families that one commit ends; the rest follow in the next, so that nobody waits behind a person with very many. */
const FAMILIES_PER_COMMIT = 50

/** Withdraws what the person agreed to, and ends every grant the app holds from them. */
export async function removeApp({ subject }: SignedIn, client: ClientId, parts: EndParts): Promise<void> {
  const { store, revoker, clock, chance } = parts
  const actor = `subject:${subject.id}` as const
  const withdraw = async (tx: Tx): Promise<void> => {
    if (!(await tx.consents.delete(subject.id, client))) return
    tx.audit(audited(clock, chance, 'consent.withdrawn', actor, { subject: subject.id, client }))
  }
  // Consent first: an app that asks again meanwhile has to ask the person.
  await store.transact(withdraw)
  let after: string | undefined = longestAgo(parts, parts.settings.refreshMaxSeconds)
  while (after !== undefined) {
    const page: readonly FamilyRecord[] = await store.families.ofSubject(subject.id, { after, limit: PAGE })
    const theirs = page.filter((one) => one.terms.client === client && isLive(one, subject, epochSeconds(clock.now())))
    for (let at = 0; at < theirs.length; at += FAMILIES_PER_COMMIT) {
      await store.transact(async (tx) => {
        for (const { id } of theirs.slice(at, at + FAMILIES_PER_COMMIT)) {
          await revoker.within(tx, { kind: 'grant', id }, { reason: 'consent_withdrawn', actor })
        }
      })
    }
    after = page.length < PAGE ? undefined : page.at(-1)?.id
  }
}
