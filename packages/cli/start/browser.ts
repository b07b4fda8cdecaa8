/** As much of a browser as the pages need: cookies per origin, redirects and refreshes, the first form of a page. No scripts. */

const MAX_REDIRECTS = 10

export class Browser {
  url = 'about:blank'
  status = 0
  /** A redirect to this prefix is not followed but taken as the place reached: another program's callback. */
  stopAt: string | undefined
  #page = ''
  readonly #cookies = new Map<string, Map<string, string>>()

  /** Follows a link. */
  async open(url: string): Promise<void> {
    await this.#go(new URL(url, this.url === 'about:blank' ? undefined : this.url), { method: 'GET' })
  }

  /** Fills the page's first form with those of the given values that it has fields for, and sends it by its main button. */
  async submit(values: Readonly<Record<string, string>>): Promise<void> {
    const form = firstForm(this.#page)
    if (form === undefined)
      throw new Error(`${new URL(this.url).pathname} has no form (status ${this.status}: ${this.heading()})`)
    const fields = new URLSearchParams(form.fields.map(({ name, value }) => [name, values[name] ?? value]))
    await this.#go(new URL(form.action || this.url, this.url), { method: 'POST', body: fields })
  }

  /** What a page's script would send to its own origin; the answer is JSON. */
  async post(url: string): Promise<{ ok: boolean; says: string; delayMs?: number }> {
    const response = await this.#send(new URL(url), { method: 'POST' })
    return (await response.json()) as { ok: boolean; says: string; delayMs?: number }
  }

  cookieValues(): string[] {
    return [...this.#cookies.values()].flatMap((jar) => [...jar.values()])
  }

  heading(): string {
    return (/<h1[^>]*>([\s\S]*?)<\/h1>/.exec(this.#page)?.[1] ?? '').replace(/<[^>]+>/g, '').trim()
  }

  async #go(url: URL, init: RequestInit): Promise<void> {
    let at = url
    let request = init
    for (let redirects = 0; redirects <= MAX_REDIRECTS; redirects++) {
      const response = await this.#send(at, request)
      const page = await response.text()
      const redirected = response.status >= 300 && response.status < 400 ? response.headers.get('location') : null
      const location = redirected ?? refreshTarget(page)
      if (location === undefined) {
        this.url = at.href
        this.status = response.status
        this.#page = page
        return
      }
      at = new URL(location, at)
      if (this.stopAt !== undefined && at.href.startsWith(this.stopAt)) {
        this.url = at.href
        return
      }
      request = { method: 'GET' } // RFC 9110 §15.4.4: after 303, and in practice after 302.
    }
    throw new Error(`more than ${MAX_REDIRECTS} redirects`)
  }

  async #send(url: URL, init: RequestInit): Promise<Response> {
    const jar = this.#cookies.get(url.origin) ?? new Map<string, string>()
    this.#cookies.set(url.origin, jar)
    const headers = new Headers(init.headers)
    headers.set('sec-fetch-site', 'same-origin')
    if (init.method === 'POST') headers.set('origin', url.origin)
    if (jar.size > 0) headers.set('cookie', [...jar].map(([name, value]) => `${name}=${value}`).join('; '))
    const response = await fetch(url, { ...init, headers, redirect: 'manual' })
    for (const cookie of response.headers.getSetCookie()) {
      const [, name = '', value = ''] = /^([^=;]+)=([^;]*)/.exec(cookie) ?? []
      if (/;\s*max-age=0\b/i.test(cookie) || value === '') jar.delete(name)
      else jar.set(name, value)
    }
    return response
  }
}

interface Form {
  readonly action: string
  readonly fields: readonly { readonly name: string; readonly value: string }[]
}

/** Where a page that goes on by itself goes at once. */
const refreshTarget = (page: string): string | undefined => {
  const tag = /<meta http-equiv="refresh"[^>]*>/i.exec(page)?.[0]
  return tag && attribute(tag, 'content')?.replace(/^0;\s*url=/i, '')
}

function firstForm(page: string): Form | undefined {
  const [, head = '', body = ''] = /<form\b([^>]*)>([\s\S]*?)<\/form>/i.exec(page) ?? []
  if (body === '') return undefined
  const fields: { name: string; value: string }[] = []
  let pressed = false
  for (const [, tag = '', attributes = ''] of body.matchAll(/<(input|button)\b([^>]*)>/gi)) {
    const name = attribute(attributes, 'name')
    const type = attribute(attributes, 'type') ?? (tag === 'button' ? 'submit' : 'text')
    const isButton = type === 'submit' || tag === 'button'
    if (isButton && pressed) continue
    if (isButton) pressed = true
    if (name === undefined || (type === 'checkbox' && !/\bchecked\b/.test(attributes))) continue
    fields.push({ name, value: attribute(attributes, 'value') ?? (type === 'checkbox' ? 'on' : '') })
  }
  return { action: attribute(head, 'action') ?? '', fields }
}

function attribute(text: string, name: string): string | undefined {
  const found = new RegExp(`(?:^|\\s)${name}="([^"]*)"`, 'i').exec(text)?.[1]
  return found
    ?.replaceAll('&amp;', '&')
    .replaceAll('&quot;', '"')
    .replaceAll('&#39;', "'")
    .replaceAll('&lt;', '<')
    .replaceAll('&gt;', '>')
}
