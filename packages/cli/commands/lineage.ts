/** Where a token came from and what came of it, as a tree. */
import type { LineageNode } from '@signet/api/schema.ts'
import type { Cli } from '../cli.ts'
import { arg, command } from '../command.ts'
import { decodeJws } from '../jws.ts'
import { printable } from '../output/printable.ts'
import { localTime, relative } from '../output/time.ts'
import { type Branch, tree } from '../output/tree.ts'
import { EXIT, Trouble } from '../trouble.ts'
import { looksSecret } from './revoke.ts'

export const lineage = command({
  brief: 'Draw where a token came from and what came of it',
  about:
    'Issued from what, by which rule, rotated when, ended why. By id, or by an access token itself (- reads it from standard input).',
  args: arg('ID|TOKEN', 'Id of a token, API key, grant, session or person; or an access token; or -'),
  async run(cli: Cli, _flags: object, argument: string) {
    const text = await cli.given(argument, looksSecret(argument) ? 'token' : undefined)
    const lineage = await (await cli.admin()).call('showLineage', { params: { id: idOf(text) } })
    cli.show(lineage, () => tree(branch(cli, lineage.root, idOf(text))))
    if (!lineage.complete) cli.say(cli.err.warn('The record holds more than was read: the tree is right as far as it goes.'))
  },
})

function idOf(text: string): string {
  if (!looksSecret(text)) return text
  const { jti } = decodeJws(text)?.payload ?? {}
  if (typeof jti === 'string') return jti
  throw new Trouble({
    what: 'This token does not say its id',
    why: 'only signed tokens can be read here',
    advice: '`signet token inspect` shows the ids of an opaque one.',
    exit: EXIT.usage,
    code: 'no_id',
  })
}

function branch(cli: Cli, node: LineageNode, sought: string): Branch {
  const { out } = cli
  const id = node.id === sought ? out.bold(out.accent(printable(node.id))) : printable(node.id)
  const { ended } = node
  const end =
    ended === undefined
      ? ''
      : `  ${out.bad('ended')} ${out.dim(relative(ended.at_ms, cli.now()))} ${printable(String(ended.detail.reason ?? ''))} ${out.dim(`by ${printable(ended.actor)}`)}`
  return {
    text: `${out.bold(NOUNS[node.kind] ?? printable(node.kind))} ${id}${end}`,
    children: [
      ...node.events.map((event) => ({ text: eventText(cli, event), children: [] })),
      ...node.children.map((child) => branch(cli, child, sought)),
    ],
  }
}

/** The record calls a grant by its refresh family. */
const NOUNS: Readonly<Record<string, string>> = { family: 'grant', subject: 'person' }

function eventText(cli: Cli, event: LineageNode['events'][number]): string {
  const facts = ['grant', 'method', 'generation', 'reason', 'scope', 'policy'].flatMap((name) => {
    const value = event.detail[name]
    return value === undefined ? [] : [`${name} ${Array.isArray(value) ? value.join(' ') : String(value)}`]
  })
  const client = event.ids.client === undefined ? [] : [`client ${event.ids.client}`]
  return `${cli.out.dim(localTime(event.at_ms))} ${printable(event.type)}  ${cli.out.dim(printable([...client, ...facts].join(', ')))}`
}
