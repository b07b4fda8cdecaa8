/**
 * Devices: one browser of one subject. The cookie holds, for each account that signed in from this browser, the id of its
 * device record and a secret; at most `MAX_ACCOUNTS`, latest first. It outlives sessions, so that an account recognises the
 * browser again: for its list of devices, and for a budget of password tries that strangers can't spend.
 */
import { concat, equalBytes } from '@signet/kernel/bytes.ts'
import { type DeviceId, idFromBytes, idToBytes, isUuidV7, newId, type SubjectId } from '@signet/kernel/ids.ts'
import { decodeOpaque, encodeOpaque } from '@signet/kernel/opaque-token.ts'
import type { Chance, Sha256 } from '@signet/kernel/surroundings.ts'
import type { DeviceLookups, DeviceRecord } from '../store/ports/sessions.ts'

export interface DeviceKey {
  readonly id: DeviceId
  readonly secret: Uint8Array
}

/** A family's computer; whoever signs in after that pushes out the account that was away longest. */
export const MAX_ACCOUNTS = 5
const SECRET_BYTES = 32
const KEY_BYTES = 16 + SECRET_BYTES

export function parseDeviceCookie(cookie: string | undefined): readonly DeviceKey[] {
  const payload = cookie === undefined ? undefined : decodeOpaque('device', cookie)
  if (payload === undefined || payload.length % KEY_BYTES !== 0 || payload.length > MAX_ACCOUNTS * KEY_BYTES) return []
  const keys: DeviceKey[] = []
  for (let at = 0; at < payload.length; at += KEY_BYTES) {
    const id = idFromBytes<DeviceId>(payload.subarray(at, at + 16))
    if (isUuidV7(id)) keys.push({ id, secret: payload.slice(at + 16, at + KEY_BYTES) })
  }
  return keys
}

export function formatDeviceCookie(keys: readonly DeviceKey[]): string {
  return encodeOpaque('device', concat(...keys.slice(0, MAX_ACCOUNTS).flatMap(({ id, secret }) => [idToBytes(id), secret])))
}

/** The keys with this one first. */
export function rememberDevice(keys: readonly DeviceKey[], key: DeviceKey): readonly DeviceKey[] {
  return [key, ...keys.filter(({ id }) => id !== key.id)].slice(0, MAX_ACCOUNTS)
}

export interface KnownDevice {
  readonly key: DeviceKey
  readonly record: DeviceRecord
}

/** The devices that this browser can prove to be, suspended ones too; those that were taken back are not among them. Looks up at most `MAX_ACCOUNTS`. */
export async function findDevices(
  keys: readonly DeviceKey[],
  devices: DeviceLookups,
  sha256: Sha256,
): Promise<readonly KnownDevice[]> {
  const found = await Promise.all(keys.map(async (key) => ({ key, record: await devices.find(key.id) })))
  return found.filter((one): one is KnownDevice => {
    const { key, record } = one
    return record !== undefined && isKept(record) && equalBytes(sha256(key.secret), record.secretHash)
  })
}

/** A device that was revoked is not the same device when it comes back: it gets a new record. */
const isKept = (device: DeviceRecord): boolean => device.status !== 'revoked' && device.revokedMs === 0

export const deviceOf = (known: readonly KnownDevice[], subject: SubjectId | undefined): KnownDevice | undefined =>
  subject === undefined ? undefined : known.find(({ record }) => record.subject === subject)

export function newDeviceKey(nowMs: number, chance: Chance): DeviceKey {
  return { id: newId<DeviceId>(nowMs, chance), secret: chance.bytes(SECRET_BYTES) }
}

/** "Firefox on Windows": what a person recognises in a list. Nothing of the header itself is kept. */
export function describeBrowser(userAgent: string | undefined): string {
  const agent = userAgent?.slice(0, 512) ?? ''
  const find = (table: readonly (readonly [RegExp, string])[]): string | undefined =>
    table.find(([sign]) => sign.test(agent))?.[1]
  const browser = find(BROWSERS)
  const system = find(SYSTEMS)
  if (browser === undefined) return system === undefined ? 'Unknown browser' : `Browser on ${system}`
  return system === undefined ? browser : `${browser} on ${system}`
}

// In order: most pose as another one further down.
const BROWSERS = [
  [/\bEdg(?:e|A|iOS)?\//, 'Edge'],
  [/\bOPR\/|\bOpera\b/, 'Opera'],
  [/\bVivaldi\//, 'Vivaldi'],
  [/\bSamsungBrowser\//, 'Samsung Internet'],
  [/\bFirefox\/|\bFxiOS\//, 'Firefox'],
  [/\bHeadlessChrome\/|\bChrome\/|\bChromium\/|\bCriOS\//, 'Chrome'],
  [/\bSafari\//, 'Safari'],
  [/\bcurl\//, 'curl'],
] as const
const SYSTEMS = [
  [/\biPhone\b/, 'iPhone'],
  [/\biPad\b/, 'iPad'],
  [/\bAndroid\b/, 'Android'],
  [/\bCrOS\b/, 'ChromeOS'],
  [/\bWindows\b/, 'Windows'],
  [/\bMac OS X\b|\bMacintosh\b/, 'Mac'],
  [/\bLinux\b/, 'Linux'],
] as const
