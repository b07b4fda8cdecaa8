import assert from 'node:assert/strict'
import { createServer, type RequestListener } from 'node:http'
import type { AddressInfo } from 'node:net'
import { test } from 'node:test'
import { openConnection } from './connection.ts'
import { startLoadGenerator } from './load.ts'
import { basic, formHead, formPost } from './request.ts'

async function withServer(listener: RequestListener, work: (port: number) => Promise<void>): Promise<void> {
  const server = createServer(listener)
  await new Promise<void>((resolve) => server.listen(0, 'localhost', resolve))
  try {
    await work((server.address() as AddressInfo).port)
  } finally {
    server.closeAllConnections()
    server.close()
  }
}

async function bodyOf(request: AsyncIterable<Buffer>): Promise<string> {
  let text = ''
  for await (const chunk of request) text += chunk
  return text
}

test('a connection serves one request after the other, whatever pieces the answers come in', () =>
  withServer(
    async (request, response) => {
      const text = await bodyOf(request)
      response.writeHead(201, { 'content-length': text.length })
      for (const character of text) {
        response.write(character)
        await new Promise((resolve) => setImmediate(resolve))
      }
      response.end()
    },
    async (port) => {
      const connection = await openConnection(port)
      const endpoint = { port, path: '/x' }
      for (const a of ['1', 'two']) {
        const answer = await connection.exchange(formPost(endpoint, basic({ id: 'i', secret: 's' }), { a }))
        assert.deepEqual(answer, { status: 201, body: `a=${a}` })
      }
      connection.close()
    },
  ))

test('each connection goes on with the refresh token it was given last', () => {
  const seen: string[] = []
  return withServer(
    async (request, response) => {
      const token = new URLSearchParams(await bodyOf(request)).get('refresh_token') as string
      seen.push(token)
      const [name, generation] = token.split('+') as [string, string]
      const body = JSON.stringify({ refresh_token: `${name}+${Number(generation) + 1}` })
      response.writeHead(200, { 'content-length': body.length }).end(body)
    },
    async (port) => {
      const generator = await startLoadGenerator()
      const plan = {
        kind: 'refresh',
        head: formHead({ port, path: '/token' }, 'x'),
        form: 'refresh_token=',
        tokens: ['a+0', 'b+0'],
      } as const
      const report = await generator.ask('run', { port, connections: 2, milliseconds: 100, plan, expect: 'refresh_token' })
      await generator.stop()
      assert.equal(new Set(seen).size, seen.length)
      assert.equal(report.requests, seen.length)
      assert.ok(report.tokens.every((token) => !seen.includes(token)))
    },
  )
})

test('an answer that is not what it should be stops the run and is shown', () =>
  withServer(
    (_, response) => void response.writeHead(200, { 'content-length': 16 }).end('{"active":false}'),
    async (port) => {
      const generator = await startLoadGenerator()
      const requests = [formPost({ port, path: '/introspect' }, 'x', { a: '1' })]
      const plan = { kind: 'cycle', requests } as const
      const run = generator.ask('run', { port, connections: 1, milliseconds: 1000, plan, expect: '"active":true' })
      await assert.rejects(run, /answered 200: {"active":false}/)
      await generator.stop()
    },
  ))

test('an answer that is not 200 stops the run and is shown', () =>
  withServer(
    (_, response) => void response.writeHead(400, { 'content-length': 2 }).end('no'),
    async (port) => {
      const generator = await startLoadGenerator()
      const requests = [formPost({ port, path: '/token' }, 'x', { a: '1' })]
      const run = generator.ask('run', {
        port,
        connections: 2,
        milliseconds: 1000,
        plan: { kind: 'cycle', requests },
        expect: '',
      })
      await assert.rejects(run, /answered 400: no/)
      await generator.stop()
    },
  ))
