/** How this node is, and the policy in force. */
import type { PolicySettings } from '../../policy/settings.ts'
import { isReady, patient } from '../health.ts'
import type { AdminParts, Some } from './parts.ts'

type Parts = Pick<
  AdminParts,
  | 'store'
  | 'keys'
  | 'registry'
  | 'feed'
  | 'checks'
  | 'settings'
  | 'policyVersion'
  | 'issuer'
  | 'clock'
  | 'version'
  | 'startedAtMs'
>

export function statusHandlers(parts: Parts): Some<'showStatus' | 'showPolicy'> {
  const { store, keys, registry, feed, clock } = parts
  return {
    async showStatus() {
      const askedMs = clock.now()
      const [storeMs, health, head, checks, [checkpoint]] = await Promise.all([
        store.now(),
        store.health(),
        store.revocations.head(),
        patient(parts.checks()),
        store.audit.checkpointsBefore(undefined, 1),
      ])
      const nowMs = clock.now()
      const ageMs = registry.ageMs()
      return {
        version: parts.version,
        runtime: process.versions.node,
        issuer: parts.issuer,
        engine: store.engine,
        started_at_ms: parts.startedAtMs,
        now_ms: nowMs,
        ready: isReady(checks),
        checks: checks.map((check) => ({ ...check })),
        store: {
          writable: health.writable,
          queued: health.queued,
          schema_version: health.schemaVersion,
          bytes: health.bytes,
          clock_offset_ms: Math.round((askedMs + nowMs) / 2 - storeMs),
        },
        keys: keys
          .records()
          .filter((key) => key.state === 'next' || key.state === 'active' || key.state === 'retiring')
          .map((key) => ({
            id: key.id,
            purpose: key.purpose,
            alg: key.alg,
            state: key.state,
            active_at: key.activeAt,
            retiring_at: key.retiringAt,
          })),
        audit: { last_checkpoint_at_ms: checkpoint?.atMs },
        feed: { epoch: head.epoch, seq: head.seq, age_ms: Number.isFinite(ageMs) ? ageMs : null, readers: feed.readers },
      }
    },

    async showPolicy() {
      return { version: parts.policyVersion, settings: snake(parts.settings) }
    },
  }
}

/** The wire is snake_case. Nested spans too; what is not set is null, so that it is seen. */
function snake(settings: PolicySettings): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(settings).map(([name, value]) => [
      name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`),
      typeof value === 'object' && value !== null ? snake(value as PolicySettings) : (value ?? null),
    ]),
  )
}
