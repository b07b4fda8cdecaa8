/** /signin/:handle: shows what is asked for next, takes a password or a passkey, and moves on. */

import { Secret } from '@signet/kernel/secret.ts'
import { epochSeconds } from '@signet/kernel/surroundings.ts'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { ACR_PASSWORD, type Acr } from '../../signin/acr.ts'
import { goOn, type Next } from '../../signin/authorize.ts'
import { judgeAccountStep } from '../../signin/credentials.ts'
import { finishInteraction, type Interaction } from '../../signin/interaction.ts'
import type { SignInReason } from '../../signin/judge.ts'
import type { SigninParts } from '../../signin/parts.ts'
import { requestOptions } from '../../signin/passkey.ts'
import { findSignedIn } from '../../signin/session.ts'
import { type SignInRefusal, signInWithPasskey, signInWithPassword } from '../../signin/sign-in.ts'
import { normalizeUsername } from '../../signin/username.ts'
import type { Visitor } from '../../signin/visitor.ts'
import { rememberBrowser, rememberSession } from './cookies.ts'
import { visitInteraction, type WithHandle } from './door.ts'
import { ownForm, tokenField } from './forms.ts'
import { leave, schemeOf } from './leave-page.ts'
import { sendPage } from './page.ts'
import { overPage, problemPage } from './problem-page.ts'
import { signInPage } from './sign-in-page.ts'

export function signInRoutes(app: FastifyInstance, parts: SigninParts): void {
  app.get<WithHandle & { Querystring: { switch?: string } }>('/signin/:handle', async (request, reply) => {
    const visit = await visitInteraction(request, reply, parts)
    if (visit === undefined) return reply
    const { interaction, visitor } = visit
    if (request.query.switch !== undefined)
      return show(reply, visit, { why: 'someone_else', atLeast: levelOf(interaction) }, parts)
    return moveOn(request, reply, interaction, visitor, parts)
  })

  app.post<WithHandle>('/signin/:handle', async (request, reply) => {
    const visit = await visitInteraction(request, reply, parts)
    if (visit === undefined) return reply
    const { interaction, visitor } = visit
    const form = ownForm(request, visitor.browser, interaction.handle, parts)
    if (form === undefined) return sendPage(reply, overPage('stale_form', parts.issuer, request))

    const passkey = form.get('passkey')
    const username = form.get('username') ?? ''
    const outcome =
      passkey === undefined
        ? await signInWithPassword({ username, password: new Secret(form.get('password') ?? '') }, interaction, visitor, parts)
        : await signInWithPasskey(passkey, interaction, visitor, parts)
    if (outcome.kind === 'over') return sendPage(reply, overPage('over', parts.issuer, request))
    if (outcome.kind === 'refused') {
      const showing = { why: whyAgain(username, visitor), atLeast: levelOf(interaction), refusal: outcome, username }
      return show(reply, { interaction: outcome.interaction, visitor }, showing, parts)
    }
    rememberSession(reply, outcome.established)
    const signedIn = await findSignedIn(outcome.established.session, parts.store, parts.clock.now(), parts.sha256)
    return moveOn(request, reply, outcome.interaction, { ...visitor, signedIn }, parts)
  })
}

/** Asks the flow for the next step and takes it. */
async function moveOn(
  request: FastifyRequest,
  reply: FastifyReply,
  interaction: Interaction,
  visitor: Visitor,
  parts: SigninParts,
): Promise<FastifyReply> {
  const { undertaking } = interaction
  if (undertaking.kind === 'authorize') {
    return follow(request, reply, await goOn(interaction, undertaking.request, visitor, parts), { interaction, visitor }, parts)
  }
  if (undertaking.kind === 'new_passkey') return sendPage(reply, overPage('over', parts.issuer, request))
  const step = judgeAccountStep(undertaking, visitor.signedIn, interaction.proved, epochSeconds(parts.clock.now()))
  if (step.kind === 'sign_in') return show(reply, { interaction, visitor }, step, parts)
  await parts.store.transact((tx) => finishInteraction(tx, interaction, parts.sha256)) // Whoever loses it goes the same way.
  return reply.header('cache-control', 'no-store').redirect(undertaking.returnTo, 303)
}

/** Does what the flow says comes next. Without an interaction at hand, its pages are redirected to. */
export async function follow(
  request: FastifyRequest,
  reply: FastifyReply,
  next: Next,
  at: { readonly interaction: Interaction; readonly visitor: Visitor } | undefined,
  parts: SigninParts,
): Promise<FastifyReply> {
  switch (next.kind) {
    case 'leave':
      return leave(request, reply, next.to)
    case 'nowhere':
      return sendPage(reply, problemPage(next.reason, request))
    case 'over':
      return sendPage(reply, overPage('over', parts.issuer, request))
    case 'consent':
      return reply.header('cache-control', 'no-store').redirect(`/consent/${next.handle}`, 303)
    case 'sign_in':
      if (at !== undefined) return show(reply, at, { ...next, app: next.client.name }, parts)
      return reply.header('cache-control', 'no-store').redirect(`/signin/${next.handle}`, 303)
  }
}

interface Showing {
  readonly why: SignInReason
  readonly atLeast: Acr
  readonly app?: string | undefined
  readonly refusal?: Exclude<SignInRefusal, { kind: 'over' }>
  /** What was typed before. */
  readonly username?: string
}

async function show(
  reply: FastifyReply,
  { interaction, visitor }: { readonly interaction: Interaction; readonly visitor: Visitor },
  { why, atLeast, app, refusal, username }: Showing,
  parts: SigninParts,
): Promise<FastifyReply> {
  const { undertaking, handle, challenge } = interaction
  const asks = undertaking.kind === 'authorize' ? undertaking.request : undefined
  const name = app ?? (asks === undefined ? undefined : (await parts.store.clients.find(asks.client))?.name)
  const isSame = why !== 'nobody' && why !== 'someone_else'
  rememberBrowser(reply, visitor.browser)
  return sendPage(
    reply,
    signInPage({
      handle,
      formToken: tokenField(visitor.browser, handle, parts),
      why,
      atLeast,
      app: name,
      person: isSame ? visitor.signedIn?.subject.username : undefined,
      hint: username ?? (why === 'someone_else' ? undefined : asks?.loginHint),
      passkeys: parts.site === undefined ? undefined : await requestOptions(parts.site, challenge),
      refusal,
      formScheme: asks === undefined ? undefined : schemeOf(asks.redirectUri),
    }),
  )
}

/** After a refused try: whoever is signed in here, unless it was tried as someone else. */
function whyAgain(username: string, { signedIn }: Visitor): SignInReason {
  if (signedIn === undefined) return 'nobody'
  return username === '' || normalizeUsername(username) === signedIn.subject.username ? 'asked' : 'someone_else'
}

function levelOf({ undertaking }: Interaction): Acr {
  if (undertaking.kind === 'new_passkey') return ACR_PASSWORD
  return (undertaking.kind === 'authorize' ? undertaking.request.atLeast : undertaking.atLeast) ?? ACR_PASSWORD
}
