/**
 * Somebody at a browser without a script: keeps cookies, reads pages, fills in forms and sends them as a browser would. Talks to
 * a Fastify instance without a network.
 */
import type { FastifyInstance, InjectOptions } from 'fastify'

export interface VisitedPage {
  readonly status: number
  /** Path and query it was got from. */
  readonly url: string
  readonly headers: Readonly<Record<string, string | string[] | number | undefined>>
  readonly text: string
  /** Where it redirects to, as sent. */
  readonly location: string | undefined
  readonly forms: readonly PageForm[]
}

export interface PageForm {
  readonly action: string
  readonly attributes: Readonly<Record<string, string>>
  /** Hidden and prefilled fields. */
  readonly fields: Readonly<Record<string, string>>
}

export interface PageVisitor {
  readonly cookies: Map<string, string>
  get(url: string, headers?: Record<string, string>): Promise<VisitedPage>
  /** Like `get`, and goes on while redirected within the site. */
  open(url: string): Promise<VisitedPage>
  /** Sends the page's form (its first, or the one whose action contains `at`) with these values. Follows within the site. */
  submit(
    page: VisitedPage,
    values: Record<string, string>,
    options?: { at?: string; headers?: Record<string, string> },
  ): Promise<VisitedPage>
  post(url: string, values: Record<string, string> | string, headers?: Record<string, string>): Promise<VisitedPage>
}

const MAX_REDIRECTS = 10

export function createPageVisitor(
  app: FastifyInstance,
  from: { address?: string; userAgent?: string; origin?: string } = {},
): PageVisitor {
  const cookies = new Map<string, string>()
  const origin = from.origin ?? 'http://localhost:4800'

  async function send(options: InjectOptions & { url: string }): Promise<VisitedPage> {
    const cookie = [...cookies].map(([name, value]) => `${name}=${value}`).join('; ')
    const response = await app.inject({
      remoteAddress: from.address ?? '192.0.2.1',
      ...options,
      headers: {
        host: new URL(origin).host,
        'user-agent': from.userAgent ?? 'Firefox/140.0 (X11; Linux)',
        ...(cookie === '' ? {} : { cookie }),
        ...options.headers,
      },
    })
    for (const line of [response.headers['set-cookie'] ?? []].flat()) keep(line)
    const { location } = response.headers
    return {
      status: response.statusCode,
      url: options.url,
      headers: response.headers,
      text: response.body,
      location: typeof location === 'string' ? location : undefined,
      forms: readForms(response.body),
    }
  }

  function keep(line: string): void {
    const [pair, ...attributes] = line.split(';').map((part) => part.trim()) as [string, ...string[]]
    const [name, value] = [pair.slice(0, pair.indexOf('=')), pair.slice(pair.indexOf('=') + 1)]
    if (attributes.some((attribute) => /^max-age=0$/i.test(attribute))) cookies.delete(name)
    else cookies.set(name, value)
  }

  async function follow(page: VisitedPage): Promise<VisitedPage> {
    let at = page
    for (let hop = 0; at.location !== undefined && hop < MAX_REDIRECTS; hop++) {
      const target = new URL(at.location, origin)
      if (target.origin !== origin) break
      at = await visitor.get(target.pathname + target.search)
    }
    return at
  }

  const visitor: PageVisitor = {
    cookies,
    get: (url, headers = {}) => send({ method: 'GET', url, headers }),
    open: async (url) => follow(await visitor.get(url)),
    async submit(page, values, { at, headers = {} } = {}) {
      const form = page.forms.find(({ action }) => at === undefined || action.includes(at))
      if (form === undefined) throw new Error(`no form ${at ?? ''} on ${page.url}: ${page.status}`)
      return follow(
        await visitor.post(form.action, { ...form.fields, ...values }, { origin, 'sec-fetch-site': 'same-origin', ...headers }),
      )
    },
    post: (url, values, headers = {}) =>
      send({
        method: 'POST',
        url,
        headers: { 'content-type': 'application/x-www-form-urlencoded', ...headers },
        payload: typeof values === 'string' ? values : new URLSearchParams(values).toString(),
      }),
  }
  return visitor
}

function readForms(text: string): PageForm[] {
  return [...text.matchAll(/<form\b([^>]*)>(.*?)<\/form>/gs)].map(([, head = '', body = '']) => {
    const attributes = readAttributes(head)
    const fields: Record<string, string> = {}
    for (const [, input = ''] of body.matchAll(/<input\b([^>]*)>/g)) {
      const { name, value } = readAttributes(input)
      if (name !== undefined && value !== undefined) fields[name] = value
    }
    return { action: attributes.action ?? '', attributes, fields }
  })
}

function readAttributes(text: string): Record<string, string> {
  return Object.fromEntries(
    [...text.matchAll(/([\w-]+)="([^"]*)"/g)].map(([, name, value]) => [name as string, unescapeText(value as string)]),
  )
}

const ENTITIES: Readonly<Record<string, string>> = {
  '&lt;': '<',
  '&gt;': '>',
  '&quot;': '"',
  '&#39;': "'",
  '&#96;': '`',
  '&amp;': '&',
}
/** What a browser makes of escaped text. */
export const unescapeText = (text: string): string =>
  text.replaceAll(/&(?:lt|gt|quot|#39|#96|amp);/g, (entity) => ENTITIES[entity] as string)
