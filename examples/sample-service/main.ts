/**
 * The sample: a protected API and a page that walks through the life of a token. Start it with `npm start`; alone:
 * `node examples/sample-service/main.ts SETTINGS.json`.
 */
import { createServer } from 'node:http'
import { createValidator } from '@signet/validator'
import { createApi, json } from './api.ts'
import { createClient } from './client.ts'
import { createPage } from './page.ts'
import { readSettings } from './settings.ts'

const settings = readSettings(process.argv[2] ?? 'sample.json')
const validator = createValidator({
  issuer: settings.issuer,
  audience: settings.resource,
  feedCredentials: settings.feed,
  permissions: {
    'notes:read': { scopes: ['notes:read'], maxStalenessSeconds: 3600 },
    'notes:write': { scopes: ['notes:write'], maxStalenessSeconds: 5 },
  },
})
await validator.ready()

const routes = {
  ...createApi(validator),
  ...createPage({ settings, validator, client: await createClient(settings) }),
}

const server = createServer((request, response) => {
  const path = new URL(request.url ?? '/', settings.url).pathname
  const route = routes[`${request.method} ${path}`]
  if (route === undefined) return json(response, 404, { error: 'not_found' })
  Promise.resolve(route(request, response)).catch((error: unknown) => {
    process.stderr.write(`sample service: ${(error as Error).message}\n`)
    if (response.headersSent) response.destroy()
    else json(response, 500, { error: 'server_error' })
  })
})

server.listen(Number(new URL(settings.url).port), '127.0.0.1', () =>
  process.stdout.write(`${JSON.stringify({ ready: true, url: settings.url })}\n`),
)
for (const signal of ['SIGTERM', 'SIGINT'] as const) {
  process.once(signal, () => {
    void validator.close()
    server.closeAllConnections()
    server.close(() => process.exit(0))
  })
}
