/** Many validators in one process, each with a feed of its own. They hold every token that they are given, and tell when it is refused. */
import { createInterface } from 'node:readline'
import { createValidator, type ValidatorOptions } from '@signet/validator/index.ts'
import { machineMs } from './recorder.ts'

export interface Hold {
  readonly name: string
  readonly token: string
}
/** One validator refuses it from now on; by the machine's monotonic clock. */
export interface Ended {
  readonly token: string
  readonly atMs: number
}

const { count, ...options } = JSON.parse(process.argv[2] as string) as ValidatorOptions & { count: number }
const validators = Array.from({ length: count }, () => createValidator(options))
await Promise.all(validators.map((validator) => validator.ready({ timeoutMs: 60_000 })))
const tell = (said: object) => void process.stdout.write(`${JSON.stringify(said)}\n`)
tell({ ready: true })
for await (const line of createInterface({ input: process.stdin })) {
  const { name, token } = JSON.parse(line) as Hold
  for (const validator of validators) {
    const verdict = await validator.validate(token)
    if (!verdict.allowed) throw new Error(`a living token was refused: ${verdict.reason}`)
    validator.watch(verdict, () => {
      // What counts is that the next request is refused, so that is what is asked.
      if (validator.validateSync(token).allowed) throw new Error('the token ended, and is still accepted')
      tell({ token: name, atMs: machineMs() } satisfies Ended)
    })
  }
  tell({ held: name })
}
process.exit()
