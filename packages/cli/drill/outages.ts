/** Drills about parts that are gone for a while, and about a store that goes back. */
import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import type { AdminClient } from '@signet/api/client.ts'
import { bareEnvironment } from './bare-environment.ts'
import type { Drill, Run } from './drill.ts'
import type { Answer } from './oauth.ts'
import { openScratch, type Scratch } from './scratch.ts'
import { REFUSED_WITHIN_MS } from './tokens.ts'

const BACK_WITHIN_MS = 30_000

export const busLoss: Drill = {
  name: 'bus-loss',
  brief: 'The bus is gone: nothing may be lost, and nobody may see an error',
  does: [
    'starts two nodes on your PostgreSQL and NATS, and a service that follows one of them',
    'takes a token back at the other node, and waits until the service refuses it',
    'cuts both nodes off from NATS and does the same again, three times',
    'lets them back and does the same again; all the while tokens are issued, and no request may fail',
  ],
  needs: { database: 'an empty PostgreSQL database for it', bus: 'a NATS server' },
  async scratch(run, place) {
    const world = await openScratch(run, { ...place, nodes: 2, gated: 'bus' })
    await linked(run, world, true, 'both nodes hear each other by NATS')
    const issuing = steady(world)
    run.leaves({ what: 'the requests', putAway: issuing.stop })
    await takenBack(run, world, 'with the bus')
    world.gate.cut()
    await linked(run, world, false, 'both nodes notice that it is gone')
    for (const time of ['first', 'second', 'third']) {
      await takenBack(run, world, `without the bus, ${time} time`)
    }
    world.gate.heal()
    await linked(run, world, true, 'both nodes are back on it')
    await takenBack(run, world, 'when the bus is back')
    const { asked, failed, late } = await issuing.stop()
    const again = late === 0 ? '' : `, ${late} had to be repeated`
    run.check(`${asked} tokens were issued all the while, ${failed} requests failed${again}`, failed === 0 && asked > 0)
  },
}

/** What both nodes say of the bus. Without asking, polling would pass for it. */
async function linked(run: Run, { admin, otherAdmin }: Scratch, wanted: boolean, what: string): Promise<void> {
  const isUp = async (node: AdminClient) =>
    (await node.call('showStatus')).checks.some(({ name, state }) => name === 'bus' && state === 'ok')
  await run.until(what, BACK_WITHIN_MS, async () => (await isUp(admin)) === wanted && (await isUp(otherAdmin)) === wanted)
}

/** At the node that the service does not follow. */
async function takenBack(run: Run, world: Scratch, when: string): Promise<void> {
  const token = (await world.credentials()).body.access_token ?? ''
  run.demand(`the service takes a token, ${when}`, (await world.call(token)) === 200)
  await run.timed(`the other node takes it back, ${when}`, () =>
    world.otherAdmin.call('revoke', { body: { target: { token }, reason: 'drill', keep_grants: false } }),
  )
  // Without the bus the log is polled.
  await run.until(`the service refuses it, ${when}`, REFUSED_WITHIN_MS, async () => (await world.call(token)) === 401)
}

/** Somebody who gets a token ten times a second. */
function steady(world: Scratch) {
  let stopping = false
  let asked = 0
  let failed = 0
  let late = 0
  const loop = (async () => {
    while (!stopping) {
      asked++
      if ((await world.credentials(() => late++)).status !== 200) failed++
      await new Promise((resolve) => setTimeout(resolve, 100))
    }
  })()
  return {
    async stop() {
      stopping = true
      await loop
      return { asked, failed, late }
    },
  }
}

