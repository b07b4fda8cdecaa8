/** A node that was told to stop still answers what comes over connections that are open: a proxy in front may not know yet. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect } from 'node:net'
import { it } from 'node:test'
import { realSurroundings } from '@signet/authority/surroundings.ts'
import { startTestAuthority } from '@signet/testkit/authority.ts'
import { PATIENCE_MS } from '@signet/testkit/until.ts'

it('answers a request that comes over an open connection while it drains, and closes the connection after it', {
  timeout: PATIENCE_MS,
}, async () => {
  const authority = await startPatientAuthority()
  const socket = connect(Number(new URL(authority.url).port), 'localhost')
  await once(socket, 'connect')
  let text = ''
  socket.setEncoding('latin1').on('data', (chunk: string) => {
    text += chunk
  })
  // A request of which half is there, so that the connection is not idle.
  socket.write('GET /.well-known/oauth-authorization-server HTTP/1.1\r\nHost: localhost\r\n')
  await fetch(`${authority.url}/healthz`) // The half was read before this was answered.
  const closing = authority.close()
  await new Promise((resolve) => setImmediate(resolve))
  socket.write('\r\n')
  await once(socket, 'end')
  await closing
  assert.match(text, /^HTTP\/1\.1 200 /)
  assert.match(text, /^connection: close/im)
})

it('closes a connection whose last request was under way when it was told to stop, long before it would be cut', {
  timeout: PATIENCE_MS,
}, async () => {
  const authority = await startPatientAuthority()
  const socket = connect(Number(new URL(authority.url).port), 'localhost')
  await once(socket, 'connect')
  let text = ''
  socket.setEncoding('latin1').on('data', (chunk: string) => {
    text += chunk
  })
  const form = 'grant_type=nothing'
  const head = `POST /token HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: ${form.length}`
  socket.write(`${head}\r\n\r\n${form.slice(0, 5)}`)
  await fetch(`${authority.url}/healthz`) // The half was read before this was answered.
  const ended = once(socket, 'end')
  const closing = authority.close()
  await new Promise((resolve) => setImmediate(resolve))
  socket.write(form.slice(5))
  await Promise.all([ended, closing])
  assert.match(text, /^HTTP\/1\.1 4\d\d /)
})

/** What would cut a connection in the end never comes. */
function startPatientAuthority() {
  const real = realSurroundings()
  const after: typeof real.timers.after = (milliseconds, task) =>
    real.timers.after(milliseconds < 5000 ? milliseconds : 2 ** 30, task)
  return startTestAuthority({ surroundings: { ...real, timers: { ...real.timers, after } } })
}
