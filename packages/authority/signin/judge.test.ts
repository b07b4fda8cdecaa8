import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { ClientId, DeviceId, SessionId, SubjectId } from '@signet/kernel/ids.ts'
import fc from 'fast-check'
import type { ClientRecord } from '../store/ports/clients.ts'
import type { ConsentRecord } from '../store/ports/consents.ts'
import type { DeviceRecord, SessionRecord } from '../store/ports/sessions.ts'
import type { SubjectRecord } from '../store/ports/subjects.ts'
import { ACR_LEVELS, ACR_PASSKEY, ACR_PASSWORD, reaches } from './acr.ts'
import type { AuthorizationRequest } from './authorization-request.ts'
import { judgeNextStep, type Situation } from './judge.ts'
import { judgeSession, needsTouch, type SignedIn } from './session.ts'

const NOW_MS = 1_800_000_000_000
const NOW = NOW_MS / 1000
const standing = { status: 'active', cutoffMs: 0, revokedMs: 0 } as const
const subject = { id: 'ada' as SubjectId, username: 'ada', claims: {}, roles: [], createdAt: 0, ...standing } as SubjectRecord
const device = {
  id: 'd' as DeviceId,
  subject: subject.id,
  secretHash: new Uint8Array(32),
  name: '',
  createdAt: 0,
  lastSeenAt: 0,
  ...standing,
} as DeviceRecord
const session = {
  id: 's' as SessionId,
  subject: subject.id,
  device: device.id,
  secretHash: new Uint8Array(32),
  createdAtMs: NOW_MS - 1000_000,
  authAt: NOW - 1000,
  acr: ACR_PASSWORD,
  amr: ['pwd'],
  idleExpiresAt: NOW + 100,
  expiresAt: NOW + 1000,
  ...standing,
} as SessionRecord
const signedIn: SignedIn = { session, subject, device }
const client = { id: 'app' as ClientId, platform: 'web', firstParty: true } as ClientRecord
const request: AuthorizationRequest = {
  client: client.id,
  redirectUri: 'https://app.example/cb',
  codeChallenge: '',
  scope: ['openid', 'notes:read'],
  resources: ['https://api.example'],
  prompt: [],
}
const consent = {
  subject: subject.id,
  client: client.id,
  scopes: request.scope,
  resources: request.resources,
  grantedAt: 0,
} as ConsentRecord
const judge = (
  change: Partial<AuthorizationRequest> = {},
  situation: Partial<Situation> = {},
  of: Partial<ClientRecord> = {},
) => {
  const whole: Situation = { signedIn, proved: undefined, consent: undefined, nowMs: NOW_MS, ...situation }
  const step = judgeNextStep({ ...request, ...change }, { ...client, ...of }, whole)
  return 'why' in step ? `${step.kind}: ${step.why}` : 'error' in step ? `${step.kind}: ${step.error}` : step.kind
}

