import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { ClientId } from '@signet/kernel/ids.ts'
import { defaultSettings } from '../policy/settings.ts'
import type { FamilyRecord, FamilyStanding } from '../store/ports/families.ts'
import type { Standing } from '../store/ports/standing.ts'
import { aClient, aFamily, aStanding } from './family.testkit.ts'
import { type Asker, judgeRefresh, type Ruling } from './family.ts'
import type { PresentedRefreshToken } from './refresh-token.ts'

const NOW_MS = 1_800_000_000_000
const rules = defaultSettings
const GRACE_MS = rules.graceSeconds * 1000

/** A family at generation 5, rotated a second ago. */
const family = (over: Partial<FamilyRecord> = {}): FamilyRecord =>
  aFamily({ createdAtMs: NOW_MS - 3_600_000, rotatedAtMs: NOW_MS - 1000, generation: 5, ...over })
const standing = (over: Partial<FamilyRecord> = {}, of: Partial<FamilyStanding> = {}): FamilyStanding => ({
  family: family(over),
  subject: aStanding(),
  session: aStanding(),
  device: aStanding(),
  ...of,
})
const present = (generation: number): PresentedRefreshToken => ({
  family: family().id,
  generation,
  ring: 1,
  tag: new Uint8Array(32),
})
const asker = (over: Partial<Asker> = {}): Asker => ({ client: aClient(), seen: family().seen, nowMs: NOW_MS, ...over })

function judge(
  generation: number,
  of: FamilyStanding | undefined = standing(),
  by: Partial<Asker> = {},
  tag: 'genuine' | 'forged' = 'genuine',
): Ruling {
  return judgeRefresh(of, present(generation), tag, asker(by), rules)
}
function refusedAs(ruling: Ruling): string {
  assert.equal(ruling.kind, 'refuse')
  return ruling.kind === 'refuse' ? ruling.reason : ''
}

test('the current generation is rotated, the previous repeated, an older one is theft', () => {
  assert.equal(judge(5).kind, 'rotate')
  assert.equal(judge(4).kind, 'repeat')
  assert.deepEqual(judge(3), { kind: 'reuse', family: family(), evidence: 'spent_long_ago' })
  assert.equal(judge(0).kind, 'reuse')
})

test('a forged tag is refused whatever generation it claims, even of a family that has ended', () => {
  for (const generation of [0, 4, 5, 6])
    assert.equal(refusedAs(judge(generation, standing(), {}, 'forged')), 'refresh_token_forged')
  assert.equal(refusedAs(judge(5, standing({ status: 'revoked' }), {}, 'forged')), 'refresh_token_forged')
  assert.equal(refusedAs(judgeRefresh(undefined, present(5), 'genuine', asker(), rules)), 'refresh_token_unknown')
})

test('another client gets nothing and hurts nobody, also with a token spent long ago', () => {
  for (const generation of [3, 4, 5]) {
    const other = { client: { ...aClient(), id: 'other' as ClientId } }
    assert.equal(refusedAs(judge(generation, standing(), other)), 'wrong_client')
  }
})

test('another platform class is refused', () => {
  assert.equal(refusedAs(judge(5, standing(), { client: { ...aClient(), platform: 'native' } })), 'wrong_platform')
})

test('a family that was restored from a backup is not mistaken for a stolen one', () => {
  assert.equal(refusedAs(judge(6)), 'refresh_token_from_the_future')
  assert.equal(refusedAs(judge(4_000_000_000)), 'refresh_token_from_the_future')
})

test('idle and absolute limits end a family at their second', () => {
  const at = NOW_MS / 1000
  assert.equal(refusedAs(judge(5, standing({ expiresAt: at }))), 'grant_expired')
  assert.equal(refusedAs(judge(5, standing({ idleExpiresAt: at }))), 'grant_idle')
  assert.equal(judge(5, standing({ expiresAt: at + 1, idleExpiresAt: at + 1 })).kind, 'rotate')
  assert.equal(refusedAs(judge(3, standing({ idleExpiresAt: at }))), 'grant_idle', 'there is nothing left to steal')
})

test('suspended is not revoked, and revoked counts first', () => {
  const suspended = aStanding({ status: 'suspended' })
  const revoked = aStanding({ status: 'revoked' })
  assert.equal(refusedAs(judge(5, standing({ status: 'suspended' }))), 'grant_suspended')
  assert.equal(refusedAs(judge(5, standing({ status: 'revoked' }))), 'grant_revoked')
  for (const what of ['subject', 'session', 'device'] as const) {
    assert.equal(refusedAs(judge(5, standing({}, { [what]: suspended }))), `${what}_suspended`)
    assert.equal(refusedAs(judge(5, standing({}, { [what]: revoked }))), `${what}_revoked`)
  }
  assert.equal(refusedAs(judge(5, standing(), { client: { ...aClient(), status: 'suspended' } })), 'client_suspended')
  assert.equal(refusedAs(judge(5, standing({ status: 'suspended' }, { subject: revoked }))), 'subject_revoked')
})

test('what was made before a revocation has ended with it, what was made after has not', () => {
  const { createdAtMs } = family()
  const ends = (revokedMs: number, what: 'subject' | 'session' | 'device') =>
    judge(5, standing({}, { [what]: aStanding({ revokedMs }) } as Partial<Record<typeof what, Standing>>))
  for (const what of ['subject', 'session', 'device'] as const) {
    assert.equal(refusedAs(ends(createdAtMs, what)), `${what}_revoked`)
    assert.equal(ends(createdAtMs - 1, what).kind, 'rotate')
  }
  assert.equal(refusedAs(judge(5, standing(), { client: { ...aClient(), revokedMs: createdAtMs } })), 'client_revoked')
  assert.equal(refusedAs(judge(5, standing(), { familiesEndedMs: createdAtMs })), 'issuer_revoked')
  assert.equal(judge(5, standing(), { familiesEndedMs: createdAtMs - 1 }).kind, 'rotate')
})

