import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { newId, type SessionId, type SubjectId } from '@signet/kernel/ids.ts'
import { encodeOpaque } from '@signet/kernel/opaque-token.ts'
import type { DeviceRecord } from '../store/ports/sessions.ts'
import { realSurroundings, sha256 } from '../surroundings.ts'
import { browserCookie, formToken, isFormToken, recognizeBrowser } from './browser.ts'
import {
  type DeviceKey,
  describeBrowser,
  findDevices,
  formatDeviceCookie,
  MAX_ACCOUNTS,
  newDeviceKey,
  parseDeviceCookie,
  rememberDevice,
} from './device.ts'
import { formatSessionCookie, parseSessionCookie } from './session.ts'

const { chance } = realSurroundings()
const NOW = 1_800_000_000_000

describe('the device cookie', () => {
  test('holds the latest few accounts of a browser', () => {
    let keys: readonly DeviceKey[] = []
    for (let i = 0; i < 8; i++) keys = rememberDevice(keys, newDeviceKey(NOW + i, chance))
    assert.equal(keys.length, MAX_ACCOUNTS)
    assert.deepEqual(parseDeviceCookie(formatDeviceCookie(keys)), keys)
    const again = rememberDevice(keys, keys[2] as DeviceKey)
    assert.equal(again[0], keys[2])
    assert.equal(again.length, MAX_ACCOUNTS)
  })

  test('anything torn, foreign or forged opens nothing', async () => {
    const key = newDeviceKey(NOW, chance)
    const record = {
      id: key.id,
      subject: 'ada' as SubjectId,
      secretHash: sha256(key.secret),
      status: 'active',
      cutoffMs: 0,
      revokedMs: 0,
    } as DeviceRecord
    const find = (keys: readonly DeviceKey[], change: Partial<DeviceRecord> = {}) =>
      findDevices(
        keys,
        { find: async (id) => (id === key.id ? { ...record, ...change } : undefined), ofSubject: async () => [] },
        sha256,
      )
    assert.equal((await find([key])).length, 1)
    assert.equal((await find([{ ...key, secret: chance.bytes(32) }])).length, 0)
    assert.equal((await find([newDeviceKey(NOW, chance)])).length, 0)
    assert.equal((await find([key], { status: 'revoked' })).length, 0)
    const cookie = formatDeviceCookie([key])
    for (const bad of [
      undefined,
      '',
      cookie.slice(0, -1),
      `${cookie}A`,
      cookie.replace('sgd_', 'sgs_'),
      encodeOpaque('device', chance.bytes(47)),
      encodeOpaque('device', new Uint8Array(48)), // No UUIDv7, as one in 64 of random ones would be.
    ]) {
      assert.deepEqual(parseDeviceCookie(bad), [])
    }
  })

  test('a browser is described in words a person knows, whatever it calls itself', () => {
    for (const [agent, words] of [
      [
        'Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36',
        'Chrome on Linux',
      ],
      ['Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 Chrome/140.0 Safari/537.36 Edg/140.0', 'Edge on Windows'],
      ['Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 Version/19.0 Safari/605.1.15', 'Safari on Mac'],
      ['Mozilla/5.0 (iPhone; CPU iPhone OS 19_0 like Mac OS X) CriOS/140.0 Mobile Safari/604.1', 'Chrome on iPhone'],
      ['Mozilla/5.0 (Android 16; Mobile; rv:140.0) Gecko/140.0 Firefox/140.0', 'Firefox on Android'],
      ['<script>alert(1)</script>', 'Unknown browser'],
      [undefined, 'Unknown browser'],
    ] as const) {
      assert.equal(describeBrowser(agent), words)
    }
  })
})

test('the session cookie carries id and secret, and nothing else passes for one', () => {
  const key = { id: newId<SessionId>(NOW, chance), secret: chance.bytes(32) }
  const cookie = formatSessionCookie(key)
  assert.deepEqual(parseSessionCookie(cookie), key)
  for (const bad of [
    undefined,
    '',
    'sgs_',
    cookie.slice(1),
    cookie.replace('sgs_', 'sgd_'),
    encodeOpaque('session', chance.bytes(48)),
    encodeOpaque('session', chance.bytes(47)),
  ]) {
    assert.equal(parseSessionCookie(bad), undefined)
  }
})

test('a form’s token is good for its browser and its purpose alone', () => {
  const fresh = recognizeBrowser(undefined, chance)
  const browser = recognizeBrowser(browserCookie(fresh), chance)
  assert.equal(browser.fresh, false)
  const token = formToken(fresh, 'consent x', sha256)
  assert.equal(isFormToken(token, browser, 'consent x', sha256), true)
  assert.equal(isFormToken(token, browser, 'consent y', sha256), false)
  assert.equal(isFormToken(token, fresh, 'consent x', sha256), false, 'a browser without its cookie was never given a form')
  assert.equal(isFormToken(token, { ...recognizeBrowser(undefined, chance), fresh: false }, 'consent x', sha256), false)
  for (const bad of ['', 'A', token.slice(1), `${token}A`, 'A'.repeat(43)])
    assert.equal(isFormToken(bad, browser, 'consent x', sha256), false)
})