export const storeFailover: Drill = {
  name: 'store-failover',
  brief: 'The store is gone, as during a failover: what goes on, what waits, and that nobody is told anything final',
  does: [
    'starts a node on your PostgreSQL, and a service; signs somebody in',
    'cuts the node off from PostgreSQL for three seconds',
    'checks meanwhile that the service still takes tokens, and that refreshing is answered by "try again", never by a final no',
    'lets it back, and checks that the same refresh token works and that revoking works',
  ],
  needs: { database: 'an empty PostgreSQL database for it' },
  async scratch(run, place) {
    const world = await openScratch(run, { ...place, nodes: 1, gated: 'database' })
    const tokens = await world.signIn(await world.person())
    const { access_token: access = '', refresh_token: refreshToken = '' } = tokens.body
    run.demand('the service takes the token', (await world.call(access)) === 200)
    run.doing('without the store for three seconds')
    world.gate.cut()
    const until = performance.now() + OUTAGE_MS
    const answers: Answer[] = []
    const calls: number[] = []
    while (performance.now() < until) {
      answers.push(await world.refresh(refreshToken, 'once'))
      calls.push(await world.call(access))
      await new Promise((resolve) => setTimeout(resolve, 100))
    }
    const notNow = answers.filter(({ status, retryAfter }) => status === 503 && retryAfter)
    run.check(`${answers.length} refreshes without the store: each was told to try again`, notNow.length === answers.length)
    run.check(
      `the service went on taking the token, ${calls.length} times`,
      calls.every((status) => status === 200),
    )
    world.gate.heal()
    await run.until(
      'the same refresh token works again',
      BACK_WITHIN_MS,
      async () => (await world.refresh(refreshToken)).status === 200,
    )
    await run.timed('the token is taken back', () =>
      world.admin.call('revoke', { body: { target: { token: access }, reason: 'drill', keep_grants: false } }),
    )
    await run.until('the service refuses it', REFUSED_WITHIN_MS, async () => (await world.call(access)) === 401)
  },
}

const OUTAGE_MS = 3000

export const restoreWithoutResurrection: Drill = {
  name: 'restore-without-resurrection',
  brief: "Yesterday's backup is put back: nothing that was revoked since may come back to life",
  does: [
    'signs two people in, makes a backup, and takes the login of one of them back',
    'stops the authority, puts the backup in its place, starts it again',
    'checks that no token of before is worth anything, that of the other person neither',
    'checks that both sign in again, that the service takes their new tokens, and that the audit record verifies',
  ],
  sqliteOnly: 'it practises on SQLite: PostgreSQL is restored with its own tools',
  async scratch(run) {
    const world = await openScratch(run, { nodes: 1 })
    const people = [await world.person(), await world.person()]
    const before = await Promise.all(people.map((person) => world.signIn(person)))
    run.demand(
      'both are signed in',
      before.every(({ status }) => status === 200),
    )
    await run.timed('the backup is made', async () => {
      for await (const _ of world.admin.stream('startBackup', { body: { name: 'drill' } })) {
        // Until it is written.
      }
    })
    const [revoked] = before as [Answer]
    await world.admin.call('revoke', {
      body: { target: { token: revoked.body.refresh_token as string }, reason: 'drill', keep_grants: false },
    })
    await world.stop()
    await run.timed('the backup is put back', () => {
      const authority = fileURLToPath(new URL('../../authority/main.ts', import.meta.url))
      const backup = join(world.state, 'backups', 'drill.db')
      const args = [authority, 'restore', backup, '--state', world.state, '--issuer', world.issuer]
      return promisify(execFile)(process.execPath, args, { env: bareEnvironment() })
    })
    await run.timed('the authority starts', () => world.start())
    const refreshed = await Promise.all(before.map(({ body }) => world.refresh(body.refresh_token as string)))
    run.check(
      'no refresh token of before is worth anything',
      refreshed.every(({ body }) => body.error === 'invalid_grant'),
    )
    const access = before.map(({ body }) => body.access_token as string)
    await run.until('the service refuses every token of before', FOLLOWED_WITHIN_MS, async () =>
      (await Promise.all(access.map(world.call))).every((status) => status === 401),
    )
    for (const person of people) {
      const again = await world.signIn(person)
      run.check('somebody signs in again', again.status === 200)
      const fresh = again.body.access_token ?? ''
      await run.until('the service takes the new token', FOLLOWED_WITHIN_MS, async () => (await world.call(fresh)) === 200)
    }
    let last: { kind?: string; sound?: boolean } = {}
    for await (const line of world.admin.stream('verifyAudit')) last = line as typeof last
    run.check('the audit record verifies', last.sound === true)
  },
}

/** A validator asks for new keys of the feed at most every ten seconds. */
const FOLLOWED_WITHIN_MS = 20_000
