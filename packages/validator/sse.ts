/** Server-sent events (HTML Living Standard §9.2), read from bytes. Bounded: an event longer than the bound ends the reading. */

export interface SseEvent {
  readonly name: string
  readonly data: string
}

export class SseTooLong extends Error {
  constructor(maxChars: number) {
    super(`an event is longer than ${maxChars} characters`)
    this.name = 'SseTooLong'
  }
}

/** Calls `onEvent` for each event and `onBytes` whenever anything came, a heartbeat comment too. Ends with the stream. */
export async function readEvents(
  body: AsyncIterable<Uint8Array>,
  maxChars: number,
  handlers: { onEvent(event: SseEvent): Promise<void> | void; onBytes(): void },
): Promise<void> {
  const parser = new Parser(maxChars)
  for await (const chunk of body) {
    handlers.onBytes()
    for (const event of parser.push(chunk)) await handlers.onEvent(event)
  }
}

class Parser {
  private readonly maxChars: number
  private readonly decoder = new TextDecoder()
  private pending: string[] = []
  private pendingChars = 0
  private name = ''
  private data: string[] = []
  private dataChars = 0

  constructor(maxChars: number) {
    this.maxChars = maxChars
  }

  *push(chunk: Uint8Array): Generator<SseEvent> {
    const text = this.decoder.decode(chunk, { stream: true })
    let start = 0
    for (;;) {
      const end = text.indexOf('\n', start)
      if (end < 0) break
      const line = this.pending.join('') + text.slice(start, end)
      this.pending = []
      this.pendingChars = 0
      start = end + 1
      const event = this.line(line.endsWith('\r') ? line.slice(0, -1) : line)
      if (event !== undefined) yield event
    }
    if (start < text.length) {
      this.pending.push(text.slice(start))
      this.pendingChars += text.length - start
      if (this.pendingChars + this.dataChars > this.maxChars) throw new SseTooLong(this.maxChars)
    }
  }

  private line(line: string): SseEvent | undefined {
    if (line === '') {
      const event = this.data.length === 0 && this.name === '' ? undefined : { name: this.name, data: this.data.join('\n') }
      this.name = ''
      this.data = []
      this.dataChars = 0
      return event
    }
    const colon = line.indexOf(':')
    if (colon === 0) return undefined // A comment.
    const field = colon < 0 ? line : line.slice(0, colon)
    const value = colon < 0 ? '' : line.slice(line.charAt(colon + 1) === ' ' ? colon + 2 : colon + 1)
    if (field === 'event') this.name = value
    else if (field === 'data') {
      this.data.push(value)
      this.dataChars += value.length
      if (this.dataChars > this.maxChars) throw new SseTooLong(this.maxChars)
    }
    return undefined
  }
}
