/** Drills about tokens and keys that others may hold. */
import { randomBytes } from 'node:crypto'
import type { AdminClient } from '@signet/api/client.ts'
import { ApiError } from '@signet/api/errors.ts'
import type { Receipt } from '@signet/api/schema.ts'
import { byTrouble, wholeReceipt } from '../commands/fleet.ts'
import { printable } from '../output/printable.ts'
import { EXIT, Trouble } from '../trouble.ts'
import type { Drill, Run } from './drill.ts'
import { type Answer, asClient, comingBack } from './oauth.ts'
import { openScratch, type Scratch } from './scratch.ts'

/** After an acknowledgment a service that hears the feed refuses in milliseconds, and the report says in how many; on a machine that stands still, later. */
export const REFUSED_WITHIN_MS = 20_000
const FLEET_WITHIN_MS = 60_000

/** How a drill at an authority in use ends. */
const EVERY_VALIDATOR = 'waits until every validator that reports says that it has applied it'

export const compromisedToken: Drill = {
  name: 'compromised-token',
  brief: 'An access token and a refresh token are in the wrong hands',
  does: [
    'signs somebody in, and calls a service with the access token',
    'takes the access token back by what it is, as from a leak report, and waits until the service refuses it',
    'presents a spent refresh token, as a thief would, and checks that the whole family is dead',
    'checks that the person can sign in again',
  ],
  async scratch(run, place) {
    const world = await openScratch(run, { ...place, nodes: 1 })
    const person = await world.person()
    const tokens = await run.timed('somebody signs in', () => world.signIn(person))
    const { access_token: access = '', refresh_token: stolen = '' } = tokens.body
    run.demand('the service takes the token', (await world.call(access)) === 200)
    await run.timed('the token is taken back', () =>
      world.admin.call('revoke', { body: { target: { token: access }, reason: 'drill', keep_grants: false } }),
    )
    await run.until('the service refuses it', REFUSED_WITHIN_MS, async () => (await world.call(access)) === 401)

    let current = stolen
    for (let i = 0; i < 2; i++) current = (await world.refresh(current)).body.refresh_token ?? ''
    run.check('a thief with a spent refresh token gets nothing', (await world.refresh(stolen)).body.error === 'invalid_grant')
    run.check("nor does anybody with the family's newest", (await world.refresh(current)).body.error === 'invalid_grant')
    run.check('the person signs in again', (await world.signIn(person)).status === 200)
  },
  named: {
    does: [
      'makes an API and a client of its own, and gets a token',
      'takes the token back, and checks that introspection says so',
      EVERY_VALIDATOR,
      'deletes the client and the API again',
    ],
    harm: undefined,
    scopes: ['signet:admin', 'signet:revoke', 'signet:read'],
    async play(run, admin) {
      const mark = randomBytes(8).toString('hex')
      const [uri, id] = [`urn:signet:drill:${mark}`, `drill-${mark}`]
      run.leaves({
        what: `the API ${uri}`,
        byHand: `signet resource delete ${uri}`,
        putAway: () => gone(admin.call('deleteResource', { params: { uri } })),
      })
      await admin.call('putResource', {
        params: { uri },
        body: { name: 'Drill', scopes: [{ name: 'drill', description: 'Nothing' }] },
      })
      run.leaves({
        what: `the client ${id}`,
        byHand: `signet client delete ${id}`,
        putAway: () => gone(admin.call('deleteClient', { params: { id } })),
      })
      const client = await admin.call('createClient', {
        body: {
          id,
          name: 'Drill',
          platform: 'service',
          auth_method: 'client_secret_basic',
          grant_types: ['client_credentials'],
          scopes: ['drill'],
          resources: [uri],
          introspects: [uri],
        } as never,
      })
      const post = comingBack(asClient(admin.server, { id, secret: client.client_secret as string }))
      const tokens = await post('/token', { grant_type: 'client_credentials', resource: uri, scope: 'drill' })
      const token = tokens.body.access_token ?? ''
      run.demand('a client of the drill has a token', tokens.status === 200)
      run.demand('introspection says that it lives', (await post('/introspect', { token })).body.active === true)
      const receipt = await run.timed('the token is taken back', () =>
        admin.call('revoke', { body: { target: { token }, reason: 'drill', keep_grants: false } }),
      )
      await run.until(
        'introspection says that it is dead',
        REFUSED_WITHIN_MS,
        async () => (await post('/introspect', { token })).body.active === false,
        LOOK_MS,
      )
      await followed(run, admin, receipt)
    },
  },
}

/** Deleted, now or before. */
const gone = (deleting: Promise<unknown>): Promise<unknown> =>
  deleting.catch((error) => {
    if (!(error instanceof ApiError) || error.kind !== 'not_found') throw error
  })

