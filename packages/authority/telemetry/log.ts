/**
 * Structured logs. What could identify a person or open a door never reaches them: known members are redacted by name,
 * and anything shaped like one of our tokens, a JWT or a credential header is masked wherever it stands in a line.
 */
import { type DestinationStream, destination, type Logger, pino, stdTimeFunctions } from 'pino'

export type Log = Logger

// biome-ignore format: a list of names
const SECRET_MEMBERS = [
  'authorization', 'cookie', 'set-cookie', 'dpop', 'password', 'secret', 'client_secret', 'clientSecret', 'token', 'access_token', 'refresh_token',
  'id_token', 'id_token_hint', 'code_verifier', 'client_assertion', 'username', 'email', 'login_hint', 'private_jwk', 'd',
]
const REDACTED = '[secret]'

/** A JWS or JWE in compact form, one of our opaque tokens, or a scheme followed by credentials. */
const TOKEN_SHAPES =
  /\beyJ[\w-]{5,}\.[\w-]+\.[\w-]*(?:\.[\w-]+){0,2}|\bsg[a-z]_[\w-]{8,}|\b(?:Bearer|DPoP|Basic) [\w\-.~+/=]{8,}|postgres(?:ql)?:\/\/[^\s"@]*@/g

/** Makes the logger. `to` is for tests; production writes to standard error, so that standard output stays for people. */
export function createLog(level: string, to?: DestinationStream): Log {
  const target = to ?? destination({ dest: 2, sync: true })
  return pino(
    {
      level,
      base: null,
      messageKey: 'message',
      timestamp: stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
      redact: {
        paths: SECRET_MEMBERS.flatMap((name) => [`["${name}"]`, `*["${name}"]`, `*.*["${name}"]`]),
        censor: REDACTED,
      },
      serializers: { err: describeError, error: describeError },
    },
    { write: (line: string) => target.write(mask(line)) },
  )
}

/** The text with everything that looks like a token or a credential masked. */
export const mask = (text: string): string =>
  text.replace(TOKEN_SHAPES, (found) => (found.startsWith('postgres') ? 'postgres://[secret]@' : REDACTED))

function describeError(error: unknown): unknown {
  if (!(error instanceof Error)) return error
  const { code } = error as { code?: unknown }
  return {
    name: error.name,
    message: error.message,
    ...(typeof code === 'string' ? { code } : {}),
    stack: error.stack,
    ...(error.cause === undefined ? {} : { cause: describeError(error.cause) }),
  }
}
