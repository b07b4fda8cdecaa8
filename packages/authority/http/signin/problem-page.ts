/** Pages for what can't go on: a request that names no trustworthy way back, a sign-in that is over, a fault of ours. */
import type { NoRecipient } from '../../signin/authorization-request.ts'
import type { LogoutFlaw } from '../../signin/logout.ts'
import type { FormProblem } from '../form.ts'
import type { Answer } from '../respond.ts'
import { html } from './html.ts'
import { inWords, type Page } from './page.ts'

/** What is wrong, for the person; and the word that whoever runs the app can look up. */
interface Problem {
  readonly title: string
  readonly text: string
  readonly status?: number
}

const APP_PROBLEM = 'Something’s wrong with this link'
const BACK = 'Go back to the app and try again. If it happens again, tell whoever runs the app.'

const PROBLEMS: Readonly<Record<NoRecipient | LogoutFlaw | FormProblem, Problem>> = {
  client_missing: { title: APP_PROBLEM, text: `It doesn’t say which app it is for. ${BACK}` },
  client_unknown: { title: APP_PROBLEM, text: `It is for an app that isn’t registered here. ${BACK}` },
  client_unavailable: {
    title: 'This app isn’t available',
    text: 'It has been switched off for now. Try again later, or ask whoever runs the app.',
  },
  client_mismatch: { title: APP_PROBLEM, text: `It names two different apps. ${BACK}` },
  redirect_uri_missing: { title: APP_PROBLEM, text: `It doesn’t say where to return to. ${BACK}` },
  redirect_uri_mismatch: {
    title: APP_PROBLEM,
    text: `It would send you to an address that isn’t registered for the app, so we stopped here. ${BACK}`,
  },
  malformed_form: { title: APP_PROBLEM, text: `It is garbled. ${BACK}` },
  repeated_parameter: { title: APP_PROBLEM, text: `It says the same thing twice. ${BACK}` },
  control_character: { title: APP_PROBLEM, text: `It is garbled. ${BACK}` },
  too_many_parameters: { title: APP_PROBLEM, text: `It has too many parts. ${BACK}` },
  query_too_long: { title: APP_PROBLEM, text: `It is too long. ${BACK}` },
}

export function problemPage(reason: NoRecipient | LogoutFlaw | FormProblem, request: { readonly id: string }): Page {
  const { title, text, status = 400 } = PROBLEMS[reason]
  return sorry(title, text, status, reason, request.id)
}

/** An interaction that can't go on here. */
export function overPage(
  why: 'over' | 'other_browser' | 'no_cookie' | 'stale_form',
  issuer: string,
  request: { readonly id: string },
): Page {
  switch (why) {
    case 'over':
      return sorry(
        'This page has done its job',
        'The sign-in was finished, or it was left open too long. Go back to the app and start again.',
        400,
        'interaction_over',
        request.id,
      )
    case 'other_browser':
      return sorry(
        'Started in another browser',
        'This sign-in was begun in another browser or on another device. For your safety it can only be finished there. To sign in here, start again from the app.',
        400,
        'other_browser',
        request.id,
      )
    case 'stale_form':
      return sorry(
        'Please try that again',
        'The form was out of date, or it didn’t come from this site. Go back, reload the page and try once more.',
        400,
        'form_not_ours',
        request.id,
      )
    case 'no_cookie': {
      const why = issuer.startsWith('http:')
        ? 'Your browser didn’t keep the cookie that signing in needs. Safari keeps none at an http address, not even on your own machine: use another browser there, or https. Otherwise allow cookies for this site and start again from the app.'
        : 'Your browser didn’t keep the cookie that signing in needs. Allow cookies for this site, then start again from the app.'
      return sorry('Cookies are needed', why, 400, 'no_cookie', request.id)
    }
  }
}

/** What was thrown, for a person: the door's table has judged it already. */
export function thrownPage(answer: Answer, request: { readonly id: string }): Page {
  const { status, headers, problem } = answer
  const wait = headers['retry-after'] === undefined ? 'in a moment' : `in ${inWords(Math.max(Number(headers['retry-after']), 1))}`
  if (status === 429)
    return sorry(
      'That was a bit fast',
      `Too many requests came from your network. Try again ${wait}.`,
      status,
      problem.reason,
      request.id,
    )
  if (status === 503)
    return sorry(
      'We can’t do this right now',
      `Something we depend on is not available. Nothing was lost. Try again ${wait}.`,
      status,
      problem.reason,
      request.id,
    )
  if (status >= 500)
    return sorry(
      'Something went wrong',
      'That was our fault, and it has been written down. Try again; if it happens again, give the reference below to whoever runs this service.',
      status,
      problem.reason,
      request.id,
    )
  return sorry(
    'That didn’t work',
    'The request was not one that this page understands. Go back and try again.',
    status,
    problem.reason,
    request.id,
  )
}

function sorry(title: string, text: string, status: number, reason: string, reference: string): Page {
  return {
    title,
    status,
    body: html`<h1>${title}</h1>
<p class="lede">${text}</p>
<p class="fine">Reason: <code>${reason}</code><br>Reference: <code>${reference}</code></p>`,
  }
}

/** An address that leads nowhere, such as the issuer's own in a browser. */
export const nothingHerePage: Page = {
  title: 'Nothing here',
  status: 404,
  body: html`<h1>Nothing here</h1>
<p class="lede">No page has this address. <a href="/account">Your account</a> shows how you sign in and which apps have access.</p>`,
}

/** A set-up link that does nothing any more. */
export const usedLinkPage = (request: { readonly id: string }): Page =>
  sorry(
    'This link has been used or is too old',
    'Each link works once and for a limited time. If you have set up your account already, sign in; otherwise ask for a new link.',
    410,
    'setup_link_over',
    request.id,
  )
