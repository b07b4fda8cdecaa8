/** Drills about tokens and keys that others may hold. */
import { randomBytes } from 'node:crypto'
import type { AdminClient } from '@signet/api/client.ts'
import type { Receipt } from '@signet/api/schema.ts'
import type { Drill, Run } from './drill.ts'
import { type Answer, asClient } from './oauth.ts'
import { openScratch, type Scratch, type ScratchOptions } from './scratch.ts'

/** After an acknowledgment a service that hears the feed refuses within so long; it takes milliseconds, but machines differ. */
const REFUSED_WITHIN_MS = 5000
const FLEET_WITHIN_MS = 30_000

export const compromisedToken: Drill = {
  name: 'compromised-token',
  brief: 'An access token and a refresh token are in the wrong hands',
  does: [
    'signs somebody in, and calls a service with the access token',
    'takes the access token back by what it is, as from a leak report, and waits until the service refuses it',
    'presents a spent refresh token, as a thief would, and checks that the whole family is dead',
    'checks that the person can sign in again',
  ],
  async scratch(run, options) {
    await within(options, async (world) => {
      const person = await world.person()
      const tokens = await run.timed('somebody signs in', () => world.signIn(person))
      const access = tokens.body.access_token as string
      run.check('the service takes the token', (await world.call(access)) === 200)
      await run.timed('the token is taken back', () =>
        world.admin.call('revoke', { body: { target: { token: access }, reason: 'drill', keep_grants: false } }),
      )
      await run.until('the service refuses it', REFUSED_WITHIN_MS, async () => (await world.call(access)) === 401)

      const stolen = tokens.body.refresh_token as string
      let current = stolen
      for (let i = 0; i < 2; i++) current = (await world.refresh(current)).body.refresh_token ?? ''
      run.check('a thief with a spent refresh token gets nothing', (await world.refresh(stolen)).body.error === 'invalid_grant')
      run.check("nor does anybody with the family's newest", (await world.refresh(current)).body.error === 'invalid_grant')
      run.check('the person signs in again', (await world.signIn(person)).status === 200)
    })
  },
  named: {
    does: [
      'makes an API and a client of its own, and gets a token',
      'takes the token back, and checks that introspection says so',
      'waits until every validator that is there has applied it',
      'deletes the client and the API again',
    ],
    harm: undefined,
    async play(run, admin) {
      const uri = `urn:signet:drill:${randomBytes(8).toString('hex')}`
      await admin.call('putResource', {
        params: { uri },
        body: { name: 'Drill', scopes: [{ name: 'drill', description: 'Nothing' }] },
      })
      const client = await admin.call('createClient', {
        body: {
          name: 'Drill',
          platform: 'service',
          auth_method: 'client_secret_basic',
          grant_types: ['client_credentials'],
          scopes: ['drill'],
          resources: [uri],
          introspects: [uri],
        } as never,
      })
      try {
        const post = asClient(admin.server, { id: client.id, secret: client.client_secret as string })
        const tokens = await post('/token', { grant_type: 'client_credentials', resource: uri, scope: 'drill' })
        const access = tokens.body.access_token as string
        run.check('a client of the drill has a token', tokens.status === 200)
        const receipt = await run.timed('the token is taken back', () =>
          admin.call('revoke', { body: { target: { token: access }, reason: 'drill', keep_grants: false } }),
        )
        run.check('introspection says that it is dead', (await post('/introspect', { token: access })).body.active === false)
        await followed(run, admin, receipt)
      } finally {
        await admin.call('deleteClient', { params: { id: client.id } })
        await admin.call('deleteResource', { params: { uri } })
      }
    },
  },
}

export const compromisedKey: Drill = {
  name: 'compromised-key',
  brief: 'The signing key is stolen: whoever has it makes tokens',
  does: [
    'gets tokens, and calls a service with one',
    'declares the active signing key stolen',
    'waits until the service refuses what it signed',
    'checks that clients renew without anybody signing in again, and that the service takes what the new key signed',
  ],
  async scratch(run, options) {
    await within(options, async (world) => {
      const tokens = await world.signIn(await world.person())
      const access = tokens.body.access_token as string
      run.check('the service takes a token', (await world.call(access)) === 200)
      await run.timed('the key is declared stolen, a new one signs', () => stealKey(world.admin))
      await run.until('the service refuses what it signed', REFUSED_WITHIN_MS, async () => (await world.call(access)) === 401)
      const renewed = await world.refresh(tokens.body.refresh_token as string)
      run.check('the client renews without a sign-in', renewed.status === 200)
      const fresh = renewed.body.access_token as string
      await run.until(
        'the service takes what the new key signed',
        REFUSED_WITHIN_MS,
        async () => (await world.call(fresh)) === 200,
      )
    })
  },
  named: {
    does: ['declares the active signing key stolen', 'waits until every validator that is there has applied it'],
    harm: 'Every access token dies and every client renews at once; services that can reach the authority go on.',
    async play(run, admin) {
      await followed(run, admin, await run.timed('the active key is declared stolen, a new one signs', () => stealKey(admin)))
    },
  },
}

async function stealKey(admin: AdminClient): Promise<Receipt> {
  const { items } = await admin.call('listKeys')
  const active = items.find(({ purpose, state }) => purpose === 'token' && state === 'active')
  if (active === undefined) throw new Error('there is no active signing key')
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
  async scratch(run, options) {
    await within(options, async (world) => {
      const crowd: { person: Awaited<ReturnType<Scratch['person']>>; tokens: Answer }[] = []
      for (let i = 0; i < CROWD; i++) {
        const person = await world.person()
        crowd.push({ person, tokens: await world.signIn(person) })
      }
      const calls = () => Promise.all(crowd.map(({ tokens }) => world.call(tokens.body.access_token as string)))
      run.check(
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
    })
  },
  named: {
    does: ['takes back everything that was issued until now', 'waits until every validator that is there has applied it'],
    harm: 'Everybody is signed out, and every service has to get a new token.',
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

/** Every validator that is there says that it has applied it. */
async function followed(run: Run, admin: AdminClient, receipt: Receipt): Promise<void> {
  let applied = 0
  await run.until('every validator that is there has applied it', FLEET_WITHIN_MS, async () => {
    const found = await admin.call('showRevocation', { params: { seq: receipt.seq }, query: { epoch: receipt.epoch, limit: 1 } })
    applied = found.counts.applied
    return found.counts.lagging === 0
  })
  run.check(`${applied} validators are known to have applied it`, true)
}

async function within(options: ScratchOptions, play: (world: Scratch) => Promise<void>): Promise<void> {
  const world = await openScratch(options)
  try {
    await play(world)
  } finally {
    await world.close()
  }
}
