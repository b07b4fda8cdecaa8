import assert from 'node:assert/strict'
import { EventEmitter } from 'node:events'
import { Writable } from 'node:stream'
import { test } from 'node:test'
import { stripVTControlCharacters } from 'node:util'
import { ApiError } from '@signet/api/errors.ts'
import { createCli } from './cli.ts'
import { patiently } from './patience.ts'
import { Trouble, troubleOf } from './trouble.ts'

const COLUMNS = 40

/** Somebody at a terminal. */
function world() {
  const written: string[] = []
  const write = (chunk: Buffer, _encoding: string, done: () => void) => {
    written.push(String(chunk))
    done()
  }
  const stderr = Object.assign(new Writable({ write }), { isTTY: true, columns: COLUMNS })
  const own = Object.assign(new EventEmitter(), { stdin: {}, stdout: {}, stderr, env: {} })
  return { own, written, cli: createCli(own as unknown as NodeJS.Process, { json: false }) }
}

const away = () =>
  new ApiError('unreachable', { what: 'Could not ask', why: 'nothing listens there', advice: 'Start the authority.' })
const GIVEN_UP = { what: 'Could not watch it to its end', advice: 'Watch it again.' }

test('whoever presses Ctrl-C does not wait for the end of a pause, nor of another', { timeout: 10_000 }, async () => {
  const { own, cli } = world()
  const pause = cli.pause(3_600_000)
  own.emit('SIGINT')
  await pause
  await cli.pause(3_600_000)
  assert.ok(cli.interrupted.aborted)
  assert.equal(own.listenerCount('SIGINT'), 0, 'a second Ctrl-C ends the process')
})

test('whoever watches asks on, says so in one row of the terminal, and clears it', async () => {
  const { cli, written } = world()
  let asked = 0
  const answer = await patiently(cli, async () => (++asked < 2 ? Promise.reject(away()) : 'there'), GIVEN_UP)
  assert.deepEqual([answer, asked], ['there', 2])
  const [told = ''] = written
  assert.match(told, /^\r\u001b\[2K/)
  assert.ok(stripVTControlCharacters(told).trimStart().length < COLUMNS, 'a row that is broken in two is not cleared')
  cli.complain(troubleOf(away()))
  assert.deepEqual(written.slice(1, 2), ['\r\u001b[2K'], 'an error does not begin behind it')
})

test('whoever watched in vain is told of what was watched, not of the node; what is no outage is told at once', async () => {
  const { own, cli } = world()
  cli.interrupted // From here on Ctrl-C is ours.
  own.emit('SIGINT')
  for (const patienceMs of [0, undefined]) {
    await assert.rejects(
      patiently(cli, () => Promise.reject(away()), GIVEN_UP, patienceMs),
      (error) =>
        error instanceof Trouble &&
        error.message === GIVEN_UP.what &&
        error.why === 'nothing listens there' &&
        error.advice === GIVEN_UP.advice &&
        error.exit === 3,
    )
  }
  const refused = new ApiError('not_found', { what: 'Could not', why: 'there is no such batch', advice: 'Look.' })
  await assert.rejects(
    patiently(world().cli, () => Promise.reject(refused), GIVEN_UP),
    (error) => error === refused,
  )
})
