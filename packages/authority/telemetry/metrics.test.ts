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
      busLinked: () => true,
      feedReaders: nothing,
      stalenessMs: nothing,
      registryEntries: nothing,
      sequence: nothing,
      storeQueue: async () => 0,
      keyAgeSeconds: nothing,
      batches: async () => ({}),
    })
    const there = (await metrics.registry.getMetricsAsJSON()).map(({ name }) => name).sort()
    const text = readFileSync(new URL('../../../docs/metrics.md', import.meta.url), 'utf8')
    const explained = [...text.matchAll(/^\| `(signet_\w+)/gm)].map((match) => match[1]).sort()
    assert.deepEqual(explained, there)
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
