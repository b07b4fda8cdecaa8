/** `signet`, the command line: reads what was asked, runs it, and ends with an exit code that scripts can rely on. */
import { run } from '@stricli/core'
import { app } from './app.ts'
import { contextOf } from './cli.ts'
import { EXIT } from './trouble.ts'

// `signet … | head` closes our output early: that is no failure.
for (const stream of [process.stdout, process.stderr]) {
  stream.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code === 'EPIPE') process.exit(EXIT.done)
    throw error
  })
}

await run(app, process.argv.slice(2), contextOf(process))

// Stricli speaks of wrong usage in negative numbers.
if (typeof process.exitCode === 'number' && process.exitCode < 0) process.exitCode = EXIT.usage
