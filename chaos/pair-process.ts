/**
 * One fault on one store, in a process of its own: what a harness does at a stretch (files to copy, a history to check) holds up all that goes
 * through it, and must not hold up the load of another. The order comes as JSON in the first argument; the result goes to standard output.
 */
import { FAULTS } from './faults/faults.ts'
import { type Failure, type Run, type RunResult, reasonOf, runFaults } from './run.ts'

export interface Order extends Pick<Run, 'engine' | 'rounds' | 'validators' | 'keep'> {
  readonly fault: string
  /** After so long no further round begins. */
  readonly leftMs?: number
}

const { fault, leftMs, ...order } = JSON.parse(process.argv[2] as string) as Order
process.stdin.on('end', () => process.exit(1)).resume() // Whoever gave the order is gone. The janitor clears up.
/** What nobody was waiting for. */
const strays: Failure[] = []
for (const event of ['uncaughtException', 'unhandledRejection'] as const) {
  process.on(event, (error: unknown) => {
    console.error(error)
    strays.push({ round: strays.length, reason: reasonOf(error) })
  })
}
const faults = FAULTS.filter(({ name }) => name === fault)
const until = leftMs === undefined ? {} : { untilMs: performance.now() + leftMs }
const result = await runFaults({ ...order, ...until, name: fault, faults })
const whole: RunResult = { ...result, failures: [...result.failures, ...strays] }
process.stdout.write(JSON.stringify(whole), () => process.exit()) // Whatever a step that was given up still waits for.
