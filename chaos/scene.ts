/** What those who live in a cluster share: the cluster, who asks it, and what is in circulation. */
import { API, type Cluster } from './cluster.ts'
import type { Ids } from './facts.ts'
import type { Client, Holding, Requests } from './requests.ts'

/** An access token is watched so long after the next one came, or after its revocation. */
const WATCH_MS = 4000

export interface Scene {
  readonly cluster: Cluster
  readonly requests: Requests
  readonly shop: Client
  readonly tokens: Map<string, { token: string; ids: Ids }>
  readonly ended: Holding[]
  readonly stock: { fresh: Holding[]; shared: Holding[] }
  stopping: boolean
}

export const pause = (least: number, most = least) =>
  new Promise<void>((resolve) => setTimeout(resolve, least + Math.random() * (most - least)))

export async function newClient({ admin }: Cluster, body: object): Promise<Client> {
  const made = await admin.call('createClient', {
    body: {
      name: 'A client',
      auth_method: 'client_secret_basic',
      scopes: ['notes:read', 'notes:write'],
      resources: [API],
      ...body,
    } as never,
  })
  return { id: made.id, secret: made.client_secret as string }
}

/** Validators judge it from now on, until it was replaced and is of no more interest. */
export function show({ cluster, tokens }: Scene, { accessToken, ids }: { accessToken?: string; ids?: Ids }): string | undefined {
  if (accessToken === undefined || ids?.token === undefined) return undefined
  tokens.set(ids.token, { token: accessToken, ids })
  cluster.watch({ name: ids.token, token: accessToken })
  return ids.token
}

/** Nobody judges it any more, after a while. */
export function hideLater({ cluster }: Scene, name: string | undefined): void {
  if (name !== undefined) setTimeout(() => cluster.forget(name), WATCH_MS).unref()
}

/** Of one shelf; the fresh ones for what would end others of the same session too. */
export async function take(scene: Scene, shelf: 'fresh' | 'shared'): Promise<Holding | undefined> {
  while (!scene.stopping) {
    const holding = scene.stock[shelf].shift()
    if (holding !== undefined) return holding
    await pause(20)
  }
  return undefined
}
