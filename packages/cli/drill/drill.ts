/**
 * A drill: something bad is done on purpose, the answer is practised with the commands that a person on call would use, and it is checked that what
 * must be true is. The times that it takes are the result.
 */
import { setTimeout as wait } from 'node:timers/promises'
import type { AdminClient } from '@signet/api/client.ts'
import type { AdminScope } from '@signet/api/schema.ts'
import { EXIT, Trouble, troubleOf } from '../trouble.ts'
import type { ScratchPlace } from './scratch.ts'

export interface Drill {
  readonly name: string
  readonly brief: string
  /** What it does in a scratch environment, in the order in which it does it; told before it begins. */
  readonly does: readonly string[]
  /** What it needs beside this program. */
  readonly needs?: { readonly database?: string; readonly bus?: string }
  /** Why no database can be given for it. */
  readonly sqliteOnly?: string
  /** In an environment of its own, which it starts itself. */
  scratch(run: Run, place: ScratchPlace): Promise<void>
  /** In the environment that the credentials name; absent where there is nothing that should be done to one that is in use. */
  readonly named?: {
    /** What it does there, which is less. */
    readonly does: readonly string[]
    /** What people there will notice; they are asked for it. It cannot be taken back. */
    readonly harm: string | undefined
    /** What the credentials must be allowed to do; found out before anything is done. */
    readonly scopes: readonly AdminScope[]
    play(run: Run, admin: AdminClient): Promise<void>
  }
}

export interface Step {
  readonly what: string
  readonly ok: boolean
  readonly ms?: number
}

/** What is put away when a drill is over, however it ends. */
export interface Leftover {
  readonly what: string
  /** The command by which a person does it when it could not be done; absent where it ends with this program. */
  readonly byHand?: string
  putAway(): Promise<unknown>
}

export interface Run {
  /** Something that must be true. */
  check(what: string, ok: boolean, ms?: number): void
  /** The same where nothing after it means anything without it: ends the drill. */
  demand(what: string, ok: boolean): void
  /** Does it, and says how long it took. */
  timed<T>(what: string, work: () => Promise<T>): Promise<T>
  /** Waits until it is so, and says whether it was; the check fails after `withinMs`. An authority that is away is asked again until then. */
  until(what: string, withinMs: number, isSo: () => Promise<boolean>, lookMs?: number): Promise<boolean>
  /** What goes on now, for whoever waits. */
  doing(what: string): void
  /** What a person could think this drill had shown, and it has not. */
  notChecked(what: string): void
  /** Said before it is made, so that nothing is forgotten. */
  leaves(leftover: Leftover): void
}

export interface Outcome {
  readonly steps: readonly Step[]
  readonly notChecked: readonly string[]
  /** What kept it from going on. */
  readonly broke?: unknown
  readonly interrupted: boolean
  /** What could not be put away. */
  readonly left: readonly Left[]
}

export type Left = Required<Omit<Leftover, 'putAway'>>

interface Watching {
  told(step: Step): void
  doing(what: string): void
  readonly interrupted: AbortSignal
  /** What is to be put away at any moment: filled here, for whoever must end at once. */
  readonly leftovers: Leftover[]
}

/** Whoever interrupts a drill waits so long for the step that is under way, … */
const SETTLE_MS = 5000
/** … and so long for each thing that is put away. */
const PUT_AWAY_MS = 15_000
const AGAIN_MS = 500

/** Plays it to its end, whatever that is, and puts away what it made. */
export async function playOut(play: (run: Run) => Promise<void>, watching: Watching): Promise<Outcome> {
  const steps: Step[] = []
  const notChecked: string[] = []
  const { interrupted, leftovers } = watching
  let broke: unknown
  const stopped = aborted(interrupted)
  const playing = play(createRun(watching, stopped, { steps, notChecked })).catch((error) => {
    if (!(error instanceof Ended)) broke = error
  })
  await Promise.race([playing, stopped.then(() => wait(SETTLE_MS, undefined, { ref: false }))])
  const wasInterrupted = interrupted.aborted
  const kept: Leftover[] = []
  for (let one = leftovers.at(-1); one !== undefined; one = leftovers.at(-1)) {
    watching.doing(`putting away ${one.what}`)
    if (!(await isPutAway(one))) kept.push(one)
    leftovers.splice(leftovers.indexOf(one), 1)
  }
  const fell = wasInterrupted ? undefined : broke
  return { steps, notChecked, ...(fell === undefined ? {} : { broke: fell }), interrupted: wasInterrupted, left: leftOf(kept) }
}

