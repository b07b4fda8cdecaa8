/** What all pages share: the frame around them, and the headers that keep them to themselves. */
import type { FastifyReply } from 'fastify'
import { assetUrl } from './assets.ts'
import { type Content, type Html, html } from './html.ts'

export interface Page {
  /** Of the window; the heading is part of `body`. */
  readonly title: string
  readonly body: Html
  /** Default 200. */
  readonly status?: number
  /** `wide`: the account's own pages. */
  readonly layout?: 'card' | 'wide'
  /** Who is signed in, for pages that say so at the top. */
  readonly signedInAs?: string
  /** An app's own scheme that a form on this page may end at. */
  readonly formScheme?: string | undefined
  readonly retryAfterSeconds?: number
  /** Where the browser goes on to by itself. */
  readonly refreshTo?: string
}

export function sendPage(reply: FastifyReply, page: Page): FastifyReply {
  dressPage(reply, page.formScheme)
  if (page.retryAfterSeconds !== undefined) reply.header('retry-after', String(page.retryAfterSeconds))
  return reply.code(page.status ?? 200).send(renderPage(page))
}

/** The headers of a page. */
export function dressPage(reply: FastifyReply, formScheme?: string): void {
  reply
    .type('text/html; charset=utf-8')
    .header('cache-control', 'no-store')
    .header('content-security-policy', policy(formScheme))
    // Not `no-referrer`: with that, browsers send `Origin: null` with our own forms too.
    .header('referrer-policy', 'same-origin')
    .header('x-frame-options', 'DENY')
    .header(
      'permissions-policy',
      'publickey-credentials-get=(self), publickey-credentials-create=(self), camera=(), microphone=(), geolocation=()',
    )
}

/**
 * Nothing but our own files, no inline script or style, nobody's frame. `form-action` holds for every redirect that follows
 * a form, the client's own included, so forms that end at a website answer with a page that goes on (leave-page.ts); only an
 * app's own scheme is named here.
 */
function policy(formScheme: string | undefined): string {
  const own = formScheme === undefined ? '' : ` ${formScheme}:`
  return [
    "default-src 'none'",
    "script-src 'self'",
    "style-src 'self'",
    "img-src 'self'",
    `form-action 'self'${own}`,
    "base-uri 'none'",
    "frame-ancestors 'none'",
    "require-trusted-types-for 'script'",
    "trusted-types 'none'",
  ].join('; ')
}

export function renderPage(page: Page): string {
  return String(html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="robots" content="noindex">
${page.refreshTo !== undefined && html`<meta http-equiv="refresh" content="0; url=${page.refreshTo}">`}
<title>${page.title} · Signet</title>
<link rel="icon" href="${assetUrl('icon.svg')}" type="image/svg+xml">
<link rel="stylesheet" href="${assetUrl('signin.css')}">
<script type="module" src="${assetUrl('signin.js')}"></script>
</head>
<body class="${page.layout ?? 'card'}">
<div class="frame">
<header class="top">
<span class="brand">${mark}Signet</span>
${page.signedInAs !== undefined && html`<span class="whoami"><span class="avatar" aria-hidden="true">${initial(page.signedInAs)}</span>${page.signedInAs}</span>`}
</header>
<main>
${page.body}
</main>
</div>
</body>
</html>
`)
}

/** A seal: a ring with its impression. */
const mark = html`<svg class="mark" viewBox="0 0 24 24" width="24" height="24" aria-hidden="true" focusable="false"><circle cx="12" cy="12" r="9.25" fill="none" stroke="currentColor" stroke-width="2.5"/><path d="M12 6.8 16.5 12 12 17.2 7.5 12Z" fill="currentColor"/></svg>`

const initial = (name: string): string => ([...name][0] ?? '·').toUpperCase()

/** What went wrong, said where screen readers announce it. */
export const alert = (content: Content): Html => html`<div class="alert" role="alert">${content}</div>`
/** What went well. */
export const notice = (content: Content): Html => html`<div class="notice" role="status">${content}</div>`

export interface Field {
  readonly id: string
  readonly name: string
  readonly label: string
  readonly type?: 'text' | 'password'
  readonly autocomplete: string
  readonly value?: string | undefined
  readonly hint?: Content
  readonly error?: string | undefined
  readonly maxLength: number
  readonly focus?: boolean
  readonly optional?: boolean
  readonly readonly?: boolean
}

/** A labelled input with its hint and its error tied to it. */
export function field(f: Field): Html {
  const about = [f.error !== undefined && `${f.id}-error`, f.hint !== undefined && `${f.id}-hint`]
    .filter((id) => id !== false)
    .join(' ')
  const isSecret = f.type === 'password'
  return html`<div class="field">
<label for="${f.id}">${f.label}${f.optional === true && html` <span class="quiet">(optional)</span>`}</label>
${f.hint !== undefined && html`<p class="hint" id="${f.id}-hint">${f.hint}</p>`}
${f.error !== undefined && html`<p class="error" id="${f.id}-error">${f.error}</p>`}
<div class="input"${isSecret && html` data-reveal`}>
<input id="${f.id}" name="${f.name}" type="${f.type ?? 'text'}" autocomplete="${f.autocomplete}" maxlength="${f.maxLength}" spellcheck="false" autocapitalize="none"${f.value !== undefined && html` value="${f.value}"`}${about !== '' && html` aria-describedby="${about}"`}${f.error !== undefined && html` aria-invalid="true"`}${f.optional !== true && html` required`}${(f.focus === true || f.error !== undefined) && html` autofocus`}${f.readonly === true && html` readonly`}>
</div>
</div>`
}

/** "3 minutes", "about an hour": waiting times for people. */
export function inWords(seconds: number): string {
  if (seconds < 60) return seconds === 1 ? 'a second' : `${seconds} seconds`
  const minutes = Math.ceil(seconds / 60)
  if (minutes < 60) return minutes === 1 ? 'a minute' : `${minutes} minutes`
  const hours = Math.ceil(minutes / 60)
  return hours === 1 ? 'about an hour' : `about ${hours} hours`
}
