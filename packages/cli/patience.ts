/** Whoever watches does not give up with the node that is asked: it is asked again for a while, for it may come back or another take its place. */
import type { Cli } from './cli.ts'
import { EXIT, Trouble, troubleOf } from './trouble.ts'

/** What to say when it does not come back in time. */
interface GivenUp {
  readonly what: string
  readonly advice: string
}

const AGAIN_MS = 1000
const PATIENCE_MS = 60_000

export async function patiently<T>(cli: Cli, ask: () => Promise<T>, givenUp: GivenUp, patienceMs = PATIENCE_MS): Promise<T> {
  const untilMs = cli.now() + patienceMs
  for (;;) {
    try {
      return await ask()
    } catch (error) {
      const { exit, why, code } = troubleOf(error)
      if (exit !== EXIT.unreachable) throw error
      const leftMs = untilMs - cli.now()
      if (leftMs <= 0 || cli.interrupted.aborted) throw new Trouble({ ...givenUp, why, exit, code, cause: error })
      cli.progress(cli.err.warn(`The authority does not answer. Asking on for ${Math.ceil(leftMs / 1000)} s …`))
      await cli.pause(Math.min(AGAIN_MS, leftMs))
    }
  }
}
