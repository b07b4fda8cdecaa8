/** Style sheet, script and icon, read once at start. The address carries a digest of the content, so browsers may keep them. */
import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import type { FastifyInstance } from 'fastify'

const FILES = {
  'signin.css': 'text/css; charset=utf-8',
  'signin.js': 'text/javascript; charset=utf-8',
  'icon.svg': 'image/svg+xml',
} as const
type AssetName = keyof typeof FILES

const ASSETS = new Map(
  Object.entries(FILES).map(([name, type]) => {
    const body = readFileSync(new URL(`./assets/${name}`, import.meta.url))
    const tag = createHash('sha256').update(body).digest('base64url').slice(0, 16)
    return [name, { type, body, tag }]
  }),
)

export const assetUrl = (name: AssetName): string => `/assets/${name}?v=${ASSETS.get(name)?.tag}`

export function assetRoutes(app: FastifyInstance): void {
  for (const [name, { type, body, tag }] of ASSETS) {
    app.get<{ Querystring: { v?: string } }>(`/assets/${name}`, (request, reply) => {
      // During a roll-out a page of one version may ask a node of another: then what it gets must not stick.
      const isSame = request.query.v === tag
      reply.header('cache-control', isSame ? 'public, max-age=31536000, immutable' : 'no-cache').header('etag', `"${tag}"`)
      if (request.headers['if-none-match'] === `"${tag}"`) return reply.code(304).send()
      return reply.type(type).send(body)
    })
  }
}
