/**
 * A bounded memory: what was asked for lately stays. Two maps; when the young one is full it becomes the old one, and what the
 * old one held and nobody asked for is forgotten. As fast as a Map, without the bookkeeping of an LRU list; faster for what is asked for
 * again and again, since a Map interns a text before it looks for it.
 */
export class TwoGenerations<K, V> {
  private young = new Map<K, V>()
  private old = new Map<K, V>()
  private readonly limit: number
  private lastKey: K | undefined
  private lastValue: V | undefined

  /** Holds at most `capacity` entries, and at least half as many of the latest. */
  constructor(capacity: number) {
    this.limit = Math.max(1, Math.ceil(capacity / 2))
  }

  get size(): number {
    return this.young.size + this.old.size
  }

  get(key: K): V | undefined {
    if (key === this.lastKey) return this.lastValue
    const value = this.young.get(key) ?? this.recall(key)
    if (value !== undefined) this.keepLast(key, value)
    return value
  }

  set(key: K, value: V): void {
    if (this.young.size >= this.limit && !this.young.has(key)) {
      this.old = this.young
      this.young = new Map()
    } else if (this.old.size > 0) this.old.delete(key)
    this.young.set(key, value)
    this.keepLast(key, value)
  }

  delete(key: K): void {
    this.keepLast(undefined, undefined)
    this.young.delete(key)
    this.old.delete(key)
  }

  clear(): void {
    this.keepLast(undefined, undefined)
    this.young = new Map()
    this.old = new Map()
  }

  private keepLast(key: K | undefined, value: V | undefined): void {
    this.lastKey = key
    this.lastValue = value
  }

  private recall(key: K): V | undefined {
    if (this.old.size === 0) return undefined
    const value = this.old.get(key)
    if (value !== undefined) this.set(key, value)
    return value
  }
}
