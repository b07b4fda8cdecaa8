/** A stream of the relayed feed over node:http. */
import { once } from 'node:events'
import type { ServerResponse } from 'node:http'
import type { RelayReader } from './relayed-feed.ts'

const STREAM_HEADERS = {
  'content-type': 'text/event-stream',
  'cache-control': 'no-store, no-transform',
  'x-accel-buffering': 'no', // nginx would hold the events back.
}

export class SseReader implements RelayReader {
  readonly owner: string
  readonly #response: ServerResponse
  constructor(response: ServerResponse, owner: string) {
    this.#response = response
    this.owner = owner
  }
  get gone(): boolean {
    return this.#response.destroyed || this.#response.writableEnded
  }
  open(): void {
    this.#response.on('error', () => this.#response.destroy())
    this.#response.socket?.setNoDelay(true)
    this.#response.socket?.setKeepAlive(true, 15_000) // Finds out about a reader whose machine went without a word.
    this.#response.writeHead(200, STREAM_HEADERS)
  }
  write(bytes: Uint8Array): void {
    if (!this.gone) this.#response.write(bytes)
  }
  pending(): number {
    return this.#response.writableLength
  }
  async drained(): Promise<void> {
    if (this.gone || !this.#response.writableNeedDrain) return
    const done = new AbortController()
    const { signal } = done
    const ends = [once(this.#response, 'drain', { signal }), once(this.#response, 'close', { signal })]
    await Promise.race(ends).catch(() => {})
    done.abort()
  }
  end(): void {
    if (!this.gone) this.#response.end()
  }
  destroy(): void {
    this.#response.destroy()
  }
  onGone(task: () => void): void {
    this.#response.once('close', task)
  }
}
