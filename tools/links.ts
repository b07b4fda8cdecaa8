/** Documents must not point at what is not there: relative links, their headings, and the paths of files named in the text. */
import { existsSync, globSync, readFileSync } from 'node:fs'
import { dirname, join, normalize } from 'node:path'

/** `file:line: …` for each broken link under `root`. */
export function brokenLinks(root: string): readonly string[] {
  const documents = globSync(['*.md', '{docs,packages,examples,changes,bench,e2e}/**/*.md'], {
    cwd: root,
    exclude: (path) => path.includes('node_modules'),
  }).sort()
  return documents.flatMap((document) => {
    const lines = withoutCode(readFileSync(join(root, document), 'utf8')).split('\n')
    return lines.flatMap((line, index) =>
      [...linksIn(line), ...pathsIn(line)]
        .map((target) => problemOf(root, document, target))
        .filter((problem) => problem !== undefined)
        .map((problem) => `${document}:${index + 1}: ${problem}`),
    )
  })
}

interface Target {
  readonly path: string
  readonly heading?: string
  /** Paths in backticks are meant from the root; links, from their document. */
  readonly fromRoot: boolean
}

function* linksIn(line: string): Generator<Target> {
  // Inline links and the targets of reference definitions (CommonMark §6.3, §4.7).
  for (const match of line.matchAll(/\]\(\s*<?([^)\s>]+)>?[^)]*\)|^ {0,3}\[[^\]]+\]:\s*<?(\S+?)>?(?:\s|$)/g)) {
    const url = (match[1] ?? match[2]) as string
    if (/^[a-z][a-z0-9+.-]*:/i.test(url)) continue
    const [path, heading] = decodeURI(url).split('#') as [string, string?]
    yield { path, ...(heading !== undefined && { heading }), fromRoot: false }
  }
}

function* pathsIn(line: string): Generator<Target> {
  // Names with a star, an ellipsis or a placeholder speak of many files and are left alone.
  for (const match of line.matchAll(/`((?:packages|docs|tools|bench|e2e|examples)\/[\w./-]+)`/g)) {
    yield { path: match[1] as string, fromRoot: true }
  }
}

function problemOf(root: string, document: string, { path, heading, fromRoot }: Target): string | undefined {
  const target = path === '' ? document : fromRoot ? path : normalize(join(dirname(document), path))
  if (target.startsWith('..')) return `${path} leads out of the repository`
  if (!existsSync(join(root, target))) return `${path} is not there`
  if (heading === undefined || !target.endsWith('.md')) return undefined
  const anchors = anchorsOf(readFileSync(join(root, target), 'utf8'))
  return anchors.has(heading) ? undefined : `${path}#${heading}: no such heading`
}

/** The anchors that GitHub gives to headings: lower case, punctuation dropped, spaces to hyphens, repeats numbered. */
function anchorsOf(markdown: string): ReadonlySet<string> {
  const anchors = new Set<string>()
  for (const [, title] of withoutCode(markdown).matchAll(/^#{1,6}\s+(.+?)\s*#*$/gm)) {
    const text = (title as string).replace(/\[([^\]]*)\]\([^)]*\)/g, '$1').toLowerCase()
    const slug = text.replace(/[^\p{L}\p{N}\s_-]/gu, '').replace(/\s/g, '-')
    let anchor = slug
    for (let n = 1; anchors.has(anchor); n++) anchor = `${slug}-${n}`
    anchors.add(anchor)
  }
  return anchors
}

/** Fenced code is emptied, so that the lines keep their numbers. */
function withoutCode(markdown: string): string {
  return markdown.replace(/^( {0,3})(`{3,}|~{3,})[^\n]*\n[\s\S]*?^\1\2[`~]*\s*$/gm, (block) => block.replace(/[^\n]/g, ''))
}