export const compromisedKey: Drill = {
  name: 'compromised-key',
  brief: 'The signing key is stolen: whoever has it makes tokens',
  does: [
    'gets tokens, and calls a service with one',
    'declares the active signing key stolen',
    'waits until the service refuses what it signed',
    'checks that clients renew without anybody signing in again, and that the service takes what the new key signed',
  ],
  async scratch(run, place) {
    const world = await openScratch(run, { ...place, nodes: 1 })
    const tokens = await world.signIn(await world.person())
    const access = tokens.body.access_token ?? ''
    run.demand('the service takes a token', (await world.call(access)) === 200)
    await run.timed('the key is declared stolen, a new one signs', () => stealKey(world.admin))
    await run.until('the service refuses what it signed', REFUSED_WITHIN_MS, async () => (await world.call(access)) === 401)
    const renewed = await world.refresh(tokens.body.refresh_token as string)
    run.check('the client renews without a sign-in', renewed.status === 200)
    const fresh = renewed.body.access_token ?? ''
    await run.until('the service takes what the new key signed', REFUSED_WITHIN_MS, async () => (await world.call(fresh)) === 200)
  },
  named: {
    does: ['declares the active signing key stolen', EVERY_VALIDATOR],
    harm: 'Every access token dies and every client renews at once; services that can reach the authority go on.',
    scopes: ['signet:keys', 'signet:read'],
    async play(run, admin) {
      await followed(run, admin, await run.timed('the active key is declared stolen, a new one signs', () => stealKey(admin)))
    },
  },
}

async function stealKey(admin: AdminClient): Promise<Receipt> {
  const { items } = await admin.call('listKeys')
  const active = items.find(({ purpose, state }) => purpose === 'token' && state === 'active')
  if (active === undefined)
    throw new Trouble({
      what: 'Could not declare the active signing key stolen',
      why: 'there is none',
      advice: '`signet keys list` says what there is.',
      exit: EXIT.refused,
      code: 'drill',
    })
  return admin.call('compromiseKey', { params: { id: active.id }, body: { reason: 'drill' } })
}

const CROWD = 5

export const massSignOut: Drill = {
  name: 'mass-sign-out',
  brief: 'Everybody has to go: every login and every token ends with one revocation',
  does: [
    `signs ${CROWD} people in, and calls a service as each of them`,
    'takes back everything that was issued until now',
    'waits until the service refuses everybody, and checks that no refresh token is worth anything',
    'checks that people sign in again, and that the service takes their new tokens',
  ],
  async scratch(run, place) {
    const world = await openScratch(run, { ...place, nodes: 1 })
    const crowd: { person: Awaited<ReturnType<Scratch['person']>>; tokens: Answer }[] = []
    for (let i = 0; i < CROWD; i++) {
      const person = await world.person()
      crowd.push({ person, tokens: await world.signIn(person) })
    }
    const calls = () => Promise.all(crowd.map(({ tokens }) => world.call(tokens.body.access_token as string)))
    run.demand(
      'the service takes everybody',
      (await calls()).every((status) => status === 200),
    )
    const receipt = await run.timed('everything is taken back', () => endEverything(world.admin))
    await run.until('the service refuses everybody', REFUSED_WITHIN_MS, async () =>
      (await calls()).every((status) => status === 401),
    )
    const refreshed = await Promise.all(crowd.map(({ tokens }) => world.refresh(tokens.body.refresh_token as string)))
    run.check(
      'no refresh token is worth anything',
      refreshed.every(({ body }) => body.error === 'invalid_grant'),
    )
    run.check('the cutoff lies past the acknowledgment', receipt.cutoff_ms > receipt.committed_at_ms)
    const [first] = crowd as [(typeof crowd)[number]]
    let again: Answer | undefined
    await run.until('people sign in again', REFUSED_WITHIN_MS, async () => {
      again = await world.signIn(first.person)
      return again.status === 200
    })
    const fresh = again?.body.access_token ?? ''
    await run.until('the service takes their new tokens', REFUSED_WITHIN_MS, async () => (await world.call(fresh)) === 200)
  },
  named: {
    does: ['takes back everything that was issued until now', EVERY_VALIDATOR],
    harm: 'Everybody is signed out, and every service has to get a new token.',
    scopes: ['signet:admin', 'signet:read'],
    async play(run, admin) {
      await followed(run, admin, await run.timed('everything is taken back', () => endEverything(admin)))
    },
  },
}

const endEverything = (admin: AdminClient): Promise<Receipt> =>
  admin.call('revoke', {
    body: { target: { kind: 'issuer', id: admin.issuer }, reason: 'drill', keep_grants: false },
    scope: 'signet:admin',
  })

const LOOK_MS = 50
const MAX_NAMES = 10

/**
 * Every validator that reports says that it has applied it. One that falls silent meanwhile has not; one that was gone before is said not to have been
 * checked: it may be that it was stopped, or that it is cut off and works on.
 */
async function followed(run: Run, admin: AdminClient, { seq, epoch }: Receipt): Promise<void> {
  let goneBefore: number | undefined
  let applied = 0
  const ok = await run.until(
    'every validator that reports has applied it',
    FLEET_WITHIN_MS,
    async () => {
      const { counts } = await admin.call('showRevocation', { params: { seq }, query: { epoch, limit: 1 } })
      goneBefore ??= counts.gone
      applied = counts.applied
      return counts.lagging === 0 && counts.gone <= goneBefore && applied > 0
    },
    LOOK_MS,
  )
  const late =
    ok && goneBefore === 0 ? [] : (await wholeReceipt(admin, seq, epoch)).items.filter(({ state }) => state !== 'applied')
  const names = late
    .sort(byTrouble)
    .slice(0, MAX_NAMES)
    .map(({ id }) => printable(id))
    .join(', ')
  const all = `${names}${late.length > MAX_NAMES ? ` and ${late.length - MAX_NAMES} more` : ''}`
  run.check(`${counted(applied)} said so${ok || late.length === 0 ? '' : `, and not: ${all}`}`, ok)
  if (ok && late.length > 0) run.notChecked(`${counted(late.length)} that had not been heard of for a minute: ${all}`)
}

const counted = (count: number): string => `${count} ${count === 1 ? 'validator' : 'validators'}`