test('a claims epoch, a cutoff that leaves revokedMs alone, leaves the grant alive', () => {
  assert.equal(judge(5, standing({}, { subject: aStanding({ cutoffMs: NOW_MS }) })).kind, 'rotate')
})

test('a device, session or subject that is gone takes its grants with it', () => {
  assert.equal(refusedAs(judge(5, standing({}, { device: undefined }))), 'device_revoked')
  assert.equal(refusedAs(judge(5, standing({}, { session: undefined }))), 'session_revoked')
  assert.equal(refusedAs(judge(5, standing({}, { subject: undefined }))), 'subject_revoked')
  const { session, device, ...unbound } = family()
  assert.ok(session && device)
  assert.equal(judge(5, { family: unbound, subject: aStanding(), session: undefined, device: undefined }).kind, 'rotate')
})

test('a bound family yields nothing without its key, and is not hurt by trying', () => {
  const bound = standing({ jkt: 'owner' })
  for (const generation of [3, 4, 5]) {
    assert.equal(refusedAs(judge(generation, bound)), 'proof_missing')
    assert.equal(refusedAs(judge(generation, bound, { jkt: 'thief' })), 'wrong_key')
  }
  assert.equal(judge(5, bound, { jkt: 'owner' }).kind, 'rotate')
  assert.equal(judge(3, bound, { jkt: 'owner' }).kind, 'reuse')
  assert.equal(
    judge(5, standing(), { jkt: 'any' }).kind,
    'rotate',
    'a family that is not bound may be refreshed for bound access tokens',
  )
})

test('grace lasts to the millisecond, and longer with a proof of the same key', () => {
  const after = (milliseconds: number, jkt?: string) =>
    judge(4, standing({ rotatedAtMs: NOW_MS - milliseconds, ...(jkt !== undefined && { jkt }) }), { jkt }).kind
  assert.equal(after(GRACE_MS), 'repeat')
  assert.equal(after(GRACE_MS + 1), 'reuse')
  assert.equal(after(GRACE_MS + 1, 'owner'), 'repeat')
  assert.equal(after(rules.graceSecondsWithProof * 1000 + 1, 'owner'), 'reuse')
  assert.equal(after(-5000), 'repeat', 'another node whose clock is ahead rotated it')
})

test('an asker that looks different is foreign, unless it proves the key', () => {
  const seen = new Uint8Array(8).fill(9)
  assert.deepEqual(judge(4, standing(), { seen }), { kind: 'repeat', family: family(), foreign: true })
  assert.deepEqual(judge(4), { kind: 'repeat', family: family(), foreign: false })
  const bound = standing({ jkt: 'owner' })
  assert.deepEqual(judge(4, bound, { seen, jkt: 'owner' }), { kind: 'repeat', family: bound.family, foreign: false })
})

test('runs grow with generations that needed grace and go back to nothing with one that did not', () => {
  const runs = (over: Partial<FamilyRecord>) => {
    const ruling = judge(5, standing(over))
    return ruling.kind === 'rotate' ? [ruling.graceRun, ruling.foreignRun] : []
  }
  assert.deepEqual(runs({ graceCount: 0, graceForeign: false, graceRun: 7, foreignRun: 2 }), [0, 0])
  assert.deepEqual(runs({ graceCount: 5, graceForeign: false, graceRun: 7, foreignRun: 2 }), [8, 0])
  assert.deepEqual(runs({ graceCount: 1, graceForeign: true, graceRun: 7, foreignRun: 2 }), [8, 3])
})

test('one run too many is theft; many foreign answers for one generation are one', () => {
  const seen = new Uint8Array(8).fill(9)
  const at = (over: Partial<FamilyRecord>, by: Partial<Asker> = {}) => judge(4, standing(over), by)
  const full = { foreignRun: rules.graceForeignRunLimit }
  const evidence = (ruling: Ruling) => (ruling.kind === 'reuse' ? ruling.evidence : ruling.kind)
  assert.equal(evidence(at(full, { seen })), 'too_many_foreign_runs')
  assert.equal(evidence(at(full)), 'repeat')
  assert.equal(evidence(at({ ...full, graceCount: 1, graceForeign: true })), 'too_many_foreign_runs')
  assert.equal(
    evidence(at({ foreignRun: rules.graceForeignRunLimit - 1, graceCount: 9, graceForeign: true }, { seen })),
    'repeat',
  )
  assert.equal(evidence(at({ graceRun: rules.graceRunLimit })), 'too_many_grace_runs')
  assert.equal(evidence(at({ graceRun: rules.graceRunLimit - 1, graceCount: 9 })), 'repeat')
  assert.equal(
    evidence(at({ ...full, graceRun: 30_000, jkt: 'owner' }, { seen, jkt: 'owner' })),
    'repeat',
    'with a proof there is no second holder',
  )
})

test('more grace answers than one generation may have are refused without harm', () => {
  assert.equal(refusedAs(judge(4, standing({ graceCount: rules.graceLimit }))), 'grace_exhausted')
  assert.equal(judge(4, standing({ graceCount: rules.graceLimit - 1 })).kind, 'repeat')
})
