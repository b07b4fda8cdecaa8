import assert from 'node:assert/strict'
import { EventEmitter } from 'node:events'
import { test } from 'node:test'
import { createCli } from './cli.ts'

test('whoever presses Ctrl-C does not wait for the end of a pause, nor of another', { timeout: 10_000 }, async () => {
  const own = Object.assign(new EventEmitter(), { stdin: {}, stdout: {}, stderr: {}, env: {} })
  const cli = createCli(own as unknown as NodeJS.Process, { json: false })
  const pause = cli.pause(3_600_000)
  own.emit('SIGINT')
  await pause
  await cli.pause(3_600_000)
  assert.ok(cli.interrupted.aborted)
  assert.equal(own.listenerCount('SIGINT'), 0, 'a second Ctrl-C ends the process')
})
