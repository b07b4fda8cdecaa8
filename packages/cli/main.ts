/** `signet`, the command line: reads what was asked, runs it, and ends with an exit code that scripts can rely on. */
import { run } from '@stricli/core'
import { app, HOW_TO_GO_ON } from './app.ts'
import { contextOf } from './cli.ts'
import { jsonText } from './output/printable.ts'
import { EXIT, troubleJson, wrongUsage } from './trouble.ts'

// `signet … | head` closes our output early: that is no failure. A terminal that is closed reads nothing more, and there may be something to put away.
for (const stream of [process.stdout, process.stderr]) {
  stream.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code === 'EPIPE') process.exit(EXIT.done)
    if (error.code === 'EIO') return
    throw error
  })
}

const args = process.argv.slice(2)
// Stricli writes a line for each mistake; with --json they are one object, as every other trouble is.
const mistakes: string[] = []
const gather = { write: (line: string) => void mistakes.push(line.replace(HOW_TO_GO_ON, '').trim()) }
const context = contextOf(process, args.includes('--json') ? gather : process.stderr)
await run(app, args, context)
if (mistakes.length > 0) process.stderr.write(`${jsonText(troubleJson(wrongUsage(mistakes)))}\n`)

// Stricli speaks of wrong usage in negative numbers.
const { exitCode } = context.process
process.exitCode ??= Number(exitCode) < 0 ? EXIT.usage : exitCode
