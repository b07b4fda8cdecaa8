/** The page of the walkthrough: sign-in for this browser, and one endpoint per step. Tokens stay on this side (a BFF). */
import { randomBytes } from 'node:crypto'
import { readFileSync } from 'node:fs'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { json } from './api.ts'
import type { SignIn } from './client.ts'
import { STEPS, type Step, type StoryParts, tell, type Wallet } from './story.ts'

interface Visitor {
  signIn?: SignIn
  wallet?: Wallet
}

/** Browsers remembered at once; the one seen longest ago goes first. */
const MAX_VISITORS = 1000
const COOKIE = '__Host-sample'
const ASSETS = {
  'GET /': ['page.html', 'text/html'],
  'GET /page.js': ['page.js', 'text/javascript'],
  'GET /page.css': ['page.css', 'text/css'],
} as const

export function createPage(
  parts: StoryParts,
): Record<string, (request: IncomingMessage, response: ServerResponse) => void | Promise<void>> {
  const visitors = new Map<string, Visitor>()
  const routes: ReturnType<typeof createPage> = {
    async 'GET /login'(_request, response) {
      const { url, signIn } = await parts.client.begin()
      const id = randomBytes(32).toString('base64url')
      remember(id, { signIn })
      redirect(response, url.href, `${COOKIE}=${id}; Path=/; Secure; HttpOnly; SameSite=Lax`)
    },
    async 'GET /callback'(request, response) {
      const visitor = visitorOf(request)
      if (visitor?.signIn === undefined) return redirect(response, '/')
      const { signIn } = visitor
      delete visitor.signIn // One answer per question.
      try {
        visitor.wallet = { tokens: await parts.client.finish(new URL(request.url ?? '/', parts.settings.url), signIn), spent: [] }
      } catch {
        return redirect(response, '/?failed')
      }
      redirect(response, '/')
    },
    'GET /state'(request, response) {
      json(response, 200, { signed_in: visitorOf(request)?.wallet !== undefined, steps: STEPS })
    },
    'GET /verdict'(request, response) {
      const wallet = visitorOf(request)?.wallet
      if (wallet === undefined) return json(response, 200, { verdict: 'none' })
      const verdict = parts.validator.validateSync(wallet.tokens.accessToken)
      json(response, 200, {
        verdict: verdict.allowed ? 'accepted' : verdict.reason,
        freshness: verdict.freshness,
        staleness_ms: Math.round(verdict.stalenessMs),
        permissions: verdict.allowed ? verdict.permissions : [],
      })
    },
  }
  for (const step of STEPS) {
    routes[`POST /steps/${step}`] = async (request, response) => {
      const site = request.headers['sec-fetch-site']
      if (site !== undefined && site !== 'same-origin') return json(response, 403, { error: 'cross_site' })
      const wallet = visitorOf(request)?.wallet
      if (wallet === undefined) return json(response, 409, { ok: false, says: 'Sign in first.' })
      json(response, 200, await tellSafely(step, wallet))
    }
  }
  for (const [route, [file, type]] of Object.entries(ASSETS)) {
    const body = readFileSync(new URL(`public/${file}`, import.meta.url))
    routes[route] = (_request, response) => {
      response.writeHead(200, {
        'content-type': `${type}; charset=utf-8`,
        'content-security-policy':
          "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
        'x-content-type-options': 'nosniff',
        'referrer-policy': 'no-referrer',
      })
      response.end(body)
    }
  }
  return routes

  async function tellSafely(step: Step, wallet: Wallet) {
    try {
      return await tell(step, wallet, parts)
    } catch (error) {
      // The library's errors carry the authority's words, and no token.
      return {
        ok: false,
        says: `The authority said no: ${(error as { error?: string }).error ?? (error as Error).message}. Sign in again to go on.`,
      }
    }
  }

  function visitorOf(request: IncomingMessage): Visitor | undefined {
    const id = /(?:^|; )__Host-sample=([\w-]{43})/.exec(request.headers.cookie ?? '')?.[1]
    return id === undefined ? undefined : visitors.get(id)
  }

  function remember(id: string, visitor: Visitor): void {
    const oldest = visitors.keys().next().value
    if (visitors.size >= MAX_VISITORS && oldest !== undefined) visitors.delete(oldest)
    visitors.set(id, visitor)
  }
}

function redirect(response: ServerResponse, location: string, cookie?: string): void {
  response.writeHead(303, { location, 'cache-control': 'no-store', ...(cookie === undefined ? {} : { 'set-cookie': cookie }) })
  response.end()
}
