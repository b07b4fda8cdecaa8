/** The flags of the scripts behind `npm run …`: `--help` shows how they are used, and a mistake costs a line, not a stack trace. */
import { type ParseArgsOptionsConfig, parseArgs } from 'node:util'

/** Ends the process with 0 after `--help`, and with 2 after an unknown flag or two values for what takes one. */
export function readFlags<const O extends ParseArgsOptionsConfig>(usage: string, options: O, allowPositionals = false) {
  const args = process.argv.slice(2)
  if (args.includes('--help') || args.includes('-h')) {
    console.log(usage.trimEnd())
    process.exit(0)
  }
  try {
    const { values, positionals, tokens } = parseArgs({ args, options, allowPositionals, tokens: true })
    const given = tokens.filter((token) => token.kind === 'option').map(({ name }) => name)
    // parseArgs would take the last one, and say nothing of the others.
    const twice = given.find((name, n) => options[name]?.type === 'string' && !options[name].multiple && given.indexOf(name) < n)
    if (twice !== undefined) refuseUsage(`--${twice} takes one value, and is given several`)
    return { values, positionals }
  } catch (error) {
    return refuseUsage((error as Error).message.split(/\. (?=[A-Z])/)[0] as string)
  }
}

/** Ends the process with 2. */
export function refuseUsage(sentence: string): never {
  console.error(`${sentence.replace(/\.$/, '')}. --help shows how it is used.`)
  process.exit(2)
}