describe('what comes next', () => {
  test('nobody there signs in; somebody there goes on', () => {
    assert.equal(judge({}, { signedIn: undefined }), 'sign_in: nobody')
    assert.equal(judge(), 'ready')
  })

  test('a session that is too old, too weak or somebody else’s is not proof', () => {
    assert.equal(judge({ maxAge: 999 }), 'sign_in: too_old')
    assert.equal(judge({ maxAge: 1000 }), 'ready')
    assert.equal(judge({ atLeast: ACR_PASSKEY }), 'sign_in: too_weak')
    assert.equal(judge({ prompt: ['login'] }), 'sign_in: asked')
    assert.equal(judge({ expects: 'bob' as SubjectId }), 'sign_in: someone_else')
  })

  test('having proved it on this page is enough for age and prompt, not for level or person', () => {
    const proved = { proved: session.id }
    assert.equal(judge({ maxAge: 0, prompt: ['login'] }, proved), 'ready')
    assert.equal(judge({ atLeast: ACR_PASSKEY }, proved), 'sign_in: too_weak')
    assert.equal(judge({ expects: 'bob' as SubjectId }, proved), 'refuse: login_required')
    assert.equal(judge({ prompt: ['login'] }, { proved: 'another' as SessionId }), 'sign_in: asked')
  })

  test('consent is for these scopes and these resources, asked for once', () => {
    const third = { firstParty: false }
    assert.equal(judge({}, {}, third), 'consent: new')
    assert.equal(judge({}, { consent }, third), 'ready')
    assert.equal(judge({ scope: [...request.scope, 'notes:write'] }, { consent }, third), 'consent: new')
    assert.equal(judge({ resources: [...request.resources, 'https://other.example'] }, { consent }, third), 'consent: new')
    assert.equal(judge({ prompt: ['consent'] }, { consent }, third), 'consent: asked')
    assert.equal(judge({ prompt: ['select_account'] }, { consent }, third), 'consent: choose')
  })

  test('a program that anybody could pose as gets nothing unseen', () => {
    const native = { platform: 'native' } as const
    const loopback = { redirectUri: 'http://127.0.0.1:1/cb' }
    assert.equal(judge(loopback, {}, native), 'consent: unclaimed')
    assert.equal(judge(loopback, { proved: session.id }, native), 'ready')
    assert.equal(judge({}, {}, native), 'ready')
  })

  test('prompt=none shows no page, ever', () => {
    fc.assert(
      fc.property(
        fc.record({
          signedIn: fc.constantFrom(undefined, signedIn),
          consent: fc.constantFrom(undefined, consent),
          firstParty: fc.boolean(),
          platform: fc.constantFrom('web', 'native'),
          redirectUri: fc.constantFrom('https://a.example', 'http://127.0.0.1:1/'),
          maxAge: fc.constantFrom(undefined, 0, 5000),
          atLeast: fc.constantFrom(undefined, ...ACR_LEVELS),
        }),
        ({ maxAge, atLeast, redirectUri, ...rest }) => {
          const change = {
            prompt: ['none'] as const,
            redirectUri,
            ...(maxAge === undefined ? {} : { maxAge }),
            ...(atLeast === undefined ? {} : { atLeast }),
          }
          const step = judge(
            change,
            { signedIn: rest.signedIn, consent: rest.consent },
            { firstParty: rest.firstParty, platform: rest.platform as 'web' },
          )
          assert.match(step, /^(ready|refuse: (login|consent|interaction)_required)$/)
        },
      ),
    )
  })

  test('whatever is asked, nobody is ready below the level asked for, without a session, or without consent', () => {
    fc.assert(
      fc.property(
        fc.record({
          acr: fc.constantFrom(...ACR_LEVELS),
          atLeast: fc.constantFrom(...ACR_LEVELS),
          prompt: fc.subarray(['login', 'consent', 'select_account'] as const),
          maxAge: fc.constantFrom(0, 500, 5000),
          proved: fc.constantFrom(undefined, session.id),
          consent: fc.constantFrom(undefined, consent),
          firstParty: fc.boolean(),
        }),
        ({ acr, proved, consent, firstParty, ...change }) => {
          const mine = { ...signedIn, session: { ...session, acr } }
          if (judge(change, { signedIn: mine, proved, consent }, { firstParty }) !== 'ready') return
          assert.ok(reaches(acr, change.atLeast))
          assert.ok(firstParty || consent !== undefined)
          assert.ok(proved !== undefined || (change.maxAge >= 1000 && !change.prompt.includes('login')))
        },
      ),
    )
  })
})

describe('whether a session is alive', () => {
  const state = (change: Partial<SessionRecord> = {}, standings: object = {}) =>
    judgeSession({ ...session, ...change }, { subject, device, issuer: { revokedMs: 0 }, ...standings }, NOW_MS)

  test('it ends by its own end, by time, and with what it hangs on', () => {
    assert.equal(state(), 'alive')
    assert.equal(state({ status: 'revoked' }), 'ended')
    assert.equal(state({ status: 'suspended' }), 'ended')
    assert.equal(state({ idleExpiresAt: NOW }), 'idle')
    assert.equal(state({ expiresAt: NOW }), 'expired')
    assert.equal(state({}, { subject: undefined }), 'subject_gone')
    assert.equal(state({}, { subject: { ...subject, status: 'suspended' } }), 'subject_gone')
    assert.equal(state({}, { subject: { ...subject, revokedMs: session.createdAtMs } }), 'subject_gone')
    assert.equal(state({}, { device: { ...device, status: 'revoked' } }), 'device_gone')
    assert.equal(state({}, { issuer: { revokedMs: session.createdAtMs } }), 'issuer_gone')
  })

  test('one begun just past a revocation is alive, and a claims epoch ends none', () => {
    assert.equal(state({}, { subject: { ...subject, revokedMs: session.createdAtMs - 1 } }), 'alive')
    assert.equal(state({}, { subject: { ...subject, cutoffMs: NOW_MS + 5000 } }), 'alive')
  })

  test('use is written down now and then, not every time', () => {
    assert.equal(needsTouch({ ...session, expiresAt: NOW + 10_000, idleExpiresAt: NOW + 3600 }, NOW + 30, 3600), false)
    assert.equal(needsTouch({ ...session, expiresAt: NOW + 10_000, idleExpiresAt: NOW + 3600 }, NOW + 61, 3600), true)
  })
})
