/**
 * The walkthrough without a person: the same pages, forms and links, followed by plain HTTP with a cookie jar (the pages work without
 * scripts). Each step prints what happened and the delay that was measured.
 */
import { randomBytes } from 'node:crypto'
import { styleText } from 'node:util'
import { Browser } from './browser.ts'

const STEPS = ['call', 'rotate', 'retry', 'revoke', 'renew', 'theft'] as const

export async function walkThrough(at: { issuer: string; sampleUrl: string; setup: string | undefined }): Promise<boolean> {
  const browser = new Browser()
  const person = { username: `check-${randomBytes(4).toString('hex')}`, password: randomBytes(18).toString('base64url') }
  let failures = 0
  const tell = (ok: boolean, what: string, says: string, delayMs: number) => {
    if (!ok) failures++
    const mark = ok ? styleText('green', '✔') : styleText('red', '✖')
    process.stdout.write(`${mark} ${what.padEnd(10)} ${delayMs.toFixed(1).padStart(8)} ms  ${says}\n`)
  }
  const timed = async (what: string, says: string, run: () => Promise<boolean>) => {
    const began = performance.now()
    const ok = await run()
    tell(ok, what, ok ? says : `${says}: this did not happen`, performance.now() - began)
    return ok
  }

  if (at.setup === undefined) {
    process.stdout.write('This state directory already has an administrator; --check needs a fresh one.\n')
    return false
  }
  const began = performance.now()
  const ready =
    (await timed('set up', 'The one-time link made the first administrator.', async () => {
      await browser.open(at.setup as string)
      await browser.submit({ username: person.username, password: person.password, repeated: person.password })
      return browser.status < 400
    })) &&
    (await timed('once', 'The same link a second time was refused.', async () => {
      const other = new Browser()
      await other.open(at.setup as string)
      return other.status >= 400
    })) &&
    (await timed('sign in', 'Code with PKCE, a password, a consent: the client has its tokens.', async () => {
      await browser.open(`${at.sampleUrl}/login`)
      for (let pages = 0; pages < 4 && !browser.url.startsWith(at.sampleUrl); pages++) {
        await browser.submit({ username: person.username, password: person.password })
      }
      return browser.url === `${at.sampleUrl}/`
    }))
  if (!ready)
    process.stdout.write(`  stopped at ${new URL(browser.url).pathname}, status ${browser.status}: ${browser.heading()}\n`)
  for (const step of ready ? STEPS : []) {
    const told = await browser.post(`${at.sampleUrl}/steps/${step}`)
    tell(told.ok, step, told.says, told.delayMs ?? 0)
  }
  if (ready) {
    await timed('again', 'Signed in again without a password: the session was not the thief’s to end.', async () => {
      await browser.open(`${at.sampleUrl}/login`)
      return browser.url === `${at.sampleUrl}/`
    })
  }
  const seconds = ((performance.now() - began) / 1000).toFixed(1)
  process.stdout.write(
    failures === 0
      ? `\n${styleText('green', 'Everything did what it should')} in ${seconds} s.\n`
      : `\n${styleText('red', `${failures} steps failed`)} after ${seconds} s.\n`,
  )
  return failures === 0
}
