/** Makes the sample known to the authority: its API as a resource, its page and its validator as clients. */
import { existsSync } from 'node:fs'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type AdminClient, createAdminClient } from '@signet/api/client.ts'
import type { Credentials } from '@signet/api/credentials.ts'
import { ApiError } from '@signet/api/errors.ts'
import type { Call } from '@signet/api/schema.ts'

/** Registers once; a state directory that already holds the sample's settings for these addresses is left alone. Returns the settings' path. */
export async function registerSample({
  state,
  issuer,
  sampleUrl,
}: {
  state: string
  issuer: string
  sampleUrl: string
}): Promise<string> {
  const file = join(state, 'sample.json')
  if (existsSync(file)) {
    const known = JSON.parse(await readFile(file, 'utf8')) as { issuer: string; url: string }
    if (known.issuer === issuer && known.url === sampleUrl) return file
  }
  const credentials = JSON.parse(await readFile(join(state, 'cli.json'), 'utf8')) as Credentials
  const admin = createAdminClient({ credentials, server: issuer })
  const resource = `${sampleUrl}/api`
  await admin.call('putResource', {
    params: { uri: resource },
    body: {
      name: 'Sample notes',
      scopes: [
        { name: 'notes:read', description: 'Read your notes' },
        { name: 'notes:write', description: 'Add to your notes' },
      ],
    },
  })
  const app = await create(admin, {
    id: 'sample-app',
    name: 'Sample app',
    platform: 'web',
    auth_method: 'client_secret_basic',
    grant_types: ['authorization_code', 'refresh_token'],
    redirect_uris: [`${sampleUrl}/callback`],
    post_logout_redirect_uris: [`${sampleUrl}/`],
    scopes: ['notes:read', 'notes:write'],
    resources: [resource],
  })
  const feed = await create(admin, {
    id: 'sample-service',
    name: 'Sample service',
    platform: 'service',
    auth_method: 'client_secret_basic',
    grant_types: ['client_credentials'],
    scopes: ['signet:feed'],
    resources: [issuer],
    introspects: [resource],
  })
  await writeFile(file, `${JSON.stringify({ issuer, url: sampleUrl, resource, app, feed }, null, 2)}\n`, { mode: 0o600 })
  return file
}

type NewClient = Call<'createClient'>['body']

async function create(admin: AdminClient, body: NewClient): Promise<{ clientId: string; clientSecret: string }> {
  try {
    const client = await admin.call('createClient', { body })
    return { clientId: client.id, clientSecret: client.client_secret as string }
  } catch (error) {
    // There from an earlier start at other addresses, or one that was interrupted: its secret was shown then and is gone.
    if (!(error instanceof ApiError) || error.status !== 409) throw error
    await admin.call('deleteClient', { params: { id: body.id as string } })
    const client = await admin.call('createClient', { body })
    return { clientId: client.id, clientSecret: client.client_secret as string }
  }
}
