import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { describe, it } from 'node:test'
import { createMetrics } from './metrics.ts'

const nothing = () => 0

describe('metrics', () => {
  it('are all explained in docs/metrics.md, and nothing else is', async () => {
    const metrics = createMetrics()
    metrics.bind({
      regions: () => [],
      taskAges: () => new Map([['purge', 5000]]),
      busLinked: () => true,
      feedReaders: nothing,
      stalenessMs: nothing,
      registryEntries: nothing,
      sequence: nothing,
      storeQueue: async () => 0,
      keyAgeSeconds: nothing,
      batches: async () => ({}),
      checks: async () => [],
      clockOffsetMs: nothing,
    })
    const there = (await metrics.registry.getMetricsAsJSON()).map(({ name }) => name).sort()
    const text = readFileSync(new URL('../../../docs/metrics.md', import.meta.url), 'utf8')
    const explained = [...text.matchAll(/^\| `(signet_\w+)/gm)].map((match) => match[1]).sort()
    assert.deepEqual(explained, there)
  })

  it('hide no other when one cannot be read: a store that is gone must not blind whoever is on call', async () => {
    const metrics = createMetrics()
    metrics.bind({
      regions: () => [],
      taskAges: () => new Map([['purge', 5000]]),
      busLinked: () => true,
      feedReaders: () => 7,
      stalenessMs: nothing,
      registryEntries: nothing,
      sequence: nothing,
      storeQueue: () => Promise.reject(new Error('the store is gone')),
      keyAgeSeconds: nothing,
      batches: () => new Promise(() => {}),
      checks: async () => [
        { name: 'store', state: 'failed' },
        { name: 'feed', state: 'ok' },
      ],
      clockOffsetMs: () => undefined,
    })
    const text = await metrics.registry.metrics()
    assert.match(text, /^signet_feed_readers 7$/m)
    assert.match(text, /^signet_store_queue Nan$/im)
    assert.match(text, /^signet_task_age_seconds\{task="purge"\} 5$/m)
    assert.match(text, /^signet_check_failed\{check="store"\} 1$/m)
    assert.match(text, /^signet_check_failed\{check="feed"\} 0$/m)
    assert.match(text, /^signet_clock_offset_seconds Nan$/im)
  })

  it('count what happened', async () => {
    const metrics = createMetrics()
    metrics.refreshed('rotated')
    metrics.refused('token', 'family_revoked')
    metrics.issued('client_credentials', 0.002)
    const text = await metrics.registry.metrics()
    assert.match(text, /signet_refresh_total\{outcome="rotated"\} 1/)
    assert.match(text, /signet_refusals_total\{endpoint="token",reason="family_revoked"\} 1/)
    assert.match(text, /signet_issuance_seconds_count\{grant="client_credentials"\} 1/)
  })
})
