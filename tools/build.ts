/**
 * `npm run build [-- FOLDER]`: the packages and the sample service as plain JavaScript in `dist/`, for images and other places where nothing
 * should be compiled at start. The folders are those of the source, so `node dist/packages/authority/main.js` is the authority; types
 * are blanked out, so lines and columns are those of the source too. Third-party packages are taken from the nearest `node_modules`.
 */
import { copyFileSync, globSync, mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { stripTypeScriptTypes } from 'node:module'
import { dirname, join, relative, resolve } from 'node:path'
import { readFlags } from './flags.ts'

const root = join(import.meta.dirname, '..')
/** What only tests are made of. */
const TESTS = /\.(test|testkit|contract)\.ts$|^packages\/testkit\//
const SKIPPED = /(^|\/)node_modules(\/|$)|\.md$/

/** Writes the build anew and gives how many files it has. */
export function build(out: string): number {
  rmSync(out, { recursive: true, force: true })
  const files = globSync('{packages,examples}/**/*.*', { cwd: root, exclude: (path) => SKIPPED.test(path) })
    .filter((path) => !TESTS.test(path))
    .sort()
  for (const file of files) {
    const from = join(root, file)
    const to = join(out, file)
    mkdirSync(dirname(to), { recursive: true })
    if (file.endsWith('.ts')) writeFileSync(to.replace(/\.ts$/, '.js'), compiled(readFileSync(from, 'utf8')))
    else if (file.endsWith('package.json')) writePackage(out, file)
    else copyFileSync(from, to)
  }
  return files.length
}

/** What imports `x.ts`, or starts it, finds `x.js`. */
const compiled = (source: string): string =>
  stripTypeScriptTypes(source, { mode: 'strip' }).replace(
    /(['"`])((?:\.{1,2}|@signet|packages|examples)\/[^'"`\s]*)\.ts\1/g,
    '$1$2.js$1',
  )

/** The package's own description, and its name for the other packages. */
function writePackage(out: string, file: string): void {
  const described = JSON.parse(readFileSync(join(root, file), 'utf8')) as { name: string; devDependencies?: unknown }
  const { devDependencies: _, ...kept } = described
  writeFileSync(join(out, file), `${JSON.stringify(kept, undefined, 2).replaceAll('.ts"', '.js"')}\n`)
  const link = join(out, 'node_modules', described.name)
  mkdirSync(dirname(link), { recursive: true })
  symlinkSync(relative(dirname(link), join(out, dirname(file))), link, 'junction')
}

if (import.meta.main) {
  const { positionals } = readFlags(
    'Usage: npm run build [-- FOLDER]\n\nPlain JavaScript in dist/, or in FOLDER, which is emptied first.',
    {},
    true,
  )
  const out = resolve(positionals[0] ?? join(root, 'dist'))
  console.log(`${build(out)} files in ${out}`)
}
