/** Who sends a request, as far as its cookies and its address tell: the browser, who is signed in in it, whom it knows. */
import { epochSeconds } from '@signet/kernel/surroundings.ts'
import { type Browser, recognizeBrowser } from './browser.ts'
import { type DeviceKey, findDevices, type KnownDevice, parseDeviceCookie } from './device.ts'
import type { SigninParts } from './parts.ts'
import { findSignedIn, needsTouch, nextIdle, parseSessionCookie, type SignedIn } from './session.ts'

export interface Cookies {
  readonly browser: string | undefined
  readonly session: string | undefined
  readonly device: string | undefined
}

export interface Visitor {
  readonly browser: Browser
  readonly signedIn: SignedIn | undefined
  /** Every key in the device cookie, whether or not it still opens anything. */
  readonly deviceKeys: readonly DeviceKey[]
  readonly address: string
  readonly userAgent: string | undefined
}

export async function recognizeVisitor(
  cookies: Cookies,
  from: { readonly address: string; readonly userAgent: string | undefined },
  parts: Pick<SigninParts, 'store' | 'settings' | 'clock' | 'chance' | 'sha256'>,
): Promise<Visitor> {
  const signedIn = await findSignedIn(parseSessionCookie(cookies.session), parts.store, parts.clock.now(), parts.sha256)
  if (signedIn !== undefined) await noteUse(signedIn, parts)
  return {
    browser: recognizeBrowser(cookies.browser, parts.chance),
    signedIn,
    deviceKeys: parseDeviceCookie(cookies.device),
    ...from,
  }
}

/** The devices that this browser can prove to be. */
export const knownDevices = (visitor: Visitor, parts: Pick<SigninParts, 'store' | 'sha256'>): Promise<readonly KnownDevice[]> =>
  findDevices(visitor.deviceKeys, parts.store.devices, parts.sha256)

/** Being here keeps the session from going idle, and is what "last seen" means. */
async function noteUse(
  { session, device }: SignedIn,
  { store, settings, clock }: Pick<SigninParts, 'store' | 'settings' | 'clock'>,
): Promise<void> {
  const nowAt = epochSeconds(clock.now())
  if (!needsTouch(session, nowAt, settings.sessionIdleSeconds)) return
  await store.transact(async (tx) => {
    await tx.sessions.touch(session.id, nextIdle(session, nowAt, settings.sessionIdleSeconds))
    await tx.devices.touch(device.id, nowAt)
  })
}
