/**
 * A measured program in a process of its own, with a side channel: the parent asks, the child answers. The parent uses
 * `startChild`, the child `serveParent`.
 */
import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { inspect } from 'node:util'

/** What a child can be asked, by name: from question to answer. Both must survive JSON. */
export type Answers = Record<string, (question: never) => unknown>

export interface Child<A extends Answers> {
  readonly pid: number
  ask<Name extends keyof A & string>(name: Name, ...question: Parameters<A[Name]>): Promise<Awaited<ReturnType<A[Name]>>>
  stop(): Promise<void>
}

interface Question {
  readonly id: number
  readonly name: string
  readonly question: unknown
}
type Reply = { readonly id: number } & ({ readonly answer: unknown } | { readonly trouble: string })

/** Starts `file` and resolves once it calls `serveParent`. */
export async function startChild<A extends Answers>(
  file: string,
  args: readonly string[] = [],
  options: { execArgv?: readonly string[]; quiet?: boolean } = {},
): Promise<Child<A>> {
  const child = fork(file, args, {
    execArgv: [...(options.execArgv ?? [])],
    stdio: ['ignore', options.quiet === false ? 'inherit' : 'ignore', 'inherit', 'ipc'],
  })
  children.add(child)
  child.once('exit', () => children.delete(child))
  const waiting = new Map<number, { resolve: (answer: unknown) => void; reject: (error: Error) => void }>()
  child.on('message', (reply: Reply) => {
    const caller = waiting.get(reply.id)
    waiting.delete(reply.id)
    if ('trouble' in reply) caller?.reject(new Error(`${file}: ${reply.trouble}`))
    else caller?.resolve(reply.answer)
  })
  const ended = once(child, 'exit').then(([code, signal]) => {
    const error = new Error(`${file} ended with ${signal ?? `code ${code}`}`)
    for (const { reject } of waiting.values()) reject(error)
    throw error
  })
  ended.catch(() => {}) // Whoever waits for an answer hears of it; nobody else must.
  let lastId = READY
  const send = (name: string, question: unknown) =>
    new Promise<unknown>((resolve, reject) => {
      const id = ++lastId
      waiting.set(id, { resolve, reject })
      child.send({ id, name, question } satisfies Question, (error) => error && reject(error))
    })
  await new Promise<unknown>((resolve, reject) => waiting.set(READY, { resolve, reject }))
  return {
    pid: child.pid as number,
    ask: (name, ...question) => send(name, question[0]) as never,
    async stop() {
      if (child.exitCode !== null || child.signalCode !== null) return
      child.kill('SIGTERM')
      const timer = setTimeout(() => child.kill('SIGKILL'), STOP_MS)
      await ended.catch(() => {})
      clearTimeout(timer)
    },
  }
}

/** In the child: answers the parent's questions from now on, and ends with it. */
export function serveParent(answers: Answers): void {
  process.on('message', async ({ id, name, question }: Question) => {
    const reply: Reply = await Promise.resolve()
      .then(() => answers[name]?.(question as never))
      .then(
        (answer) => ({ id, answer }),
        (error: unknown) => ({ id, trouble: inspect(error) }),
      )
    process.send?.(reply)
  })
  process.once('disconnect', () => process.exit(0))
  process.send?.({ id: READY, answer: undefined } satisfies Reply)
}

/** Microseconds of processor time used so far: by the whole process, garbage collection and thread pool included, and by this thread alone. */
export interface ProcessorTime {
  readonly whole: number
  readonly thread: number
}

export function processorTime(): ProcessorTime {
  const sum = ({ user, system }: { user: number; system: number }) => user + system
  return { whole: sum(process.cpuUsage()), thread: sum(process.threadCpuUsage()) }
}

const READY = 0
const STOP_MS = 5000
const children = new Set<ChildProcess>()

process.once('exit', () => {
  for (const child of children) child.kill('SIGKILL')
})
