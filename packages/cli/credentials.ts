/** Finds and reads the credentials file. A private key that others on the machine can read is refused, as ssh does. */
import { closeSync, fstatSync, openSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Credentials } from '@signet/api/credentials.ts'
import { EXIT, Trouble } from './trouble.ts'

/** `--credentials`, else SIGNET_CREDENTIALS, else cli.json in the state directory. */
export function credentialsPath(flag: string | undefined, env: NodeJS.ProcessEnv): string {
  return flag ?? nonEmpty(env.SIGNET_CREDENTIALS) ?? join(nonEmpty(env.SIGNET_STATE) ?? '.signet', 'cli.json')
}

const LARGEST = 64 * 1024

export async function readCredentials(path: string): Promise<Credentials> {
  const { credentials } = await import('@signet/api/credentials.ts')
  const text = readPrivate(path)
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch (error) {
    throw trouble(path, 'it is not JSON', 'Restore the file, or let the authority write it anew at its next first start.', error)
  }
  const parsed = credentials.safeParse(value)
  if (!parsed.success) {
    const wrong = parsed.error.issues.map((issue) => issue.path.join('.')).join(', ')
    throw trouble(path, `it lacks or mistypes ${wrong}`, 'It must hold {"issuer", "client_id", "private_jwk"}.')
  }
  return parsed.data
}

/** The text of a file that only its owner may read. Looks at the open file, not at its name, so that it cannot be swapped in between. */
export function readPrivate(path: string): string {
  let descriptor: number
  try {
    descriptor = openSync(path, 'r')
  } catch (error) {
    const missing = (error as NodeJS.ErrnoException).code === 'ENOENT'
    throw trouble(
      path,
      missing
        ? 'there is no such file'
        : (error as NodeJS.ErrnoException).code === 'EACCES'
          ? 'you may not read it'
          : (error as Error).message,
      missing
        ? 'Run this where the authority keeps its state, or name the file with --credentials FILE or SIGNET_CREDENTIALS.'
        : 'Run as the user who owns it.',
      error,
    )
  }
  try {
    const found = fstatSync(descriptor)
    if (!found.isFile() || found.size > LARGEST)
      throw trouble(path, 'it is not a small ordinary file', 'Name the right file with --credentials FILE.')
    if (process.platform !== 'win32' && (found.mode & 0o077) !== 0) {
      throw trouble(
        path,
        `it holds a private key and others may read it (mode ${(found.mode & 0o777).toString(8).padStart(4, '0')})`,
        `Close it with \`chmod 600 ${path}\`; if others could have read it, replace the key.`,
      )
    }
    return readFileSync(descriptor, 'utf8')
  } finally {
    closeSync(descriptor)
  }
}

function trouble(path: string, why: string, advice: string, cause?: unknown): Trouble {
  return new Trouble({
    what: `Could not use the private key in ${path}`,
    why,
    advice,
    exit: EXIT.usage,
    code: 'credentials',
    cause,
  })
}

const nonEmpty = (text: string | undefined): string | undefined => (text === '' ? undefined : text)
