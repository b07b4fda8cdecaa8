/** What speaks to databases and to NATS is the authority's: a program of its folder does it, as a process of its own. */
import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { bareEnvironment } from './bare-environment.ts'

const ANSWER_MS = 20_000

/** What it says, read as JSON. `settings` are in nobody's process list. Rejects with `code` (null when it took too long) and `stderr`. */
export async function byAuthority<T>(
  program: 'scratch-schema.ts' | 'scratch-feed.ts',
  args: readonly string[],
  settings: Readonly<Record<string, string>>,
): Promise<T> {
  const path = fileURLToPath(new URL(`../../authority/${program}`, import.meta.url))
  const env = { ...bareEnvironment(), ...settings }
  const { stdout } = await promisify(execFile)(process.execPath, [path, ...args], { env, timeout: ANSWER_MS })
  return JSON.parse(stdout) as T
}
