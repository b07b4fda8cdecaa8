/** /account: where people see and take back what hangs on their account. */

import type { ClientId, DeviceId, SessionId } from '@signet/kernel/ids.ts'
import { epochSeconds } from '@signet/kernel/surroundings.ts'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { endSession, readAccount, removeApp, removeDevice } from '../../signin/account.ts'
import {
  addPasskey,
  type CredentialFlaw,
  changePassword,
  hasOtherWay,
  missingProof,
  removePasskey,
} from '../../signin/credentials.ts'
import { type AccountPage, beginInteraction, type Interaction, type Undertaking } from '../../signin/interaction.ts'
import type { SigninParts } from '../../signin/parts.ts'
import { creationOptions } from '../../signin/passkey.ts'
import type { SignedIn } from '../../signin/session.ts'
import type { Visitor } from '../../signin/visitor.ts'
import type { Form } from '../form.ts'
import { accountPage, DONE, type Done, newPasskeyPage, passwordPage, removePasskeyPage } from './account-page.ts'
import { rememberBrowser, rememberSession } from './cookies.ts'
import { visit, visitInteraction, type WithHandle } from './door.ts'
import { ownForm, tokenField } from './forms.ts'
import { purposeOf as signOutPurpose } from './logout.ts'
import { sendPage } from './page.ts'
import { overPage } from './problem-page.ts'

type WithId = { Params: { id: string } }

export function accountRoutes(app: FastifyInstance, parts: SigninParts): void {
  app.get<{ Querystring: { done?: string } }>('/account', (request, reply) =>
    asOwner(request, reply, '/account', parts, async ({ visitor, signedIn }) => {
      const { done } = request.query
      rememberBrowser(reply, visitor.browser)
      return sendPage(
        reply,
        accountPage({
          account: await readAccount(signedIn, parts),
          formToken: tokenField(visitor.browser, purposeOf(signedIn), parts),
          signOutToken: tokenField(visitor.browser, signOutPurpose(signedIn), parts),
          done: isFollowedOn(request) && done !== undefined && Object.hasOwn(DONE, done) ? (done as Done) : undefined,
          canHavePasskeys: parts.site !== undefined,
          nowAt: epochSeconds(parts.clock.now()),
        }),
      )
    }),
  )

  app.post<WithId>('/account/sessions/:id/end', (request, reply) =>
    change(request, reply, parts, async ({ signedIn }) => {
      await endSession(signedIn, request.params.id as SessionId, parts)
      return backWith(reply, 'session')
    }),
  )

  app.post<WithId>('/account/devices/:id/remove', (request, reply) =>
    change(request, reply, parts, async ({ signedIn }) => {
      await removeDevice(signedIn, request.params.id as DeviceId, parts)
      return backWith(reply, 'device')
    }),
  )

  app.post<WithId>('/account/apps/:id/remove', (request, reply) =>
    change(request, reply, parts, async ({ signedIn }) => {
      await removeApp(signedIn, request.params.id as ClientId, parts)
      return backWith(reply, 'app')
    }),
  )

  app.get('/account/password', (request, reply) =>
    asRecentOwner(request, reply, '/account/password', parts, async ({ visitor, signedIn }) =>
      showPassword(reply, visitor, signedIn, undefined, parts),
    ),
  )
  app.post('/account/password', (request, reply) =>
    changeRecently(request, reply, '/account/password', parts, async ({ visitor, signedIn, form }) => {
      const given = { password: form.get('password') ?? '', repeated: form.get('repeated') ?? '' }
      const changed = await changePassword(given, visitor, signedIn, parts)
      if (typeof changed === 'string') return showPassword(reply, visitor, signedIn, changed, parts)
      rememberSession(reply, changed)
      return backWith(reply, 'password')
    }),
  )

  app.get('/account/passkeys/new', (request, reply) =>
    asRecentOwner(request, reply, '/account/passkeys/new', parts, async ({ visitor, signedIn }) => {
      const handle = await begin({ kind: 'new_passkey', session: signedIn.session.id }, visitor, parts)
      rememberBrowser(reply, visitor.browser)
      return reply.header('cache-control', 'no-store').redirect(`/account/passkeys/${handle}`, 303)
    }),
  )
  app.get<WithHandle>('/account/passkeys/:handle', (request, reply) =>
    asRecentOwner(request, reply, '/account/passkeys/new', parts, async ({ signedIn }) => {
      const at = await visitInteraction(request, reply, parts)
      return at === undefined ? reply : showNewPasskey(request, reply, at, signedIn, undefined, parts)
    }),
  )
  app.post<WithHandle>('/account/passkeys/:handle', (request, reply) =>
    changeRecently(request, reply, '/account/passkeys/new', parts, async ({ visitor, signedIn, form }) => {
      const at = await visitInteraction(request, reply, parts)
      if (at === undefined) return reply
      if (!isFor(at.interaction, signedIn)) return sendPage(reply, overPage('over', parts.issuer, request))
      const given = { response: form.get('passkey') ?? '', name: form.get('name') ?? '' }
      const added = await addPasskey(given, at.interaction, visitor, signedIn, parts)
      if (added !== 'added') return showNewPasskey(request, reply, at, signedIn, added, parts)
      return backWith(reply, 'passkey_added')
    }),
  )

  app.get<WithId>('/account/passkeys/:id/remove', (request, reply) => {
    const { id } = request.params
    return asRecentOwner(request, reply, removePage(id), parts, async ({ visitor, signedIn }) => {
      const passkeys = await parts.store.subjects.passkeys(signedIn.subject.id)
      const passkey = passkeys.find((one) => one.id === id)
      if (passkey === undefined) return reply.redirect('/account', 303)
      const isLast = !hasOtherWay(signedIn.subject, passkeys, id)
      rememberBrowser(reply, visitor.browser)
      return sendPage(
        reply,
        removePasskeyPage(signedIn.subject.username, passkey, tokenField(visitor.browser, purposeOf(signedIn), parts), isLast),
      )
    })
  })
  app.post<WithId>('/account/passkeys/:id/remove', (request, reply) => {
    const { id } = request.params
    return changeRecently(request, reply, removePage(id), parts, async ({ visitor, signedIn }) => {
      const removed = await removePasskey(id, visitor, signedIn, parts)
      if (typeof removed === 'string') return reply.redirect(removePage(id), 303)
      rememberSession(reply, removed)
      return backWith(reply, 'passkey_removed')
    })
  })
}

