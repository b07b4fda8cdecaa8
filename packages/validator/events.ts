/** What a validator tells its host as it happens. Listeners are called in turn; one that throws hurts nobody else. */
import type { Deny, Freshness } from '@signet/kernel/verdict.ts'
import type { NatsFallback } from './feed-nats.ts'

export interface ValidatorEvents {
  /** The state of knowledge changed: the moment to log, alarm, or show a banner. */
  freshness: { readonly from: Freshness; readonly to: Freshness; readonly stalenessMs: number }
  /** Revocations came in. `delayMs`: from their commit to here, by two machines' clocks. */
  revoked: { readonly entries: number; readonly seq: number; readonly delayMs: number | undefined }
  /** A token was refused: for counters and for security events (an unexpected audience, an unknown issuer). */
  denied: Deny
  /** The key set of an issuer changed. */
  keys: { readonly issuer: string; readonly kids: readonly string[] }
  /** What brings revocations changed hands; `why` when NATS gave it up. */
  source: { readonly from: FeedSource; readonly to: FeedSource; readonly why?: NatsFallback }
  /** Something of ours does not work at present and is being tried again. `what` is stable. */
  trouble: { readonly what: TroubleKind; readonly cause: unknown }
}

/** By what way revocations come: server-sent events, NATS, or the process itself (`KnowledgeSource`). */
export type FeedSource = 'sse' | 'nats' | 'process'

export type TroubleKind =
  | 'discovery'
  | 'keys'
  | 'feed_credentials'
  | 'feed_head'
  | 'feed_stream'
  | 'feed_snapshot'
  | 'feed_nats'
  | 'cache_file'
  | 'replay'
  | 'listener'
  | 'configuration'

export type Listener<T> = (event: T) => void

/** A typed emitter. `on` returns the way to stop listening. */
export class Events<Map extends object> {
  private readonly listeners = new globalThis.Map<keyof Map, Set<Listener<never>>>()

  on<Name extends keyof Map>(name: Name, listener: Listener<Map[Name]>): () => void {
    const set = this.listeners.get(name) ?? new Set()
    this.listeners.set(name, set)
    set.add(listener as Listener<never>)
    return () => void set.delete(listener as Listener<never>)
  }

  once<Name extends keyof Map>(name: Name, listener: Listener<Map[Name]>): () => void {
    const stop = this.on(name, (event) => {
      stop()
      listener(event)
    })
    return stop
  }

  /** Whether anybody listens: what is costly to say need not be said to nobody. */
  has(name: keyof Map): boolean {
    return (this.listeners.get(name)?.size ?? 0) > 0
  }

  emit<Name extends keyof Map>(name: Name, event: Map[Name]): void {
    const set = this.listeners.get(name)
    if (set === undefined) return
    for (const listener of [...set]) {
      try {
        ;(listener as Listener<Map[Name]>)(event)
      } catch (cause) {
        // Told to those who listen for trouble; a listener for trouble that throws is told to nobody.
        if (name !== 'trouble') this.emit('trouble' as keyof Map, { what: 'listener', cause } as Map[keyof Map])
      }
    }
  }
}
