/** Alert rules speak of metrics that exist, lead to pages that exist, and those to drills that exist. With promtool (SIGNET_PROMTOOL) they are tried, too. */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { createMetrics } from '@signet/authority/telemetry/metrics.ts'
import { RELAY_METRICS } from '@signet/gateway/metrics.ts'
import { DRILLS } from '../packages/cli/drill/drills.ts'

const root = join(import.meta.dirname, '..')
const folder = join(root, 'ops/alerts')
const rules = readFileSync(join(folder, 'signet.rules.yaml'), 'utf8')
const runbooks = join(root, 'docs/runbooks')
const pages = readdirSync(runbooks).filter((name) => name !== 'README.md')

describe('alert rules', () => {
  it('speak only of metrics that a node or a relay serves', async () => {
    const metrics = createMetrics()
    metrics.bind({
      regions: () => [],
      taskAges: () => new Map(),
      busLinked: () => true,
      feedReaders: () => 0,
      stalenessMs: () => 0,
      registryEntries: () => 0,
      sequence: () => 0,
      storeQueue: async () => 0,
      keyAgeSeconds: () => 0,
      batches: async () => ({}),
      checks: async () => [],
      clockOffsetMs: () => 0,
    })
    const served = new Map((await metrics.registry.getMetricsAsJSON()).map(({ name, type }) => [name, String(type)]))
    for (const [name, type] of RELAY_METRICS) served.set(name, type)
    const expressions = [...rules.matchAll(/^ +expr: (.*)$/gm)].map(([, text]) => text as string)
    const named = expressions.flatMap((text) => text.match(/\bsignet_\w+/g) ?? [])
    assert.ok(named.length > 10)
    assert.ok(named.includes('signet_region_age_seconds'), 'nobody hears of a region that is cut off')
    assert.ok(named.includes('signet_relay_staleness_seconds'), 'nobody hears of a relay that is cut off')
    for (const name of named) {
      const base = name.replace(/_(bucket|count|sum)$/, '')
      assert.ok(served.has(name) || (served.has(base) && served.get(base) === 'histogram'), `nobody serves ${name}`)
    }
  })

  it('each lead to a runbook, and each runbook is led to', () => {
    const alerts = [...rules.matchAll(/^ +- alert: (\w+)$/gm)].map(([, name]) => name as string)
    const led = [...rules.matchAll(/^ +runbook: (\S+)$/gm)].map(([, path]) => path as string)
    assert.equal(led.length, alerts.length)
    for (const path of led) assert.ok(existsSync(join(root, path)), `${path} is not there`)
    assert.deepEqual([...new Set(led)].sort(), pages.map((name) => `docs/runbooks/${name}`).sort())
    const text = pages.map((name) => readFileSync(join(runbooks, name), 'utf8')).join('\n')
    for (const alert of alerts) assert.ok(text.includes(`\`${alert}\``), `no runbook names ${alert}`)
  })

  it('have runbooks that name drills which exist', () => {
    for (const name of pages) {
      const text = readFileSync(join(runbooks, name), 'utf8')
      const drills = [...text.matchAll(/signet drill run ([\w-]+)/g)].map(([, drill]) => drill)
      assert.ok(drills.length > 0 || /no drill/i.test(text), `${name} names no drill, and does not say why`)
      for (const drill of drills)
        assert.ok(
          DRILLS.some((one) => one.name === drill),
          `${name}: there is no drill ${drill}`,
        )
    }
  })

  const promtool = process.env.SIGNET_PROMTOOL
  it('are what Prometheus takes, and fire when they should', { skip: promtool ? false : 'promtool is not installed' }, () => {
    execFileSync(promtool as string, ['check', 'rules', 'signet.rules.yaml'], { cwd: folder, encoding: 'utf8' })
    execFileSync(promtool as string, ['test', 'rules', 'signet.rules.test.yaml'], { cwd: folder, encoding: 'utf8' })
  })
})
