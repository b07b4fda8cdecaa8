/** The simulated network: calls with a delay each way, from which either half may be lost, and partitions in one or both directions. */
import type { Dice } from './dice.ts'
import type { Machine } from './machine.ts'
import type { VirtualTime } from './time.ts'

export interface Weather {
  /** Milliseconds one way, at least and usually at most. */
  readonly delayMs: readonly [number, number]
  /** Share of messages that take up to this much longer. */
  readonly slow: { readonly share: number; readonly mostMs: number }
  /** Share of requests, and of answers, that never arrive. */
  readonly requestLoss: number
  readonly answerLoss: number
}

export interface Network {
  /**
   * `serve` runs on the other machine. Rejects with what `lost` makes, after `patienceMs`, when there was no answer;
   * what `serve` throws comes back unchanged.
   */
  call<T>(from: Machine, to: Machine, serve: () => Promise<T>, bounds: { patienceMs: number; lost: () => Error }): Promise<T>
  /** One message, no answer. */
  send(from: Machine, to: Machine, task: () => void): void
  cut(from: string, to: string): void
  heal(): void
  weather: Weather
  /** Delay of one message from now on, or undefined when it is lost. */
  delayOf(from: Machine, to: Machine): number | undefined
}

export function createNetwork(time: VirtualTime, dice: Dice, calm: Weather): Network {
  const cuts = new Set<string>()
  const net: Network = {
    weather: calm,
    delayOf(from, to) {
      if (cuts.has(`${from.name}>${to.name}`) || cuts.has(`${from.name}>*`) || cuts.has(`*>${to.name}`)) return undefined
      const { delayMs, slow } = net.weather
      const usual = dice.between(delayMs[0], delayMs[1])
      return dice.happens(slow.share) ? usual + dice.between(0, slow.mostMs) : usual
    },
    call(from, to, serve, { patienceMs, lost }) {
      return new Promise((resolve, reject) => {
        let isOver = false
        const end = (task: () => void) => {
          if (isOver) return
          isOver = true
          patience.cancel()
          task()
        }
        const patience = from.surroundings.timers.after(patienceMs, () => end(() => reject(lost())))
        const life = from.life
        const there = dice.happens(net.weather.requestLoss) ? undefined : net.delayOf(from, to)
        if (there === undefined) return
        const back = (settle: () => void) => {
          const delay = dice.happens(net.weather.answerLoss) ? undefined : net.delayOf(to, from)
          if (delay !== undefined) time.after(delay, from.name, () => from.life === life && from.deliver(() => end(settle)))
        }
        time.after(there, to.name, () =>
          to.deliver(() => {
            if (isOver) return // It waited in a machine that stood still, and its caller has hung up.
            serve().then(
              (answer) => back(() => resolve(answer)),
              (cause: unknown) => back(() => reject(cause)),
            )
          }),
        )
      })
    },
    send(from, to, task) {
      const delay = dice.happens(net.weather.requestLoss) ? undefined : net.delayOf(from, to)
      if (delay !== undefined) time.after(delay, to.name, () => to.deliver(task))
    },
    cut: (from, to) => void cuts.add(`${from}>${to}`),
    heal: () => cuts.clear(),
  }
  return net
}