// ── Who may ──

interface Owner {
  readonly visitor: Visitor
  readonly signedIn: SignedIn
}
type Then = (owner: Owner) => Promise<FastifyReply>
type ThenWithForm = (owner: Owner & { readonly form: Form }) => Promise<FastifyReply>

/** A page of the person's own: whoever isn't signed in is, and comes back. */
async function asOwner(
  request: FastifyRequest,
  reply: FastifyReply,
  page: AccountPage,
  parts: SigninParts,
  then: Then,
): Promise<FastifyReply> {
  const visitor = await visit(request, parts)
  if (visitor.signedIn === undefined) return signInFirst(reply, { kind: 'account', returnTo: page }, visitor, parts)
  return then({ visitor, signedIn: visitor.signedIn })
}

/** The same, with a fresh proof of who it is. */
const asRecentOwner = (
  request: FastifyRequest,
  reply: FastifyReply,
  page: AccountPage,
  parts: SigninParts,
  then: Then,
): Promise<FastifyReply> =>
  asOwner(request, reply, page, parts, async (owner) => {
    const missing = await missingProof(owner.signedIn, parts)
    return missing === undefined
      ? then(owner)
      : signInFirst(reply, { kind: 'account', returnTo: page, ...missing }, owner.visitor, parts)
  })

/** A form of one of these pages. */
const change = (request: FastifyRequest, reply: FastifyReply, parts: SigninParts, then: ThenWithForm): Promise<FastifyReply> =>
  asOwner(request, reply, '/account', parts, withForm(request, reply, parts, then))

const changeRecently = (
  request: FastifyRequest,
  reply: FastifyReply,
  page: AccountPage,
  parts: SigninParts,
  then: ThenWithForm,
): Promise<FastifyReply> => asRecentOwner(request, reply, page, parts, withForm(request, reply, parts, then))

const withForm =
  (request: FastifyRequest, reply: FastifyReply, parts: SigninParts, then: ThenWithForm): Then =>
  async (owner) => {
    const form = ownForm(request, owner.visitor.browser, purposeOf(owner.signedIn), parts)
    return form === undefined ? sendPage(reply, overPage('stale_form', parts.issuer, request)) : then({ ...owner, form })
  }

const purposeOf = ({ session }: SignedIn): string => `account ${session.id}`
const removePage = (id: string): AccountPage => `/account/passkeys/${encodeURIComponent(id)}/remove`

async function signInFirst(
  reply: FastifyReply,
  undertaking: Undertaking,
  visitor: Visitor,
  parts: SigninParts,
): Promise<FastifyReply> {
  const handle = await begin(undertaking, visitor, parts)
  rememberBrowser(reply, visitor.browser)
  return reply.header('cache-control', 'no-store').redirect(`/signin/${handle}`, 303)
}

async function begin(undertaking: Undertaking, visitor: Visitor, parts: SigninParts): Promise<string> {
  await parts.admitInteraction()
  const { handle, record } = beginInteraction(undertaking, visitor.browser, parts, parts.clock.now())
  await parts.store.transact((tx) => tx.interactions.create(record))
  return handle
}

/** Nobody else's link makes the page say that something was done. */
const isFollowedOn = ({ headers }: FastifyRequest): boolean => (headers['sec-fetch-site'] ?? 'same-origin') === 'same-origin'

// ── Pages ──

const backWith = (reply: FastifyReply, done: Done): FastifyReply =>
  reply.header('cache-control', 'no-store').redirect(`/account?done=${done}`, 303)

function showPassword(
  reply: FastifyReply,
  visitor: Visitor,
  signedIn: SignedIn,
  flaw: CredentialFlaw | undefined,
  parts: SigninParts,
): FastifyReply {
  const { username, passwordHash } = signedIn.subject
  rememberBrowser(reply, visitor.browser)
  return sendPage(
    reply,
    passwordPage(username, passwordHash !== undefined, tokenField(visitor.browser, purposeOf(signedIn), parts), flaw),
  )
}

async function showNewPasskey(
  request: FastifyRequest,
  reply: FastifyReply,
  { interaction, visitor }: { readonly interaction: Interaction; readonly visitor: Visitor },
  signedIn: SignedIn,
  flaw: CredentialFlaw | undefined,
  parts: SigninParts,
): Promise<FastifyReply> {
  if (!isFor(interaction, signedIn) || parts.site === undefined) return sendPage(reply, overPage('over', parts.issuer, request))
  const { id, username, claims } = signedIn.subject
  const person = { subject: id, username, name: typeof claims.name === 'string' ? claims.name : username }
  const options = await creationOptions(parts.site, interaction.challenge, person, await parts.store.subjects.passkeys(id))
  const token = tokenField(visitor.browser, purposeOf(signedIn), parts)
  return sendPage(reply, newPasskeyPage(username, interaction.handle, token, options, flaw))
}

const isFor = ({ undertaking }: Interaction, { session }: SignedIn): boolean =>
  undertaking.kind === 'new_passkey' && undertaking.session === session.id
