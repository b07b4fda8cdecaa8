/**
 * One keep-alive HTTP/1.1 connection that does next to nothing itself, so that a load generator built on it is never what
 * is measured: requests are bytes made beforehand, and of an answer only status and body are looked at.
 */
import { connect, type Socket } from 'node:net'

export interface Connection {
  /** Sends one request and waits for its answer; one at a time. */
  exchange(request: string): Promise<Answer>
  close(): void
}

export interface Answer {
  readonly status: number
  readonly body: string
}

export function openConnection(port: number): Promise<Connection> {
  const socket = connect({ port, host: 'localhost', noDelay: true })
  return new Promise((resolve, reject) => {
    socket.once('error', reject)
    socket.once('connect', () => resolve(overSocket(socket)))
  })
}

function overSocket(socket: Socket): Connection {
  let held = ''
  let waiting: { resolve: (answer: Answer) => void; reject: (error: Error) => void } | undefined
  const fail = (error: Error) => {
    waiting?.reject(error)
    waiting = undefined
  }
  socket.removeAllListeners('error')
  socket.on('error', fail)
  socket.on('close', () => fail(new Error('the server closed the connection')))
  // Latin-1 keeps one character per byte, so that lengths agree.
  socket.setEncoding('latin1')
  socket.on('data', (chunk: string) => {
    held = held === '' ? chunk : held + chunk
    const whole = takeAnswer(held)
    if (whole === undefined) return
    const caller = waiting
    waiting = undefined
    held = ''
    if (whole instanceof Error) caller?.reject(whole)
    else caller?.resolve(whole)
  })
  return {
    exchange(request) {
      return new Promise((resolve, reject) => {
        waiting = { resolve, reject }
        socket.write(request, 'latin1')
      })
    },
    close: () => void socket.destroy(),
  }
}

/** The answer when it is all there. Requests are not pipelined, so nothing follows it. */
function takeAnswer(text: string): Answer | Error | undefined {
  const end = text.indexOf('\r\n\r\n')
  if (end < 0) return undefined
  const head = text.slice(0, end)
  const status = Number(head.slice(9, 12))
  const length = /\r\ncontent-length: *(\d+)/i.exec(head)
  if (length === null && status !== 204) return new Error(`an answer without a length: ${head}`)
  const from = end + 4
  if (text.length < from + Number(length?.[1] ?? 0)) return undefined
  return { status, body: text.slice(from) }
}
