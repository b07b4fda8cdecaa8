/**
 * The steady life of a cluster: people whose tabs refresh, services with credentials of their own, thieves, and operators who take things back
 * and look after the place. Bounded: each loop has one request under way, and waits between two.
 */
import { randomBytes } from 'node:crypto'
import { REDIRECT } from '../packages/cli/drill/oauth.ts'
import type { Cluster } from './cluster.ts'
import type { Ids } from './facts.ts'
import { insist } from './insist.ts'
import { caretaker, operator } from './operators.ts'
import { family, service, stockUp, thief } from './people.ts'
import { type Client, createRequests, type Holding, type Person, type Requests } from './requests.ts'
import { newClient, type Scene } from './scene.ts'

export interface Workload {
  readonly requests: Requests
  readonly shop: Client
  readonly machine: Client
  /** Access tokens that were given to validators, by name. */
  readonly tokens: ReadonlyMap<string, { readonly token: string; readonly ids: Ids }>
  /** Families that were taken back, for a last try. */
  readonly ended: readonly Holding[]
  /** What ended a part of it: a mistake of the harness. */
  readonly broke: unknown
  stop(): Promise<void>
}

const FAMILIES = 4
const DOOMED_PEOPLE = 3

export async function startWorkload(cluster: Cluster): Promise<Workload> {
  const { admin, issuer, surroundings } = cluster
  const requests = createRequests(issuer, surroundings.recorder)
  const shop = await insist(() =>
    newClient(cluster, {
      platform: 'web',
      grant_types: ['authorization_code', 'refresh_token', 'client_credentials'],
      redirect_uris: [REDIRECT],
      first_party: true,
    }),
  )
  const machine = await insist(() => newClient(cluster, { platform: 'service', grant_types: ['client_credentials'] }))
  const person = () =>
    insist(async (): Promise<Person> => {
      const username = `p${randomBytes(6).toString('hex')}`
      const password = randomBytes(15).toString('base64url')
      const { id } = await admin.call('createSubject', { body: { username, password } })
      return { subject: id, username, password }
    })
  const scene: Scene = {
    cluster,
    requests,
    shop,
    tokens: new Map(),
    ended: [],
    stock: { fresh: [], shared: [] },
    stopping: false,
  }
  const people = await Promise.all(Array.from({ length: FAMILIES + DOOMED_PEOPLE }, person))
  const doomed = people.splice(FAMILIES)
  let broke: unknown
  const loops = [
    ...people.map((one) => family(scene, one)),
    ...Array.from({ length: 2 }, () => service(scene, machine)),
    stockUp(scene, doomed.slice(1), 'fresh'),
    stockUp(scene, doomed.slice(0, 1), 'shared'),
    ...Array.from({ length: 2 }, () => operator(scene)),
    thief(scene),
    caretaker(scene),
  ].map((loop) =>
    loop.catch((error: unknown) => {
      broke ??= error
    }),
  )
  return {
    requests,
    shop,
    machine,
    tokens: scene.tokens,
    ended: scene.ended,
    get broke() {
      return broke
    },
    async stop() {
      scene.stopping = true
      await Promise.all(loops)
    },
  }
}
