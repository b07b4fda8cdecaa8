import assert from 'node:assert/strict'
import { createPublicKey, hash, type KeyObject } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { describe, test } from 'node:test'
import { type KeyKind, revocationKey } from '@signet/kernel/revocation.ts'
import { createRevocationView } from '@signet/kernel/revocation-view.ts'
import { manualSurroundings } from '@signet/testkit/surroundings.ts'
import { createValidator, type PermissionMap, type TokenContext } from './index.ts'

interface Vectors {
  readonly now_ms: number
  readonly issuer: string
  readonly audience: string
  readonly public_url: string
  readonly skew_seconds: number
  readonly proof_max_age_seconds: number
  readonly jwks: { readonly keys: readonly { kid: string; alg: string }[] }
  readonly permissions: Readonly<
    Record<string, { scopes: string[]; max_staleness_seconds: number; acr_values?: string[]; max_age_seconds?: number }>
  >
  readonly cases: readonly {
    readonly name: string
    readonly token: string
    readonly request?: {
      scheme?: 'Bearer' | 'DPoP'
      method?: string
      url?: string
      dpop?: string | string[]
      certificate_thumbprint?: string
    }
    readonly needs?: string
    readonly staleness_ms?: number
    readonly revoked?: readonly { kind: KeyKind; id: string; cutoff_ms: number }[]
    readonly verdict: string
    readonly permissions?: readonly string[]
  }[]
}

const vectors: Vectors = JSON.parse(readFileSync(new URL('../../vectors/access-tokens.json', import.meta.url), 'utf8'))
const sha256 = (data: string | Uint8Array): Uint8Array => hash('sha256', data, 'buffer')
const keys = new Map<string, { key: KeyObject; alg: string }>(
  vectors.jwks.keys.map((jwk) => [jwk.kid, { key: createPublicKey({ key: jwk, format: 'jwk' }), alg: jwk.alg }]),
)
const permissions: PermissionMap = Object.fromEntries(
  Object.entries(vectors.permissions).map(([name, rule]) => [
    name,
    {
      scopes: rule.scopes,
      maxStalenessSeconds: rule.max_staleness_seconds,
      ...(rule.acr_values === undefined ? {} : { acrValues: rule.acr_values }),
      ...(rule.max_age_seconds === undefined ? {} : { maxAgeSeconds: rule.max_age_seconds }),
    },
  ]),
)

describe('vectors/access-tokens.json', () => {
  for (const each of vectors.cases) {
    test(`${each.name}: ${each.verdict}`, async () => {
      const view = createRevocationView()
      const salt = { version: 1, bytes: new Uint8Array(16).fill(5) }
      view.begin({ epoch: 'e', seq: 0 }, salt)
      each.revoked?.forEach(({ kind, id, cutoff_ms: cutoffMs }, i) => {
        const key = revocationKey(sha256, salt, kind, vectors.issuer, id)
        const batch = { epoch: 'e', from: i + 1, to: i + 1, saltVersion: 1, entries: [{ key, cutoffMs, dropAfter: 2 ** 33 }] }
        assert.equal(view.applyBatch(batch, { nowMs: vectors.now_ms, guardMs: 0 }), 'applied')
      })
      const validator = createValidator({
        issuer: vectors.issuer,
        audience: vectors.audience,
        publicUrl: vectors.public_url,
        clockSkewSeconds: vectors.skew_seconds,
        permissions,
        dpop: { nonces: false, maxAgeSeconds: vectors.proof_max_age_seconds },
        source: { view, keys: { find: (kid) => keys.get(kid) }, stalenessMs: () => each.staleness_ms ?? 0 },
        surroundings: manualSurroundings(1, vectors.now_ms),
      })
      const { scheme, method, url, dpop, certificate_thumbprint: certificateThumbprint } = each.request ?? {}
      const context: TokenContext = {
        ...(each.needs === undefined ? {} : { needs: each.needs }),
        ...(scheme === undefined ? {} : { scheme }),
        ...{ method, url, dpop, certificateThumbprint },
      }
      // Twice at first sight and from memory, and both ways to ask: always the same.
      const verdicts = [validator.validateSync(each.token, context)]
      if (each.request?.dpop === undefined) {
        verdicts.push(validator.validateSync(each.token, context), await validator.validate(each.token, context))
      }
      for (const verdict of verdicts) {
        assert.equal(verdict.allowed ? 'allowed' : verdict.reason, each.verdict)
        if (verdict.allowed && each.permissions !== undefined) assert.deepEqual(verdict.permissions, each.permissions)
        if (!verdict.allowed && each.token !== '') {
          for (const piece of each.token.split('.').filter((part) => part.length > 8)) {
            assert.ok(!JSON.stringify(verdict).includes(piece), 'token bytes are never echoed')
          }
        }
      }
      await validator.close()
    })
  }
})
