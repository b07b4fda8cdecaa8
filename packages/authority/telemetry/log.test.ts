import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { createLog } from './log.ts'

const logged = (write: (log: ReturnType<typeof createLog>) => void): string => {
  let text = ''
  write(
    createLog('debug', {
      write: (line: string) => {
        text += line
      },
    }),
  )
  return text
}

const JWT = 'eyJhbGciOiJFUzI1NiIsInR5cCI6ImF0K2p3dCJ9.eyJzdWIiOiJhbGljZSJ9.c2lnbmF0dXJlLXNpZ25hdHVyZQ'

describe('logs', () => {
  it('redact secrets by name, at the top and nested', () => {
    const text = logged((log) =>
      log.info(
        {
          password: 'hunter2hunter2',
          req: { headers: { authorization: 'Bearer abc', cookie: 'c=1' } },
          body: { client_secret: 'geheim' },
        },
        'x',
      ),
    )
    for (const secret of ['hunter2', 'abc', 'c=1', 'geheim']) assert(!text.includes(secret), secret)
    assert(text.includes('[secret]'))
  })

  it('mask anything shaped like a token, in messages and errors too', () => {
    const text = logged((log) => {
      log.info(`saw ${JWT} and sgr_AAAAAAAAAAAAAAAAAAAA`)
      log.error(
        { err: new Error(`failed for sgk_BBBBBBBBBBBBBBBBB`, { cause: new Error(`Authorization: Bearer ${'c'.repeat(20)}`) }) },
        'request failed',
      )
      log.warn({ url: 'postgres://admin:pa55word@db/signet' })
    })
    for (const secret of ['eyJhbGci', 'sgr_AAAA', 'sgk_BBBB', 'cccccc', 'pa55word']) assert(!text.includes(secret), secret)
    assert(text.includes('postgres://[secret]@db/signet'))
  })

  it('are one JSON object a line, with level, time and message', () => {
    const line = JSON.parse(logged((log) => log.warn({ reason: 'rotation_due' }, 'key ring'))) as Record<string, unknown>
    assert.equal(line.level, 'warn')
    assert.equal(line.message, 'key ring')
    assert.equal(line.reason, 'rotation_due')
    assert.ok(!Number.isNaN(Date.parse(line.time as string)))
  })
})
