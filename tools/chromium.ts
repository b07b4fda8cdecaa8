/** Finds a Chromium for the tests that need a browser; on Debian, as root, installs it. */
import { execFile } from 'node:child_process'
import { accessSync, constants, readFileSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import { promisify } from 'node:util'

/** Tests find the browser's path under this name, and skip themselves when it is empty. */
export const CHROMIUM_VARIABLE = 'SIGNET_CHROMIUM'

const NAMES = ['chromium', 'chromium-browser', 'google-chrome-stable', 'google-chrome', 'chrome']
const APPLICATIONS = [
  '/Applications/Chromium.app/Contents/MacOS/Chromium',
  '/Applications/Google Chrome.app/Contents/MacOS/Google Chrome',
]
const INSTALL_SECONDS = 240

export async function provideChromium(): Promise<{ path: string } | { missing: string }> {
  const given = process.env[CHROMIUM_VARIABLE]
  if (given)
    return isExecutable(given) ? { path: given } : { missing: `${CHROMIUM_VARIABLE} names ${given}, which cannot be run` }
  const found = findInstalled()
  if (found !== undefined) return { path: found }
  if (process.getuid?.() !== 0 || !isDebian()) return { missing: 'install Chromium or Chrome, or name one in SIGNET_CHROMIUM' }
  console.log('Installing Chromium with apt-get for the tests that need a browser …')
  const trouble = await aptInstall('chromium')
  const installed = findInstalled()
  return installed !== undefined ? { path: installed } : { missing: trouble ?? 'apt-get installed it, but it is not on the PATH' }
}

function findInstalled(): string | undefined {
  const folders = (process.env.PATH ?? '').split(delimiter)
  const candidates = folders.flatMap((folder) => NAMES.map((name) => join(folder, name)))
  return [...candidates, ...APPLICATIONS].find(isExecutable)
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK)
    return true
  } catch {
    return false
  }
}

/** Ubuntu's package is a stub that needs snapd, so only Debian itself will do. */
function isDebian(): boolean {
  try {
    return /^ID=debian$/m.test(readFileSync('/etc/os-release', 'utf8'))
  } catch {
    return false
  }
}

/** Undefined, or what went wrong, in a line. */
async function aptInstall(name: string): Promise<string | undefined> {
  const run = promisify(execFile)
  const options = { timeout: INSTALL_SECONDS * 1000, env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' } }
  try {
    await run('apt-get', ['update', '-qq'], options)
    await run('apt-get', ['install', '-y', '-qq', '--no-install-recommends', name], options)
    return undefined
  } catch (error) {
    return `apt-get could not install ${name}: ${(error as Error).message.trim().split('\n').at(-1)}`
  }
}
