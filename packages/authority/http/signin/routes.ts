/**
 * The pages: everything of the authority that a person sees. `signinRoutes` is the map; each file beside it is one page or a
 * few that belong together, with its template in the `-page` file.
 */

import { createRateLimit, networkOf, takeOrRefuse } from '@signet/kernel/rate-limit.ts'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import type { SigninParts } from '../../signin/parts.ts'
import { acceptForms } from '../form.ts'
import type { Answer } from '../respond.ts'
import { accountRoutes } from './account.ts'
import { assetRoutes } from './assets.ts'
import { authorizeRoutes } from './authorize.ts'
import { consentRoutes } from './consent.ts'
import { foreignFormRoutes } from './foreign-form.ts'
import { logoutRoutes } from './logout.ts'
import { dressPage, renderPage } from './page.ts'
import { thrownPage } from './problem-page.ts'
import { setupRoutes } from './setup.ts'
import { signInRoutes } from './sign-in.ts'

export function signinRoutes(app: FastifyInstance, parts: SigninParts): void {
  assetRoutes(app)
  const pageRate = createRateLimit(PAGE_RATE, parts.clock)
  app.register(async (pages) => {
    pages.addHook('onRoute', showProblemsAsPages)
    pages.addHook('onRequest', async ({ ip }) => takeOrRefuse(pageRate, networkOf(ip), 'address_rate'))
    acceptForms(pages)
    authorizeRoutes(pages, parts)
    signInRoutes(pages, parts)
    consentRoutes(pages, parts)
    setupRoutes(pages, parts)
    logoutRoutes(pages, parts)
    accountRoutes(pages, parts)
  })
  app.register(async (foreign) => {
    foreign.addHook('onRoute', showProblemsAsPages)
    foreignFormRoutes(foreign, ['/authorize', '/logout'])
  })
}

/**
 * Pages for one network, per node. Opening one may write an interaction that stays for a quarter of an hour, so this also
 * bounds how much of the store anyone can fill. An office behind one address is well within it.
 */
const PAGE_RATE = { perSecond: 50, burst: 500 }

/** What is thrown here is for a person to read. */
function showProblemsAsPages(route: { config?: object }): void {
  route.config = { ...route.config, problemPage }
}

function problemPage(answer: Answer, request: FastifyRequest, reply: FastifyReply): string {
  dressPage(reply)
  return renderPage(thrownPage(answer, request))
}