/** What outlives this program. */
export const leftOf = (leftovers: readonly Leftover[]): readonly Left[] =>
  leftovers.flatMap(({ what, byHand }) => (byHand === undefined ? [] : [{ what, byHand }]))

async function isPutAway(leftover: Leftover): Promise<boolean> {
  const untilMs = performance.now() + PUT_AWAY_MS
  for (;;) {
    try {
      await withinTime(leftover.putAway(), untilMs - performance.now())
      return true
    } catch (error) {
      if (!isPassing(error) || performance.now() + AGAIN_MS > untilMs) return false
      await wait(AGAIN_MS)
    }
  }
}

/** A demand was not met, or a person stopped it: there is nothing more to say. */
class Ended extends Error {}

const LOOK_MS = 5
/** An answer no older than this says how it is when the time is over. */
const STILL_TRUE_MS = 10_000

interface Notes {
  readonly steps: Step[]
  readonly notChecked: string[]
}

function createRun(watching: Watching, stopped: Promise<void>, { steps, notChecked }: Notes): Run {
  const { told, doing, interrupted, leftovers } = watching
  const goOn = () => {
    if (interrupted.aborted) throw new Ended()
  }
  const add = (step: Step) => {
    goOn()
    steps.push(step)
    told(step)
  }
  return {
    check: (what, ok, ms) => add({ what, ok, ...(ms !== undefined && { ms }) }),
    demand(what, ok) {
      add({ what, ok })
      if (!ok) throw new Ended()
    },
    async timed(what, work) {
      goOn()
      doing(what)
      const began = performance.now()
      try {
        const result = await work()
        add({ what, ok: true, ms: performance.now() - began })
        return result
      } catch (error) {
        add({ what, ok: false, ms: performance.now() - began })
        throw error
      }
    },
    async until(what, withinMs, isSo, lookMs = LOOK_MS) {
      goOn()
      doing(what)
      const began = performance.now()
      const left = () => withinMs - (performance.now() - began)
      let ok = false
      let trouble: unknown
      let answered = Number.NEGATIVE_INFINITY
      // Once at least: on a machine that stands still the time may be over before anything was asked.
      do {
        try {
          ok = await withinTime(Promise.race([isSo(), stopped.then(() => false)]), left())
          answered = performance.now()
          trouble = undefined
        } catch (error) {
          if (!isPassing(error)) throw error
          // The end may come while it is looked once more: what was answered just before is not taken back by that.
          if (!(error instanceof Late) || performance.now() - answered > STILL_TRUE_MS) trouble = error
        }
        goOn()
        if (!ok) await wait(lookMs, undefined, { signal: interrupted }).catch(() => {})
      } while (!ok && left() > 0)
      add({ what, ok, ms: performance.now() - began })
      if (trouble !== undefined) throw unanswered(what, trouble)
      return ok
    },
    doing(what) {
      goOn()
      doing(what)
    },
    notChecked: (what) => void notChecked.push(what),
    leaves(leftover) {
      goOn()
      leftovers.push(leftover)
    },
  }
}

class Late extends Error {}

const unanswered = (what: string, cause: unknown): Trouble =>
  new Trouble({
    what: `Could not find out whether ${what}`,
    why: cause instanceof Late ? 'there was no answer' : troubleOf(cause).why,
    advice: 'See with `signet doctor` what is wrong there, and run the drill again when the authority answers.',
    exit: EXIT.unreachable,
    code: 'unreachable',
    cause,
  })

async function withinTime<T>(work: Promise<T>, milliseconds: number): Promise<T> {
  const over = new AbortController()
  work.catch(() => {}) // It may still fail after it is given up.
  const late = wait(Math.max(0, milliseconds), undefined, { signal: over.signal }).then(() => Promise.reject(new Late()))
  try {
    return await Promise.race([work, late])
  } finally {
    late.catch(() => {})
    over.abort()
  }
}

const aborted = (signal: AbortSignal): Promise<void> =>
  new Promise((resolve) => {
    if (signal.aborted) resolve()
    else signal.addEventListener('abort', () => resolve(), { once: true })
  })

/** Nobody answered, or could do it now: worth asking again. */
const isPassing = (error: unknown): boolean => error instanceof Late || troubleOf(error).exit === EXIT.unreachable
