/** Whoever gets hold of the store, its write-ahead log, a backup, the audit record or the authority's output finds nothing that opens a door. */
import assert from 'node:assert/strict'
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { API, Browser, createWorld, grant } from './world.ts'

describe('what lies on disk', () => {
  it('holds none of the tokens, keys, codes, secrets and passwords that were handed out', async () => {
    const world = await createWorld()
    try {
      await world.resource()
      const shop = await world.client()
      const person = await world.person()
      const secrets: string[] = [shop.client_secret as string, person.password, world.setup.split('/').at(-1) as string]
      const browser = new Browser()
      for (let i = 0; i < 5; i++) {
        const tokens = await grant(world, browser, shop, person)
        secrets.push(tokens.access_token, tokens.refresh_token as string)
        const next = await world.token(shop, { grant_type: 'refresh_token', refresh_token: tokens.refresh_token as string })
        secrets.push(next.body.access_token, next.body.refresh_token as string)
      }
      secrets.push(...browser.cookieValues())
      const key = await world.admin.call('createApiKey', {
        body: { name: 'robot', client: shop.id, resource: API, scopes: ['notes:read'] },
      } as never)
      secrets.push((key as unknown as { api_key: string }).api_key)
      for await (const _ of world.admin.stream('startBackup', { body: { name: 'story' } })) {
        // Until it is written.
      }

      const files = (await readdir(world.state, { recursive: true, withFileTypes: true })).filter((file) => file.isFile())
      assert(files.filter((file) => file.name.endsWith('.db')).length >= 2, 'the store and its backup')
      for (const file of files) {
        const bytes = await readFile(join(file.parentPath, file.name))
        for (const secret of secrets) {
          assert.equal(bytes.includes(secret), false, `${file.name} holds ${secret.slice(0, 6)}…`)
          // Nor the bytes themselves: what an opaque token spells in base64url.
          const raw = Buffer.from(secret.replace(/^sg[a-z]_/, ''), 'base64url')
          if (secret.startsWith('sg'))
            assert.equal(bytes.includes(raw.subarray(-36, -4)), false, `${file.name} holds the bytes of ${secret.slice(0, 4)}…`)
        }
      }
    } finally {
      await world.close()
    }
  })
})
