/**
 * Our three cookies. The `__Host-` prefix makes the browser hold us to it: Secure, this host alone, the whole site; so no
 * neighbour on another subdomain can plant one. Browsers count http://localhost as secure for this (Safari does not).
 */
import type { FastifyReply, FastifyRequest } from 'fastify'
import { type Browser, browserCookie } from '../../signin/browser.ts'
import { type DeviceKey, formatDeviceCookie } from '../../signin/device.ts'
import type { Established } from '../../signin/establish.ts'
import { formatSessionCookie } from '../../signin/session.ts'
import type { Cookies } from '../../signin/visitor.ts'

const NAMES = { browser: '__Host-signet_interaction', session: '__Host-signet_session', device: '__Host-signet_device' } as const

// Lax, not Strict: an app sends the person here from another site, and they are to be recognised.
const ATTRIBUTES = 'Path=/; Secure; HttpOnly; SameSite=Lax'
/** Browsers keep no cookie longer than 400 days; each sign-in renews it. */
const DEVICE_SECONDS = 400 * 86_400

export function readCookies(request: FastifyRequest): Cookies {
  const found = new Map<string, string>()
  for (const pair of (request.headers.cookie ?? '').split(';')) {
    const equals = pair.indexOf('=')
    const name = pair.slice(0, equals).trim()
    if (equals > 0 && !found.has(name)) found.set(name, pair.slice(equals + 1).trim())
  }
  return { browser: found.get(NAMES.browser), session: found.get(NAMES.session), device: found.get(NAMES.device) }
}

/** Gives the browser its secret, unless it has one. Kept until the browser closes. */
export function rememberBrowser(reply: FastifyReply, browser: Browser): void {
  if (browser.fresh) reply.header('set-cookie', `${NAMES.browser}=${browserCookie(browser)}; ${ATTRIBUTES}`)
}

/** The session lasts as long as its row says or until the browser closes; the device is remembered. */
export function rememberSession(reply: FastifyReply, { session, devices }: Established): void {
  reply.header('set-cookie', `${NAMES.session}=${formatSessionCookie(session)}; ${ATTRIBUTES}`)
  rememberDevices(reply, devices)
}

function rememberDevices(reply: FastifyReply, devices: readonly DeviceKey[]): void {
  if (devices.length === 0) return
  reply.header('set-cookie', `${NAMES.device}=${formatDeviceCookie(devices)}; ${ATTRIBUTES}; Max-Age=${DEVICE_SECONDS}`)
}

export function forgetSession(reply: FastifyReply): void {
  reply.header('set-cookie', `${NAMES.session}=; ${ATTRIBUTES}; Max-Age=0`)
}
