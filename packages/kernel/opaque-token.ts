/**
 * Opaque tokens: `prefix` + base64url(payload ‖ crc32(prefix ‖ payload)). The prefix lets scanners find leaked
 * ones, the checksum lets anyone refuse garbage without asking the store. The checksum protects nothing.
 */
import { concat, fromBase64Url, toBase64Url } from './bytes.ts'

export const PREFIXES = {
  access_token: 'sga_',
  refresh_token: 'sgr_',
  api_key: 'sgk_',
  authorization_code: 'sgc_',
  session: 'sgs_',
  interaction: 'sgi_',
  setup: 'sgu_',
  device: 'sgd_',
  client_secret: 'sgx_',
} as const
export type OpaqueKind = keyof typeof PREFIXES

export function encodeOpaque(kind: OpaqueKind, payload: Uint8Array): string {
  const sum = crc32(PREFIXES[kind], payload)
  const tail = new Uint8Array([sum >>> 24, (sum >>> 16) & 0xff, (sum >>> 8) & 0xff, sum & 0xff])
  return PREFIXES[kind] + toBase64Url(concat(payload, tail))
}

/** The longest texts that are looked at, in characters. An access token may have a whole JWT within, which has 8192 at most. */
const MAX_CHARS = 512
const MAX_ACCESS_TOKEN_CHARS = 11_264

/** The payload, or undefined for anything torn, mistyped, too long or of another kind. */
export function decodeOpaque(kind: OpaqueKind, token: string): Uint8Array | undefined {
  const prefix = PREFIXES[kind]
  if (token.length > (kind === 'access_token' ? MAX_ACCESS_TOKEN_CHARS : MAX_CHARS) || !token.startsWith(prefix)) return undefined
  const bytes = fromBase64Url(token.slice(prefix.length))
  if (bytes === undefined || bytes.length < 5) return undefined
  const payload = bytes.subarray(0, bytes.length - 4)
  const tail = bytes.subarray(bytes.length - 4)
  const sum = crc32(prefix, payload)
  const sent =
    (((tail[0] as number) << 24) | ((tail[1] as number) << 16) | ((tail[2] as number) << 8) | (tail[3] as number)) >>> 0
  return sum === sent ? payload : undefined
}

/** Which kind of opaque token a text claims to be, by its prefix. */
export function opaqueKind(token: string): OpaqueKind | undefined {
  for (const kind of Object.keys(PREFIXES) as OpaqueKind[]) if (token.startsWith(PREFIXES[kind])) return kind
  return undefined
}

const CRC = new Uint32Array(256).map((_, n) => {
  let c = n
  for (let k = 0; k < 8; k++) c = c & 1 ? 0xedb88320 ^ (c >>> 1) : c >>> 1
  return c >>> 0
})

function crc32(prefix: string, payload: Uint8Array): number {
  let c = 0xffffffff
  for (let i = 0; i < prefix.length; i++) c = (CRC[(c ^ prefix.charCodeAt(i)) & 0xff] as number) ^ (c >>> 8)
  for (let i = 0; i < payload.length; i++) c = (CRC[(c ^ (payload[i] as number)) & 0xff] as number) ^ (c >>> 8)
  return (c ^ 0xffffffff) >>> 0
}
