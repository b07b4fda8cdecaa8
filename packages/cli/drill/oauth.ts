/** As much of an OAuth client as drills need. */
import { createHash, randomBytes } from 'node:crypto'
import { setTimeout as wait } from 'node:timers/promises'
import type { Browser } from '../start/browser.ts'

export interface DrillClient {
  readonly id: string
  readonly secret: string
  readonly resource: string
}
export interface Answer {
  /** 0: no answer. */
  readonly status: number
  readonly retryAfter: boolean
  readonly body: {
    readonly access_token?: string
    readonly refresh_token?: string
    readonly error?: string
    readonly reason?: string
    readonly active?: boolean
  }
}

/** Nobody listens there: the code is read from the address. */
export const REDIRECT = 'http://127.0.0.1:9/callback'

const ANSWER_MS = 20_000
/** Whoever is told to come back does so for so long. */
const COME_BACK_MS = 5000
const AGAIN_MS = 500

export type Post = (path: string, form: Readonly<Record<string, string>>) => Promise<Answer>

/** Form posts with the client's secret. No answer within `patienceMs`, or a torn one, has the status 0. */
export function asClient(issuer: string, { id, secret }: Pick<DrillClient, 'id' | 'secret'>, patienceMs = ANSWER_MS): Post {
  return async (path, form) => {
    try {
      const answer = await fetch(issuer + path, {
        method: 'POST',
        headers: { authorization: `Basic ${Buffer.from(`${id}:${secret}`).toString('base64')}` },
        body: new URLSearchParams(form),
        signal: AbortSignal.timeout(patienceMs),
      })
      return {
        status: answer.status,
        retryAfter: answer.headers.has('retry-after'),
        body: (await answer.json()) as Answer['body'],
      }
    } catch {
      return { status: 0, retryAfter: false, body: {} }
    }
  }
}

/**
 * As clients do that are told to come back: a node on a machine that stood still for a second knows too little to issue tokens until it has looked
 * at its log. `toldTo` hears of each time.
 */
export function comingBack(post: Post, toldTo: () => void = () => {}): Post {
  return async (path, form) => {
    for (const untilMs = performance.now() + COME_BACK_MS; ; ) {
      const answer = await post(path, form)
      if (answer.status !== 503 || !answer.retryAfter || performance.now() > untilMs) return answer
      toldTo()
      await wait(AGAIN_MS)
    }
  }
}

/** Signs in by the browser's session when it has one, else by password. Undefined when it did not come back with a code. */
export async function authorize(
  browser: Browser,
  issuer: string,
  client: string,
  person: { username: string; password: string },
  scope: string,
): Promise<{ code: string; verifier: string } | undefined> {
  const verifier = randomBytes(32).toString('base64url')
  const url = new URL('/authorize', issuer)
  url.search = new URLSearchParams({
    client_id: client,
    redirect_uri: REDIRECT,
    response_type: 'code',
    scope,
    state: 's',
    code_challenge: createHash('sha256').update(verifier).digest('base64url'),
    code_challenge_method: 'S256',
  }).toString()
  browser.stopAt = REDIRECT
  await browser.open(url.href)
  for (let pages = 0; pages < 3 && !browser.url.startsWith(REDIRECT); pages++) {
    await browser.submit({ username: person.username, password: person.password })
  }
  const code = new URL(browser.url).searchParams.get('code')
  return code === null ? undefined : { code, verifier }
}

/** The form that redeems a code. */
export const redeeming = ({ code, verifier }: { code: string; verifier: string }) => ({
  grant_type: 'authorization_code',
  code,
  redirect_uri: REDIRECT,
  code_verifier: verifier,
})
