/** All benchmarks there are, in the order they run in. */
import type { Benchmark } from './benchmark.ts'

interface Listed {
  /** One sentence: what is compared with what. */
  readonly about: string
  load(): Promise<{ readonly benchmark: Benchmark }>
  /** Takes long, so it runs only when it is named. */
  readonly apart?: true
}

export type BenchmarkName = keyof typeof BENCHMARKS

export const BENCHMARKS = {
  validation: {
    about: 'checking access tokens, against jose, fast-jwt and a bare signature check; only ours asks a registry of revocations',
    load: () => import('./validation.ts'),
  },
  registry: {
    about: 'the registry of revocations in memory, against a Map of strings',
    load: () => import('./registry.ts'),
  },
  issuance: {
    about: 'issuing, refreshing, introspecting and revoking over HTTP, against oidc-provider; only ours keeps an audit record',
    load: () => import('./issuance.ts'),
  },
  propagation: {
    about: 'from the acknowledgment of a revocation to its refusal by validators in other processes',
    load: () => import('./propagation.ts'),
  },
  nats: {
    about: 'revocations on one node to validators at another: NATS against NOTIFY between nodes, and against SSE to validators',
    load: () => import('./nats.ts'),
  },
  regions: {
    about: 'from the acknowledgment of a revocation to its refusal: in the region that was asked, and in another',
    load: () => import('./regions.ts'),
  },
  feed: {
    about: 'the feed at scale: a million entries at once, two hundred readers against TCP, a thousand readers',
    load: () => import('./feed.ts'),
  },
  'slow-readers': {
    about: 'a thousand readers of the feed of which a tenth stops reading, and readers behind one relay',
    load: () => import('./slow-readers.ts'),
  },
  storage: {
    about: 'rotations in the stores, and what a refresh family weighs',
    load: () => import('./storage.ts'),
  },
  footprint: {
    about: 'memory of a fresh authority and of a validator, and the time to be ready',
    load: () => import('./footprint.ts'),
  },
  size: {
    about: 'the stores with a million families or as many as SIGNET_BENCH_FAMILIES says; only when it is named',
    load: () => import('./size.ts'),
    apart: true,
  },
} as const satisfies Record<string, Listed>
