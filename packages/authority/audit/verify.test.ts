import assert from 'node:assert/strict'
import { cp, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { after, test } from 'node:test'
import { batchHash, eventsRoot, splitEvents } from '@signet/kernel/audit-entry.ts'
import { idToBytes } from '@signet/kernel/ids.ts'
import { manualSurroundings } from '@signet/testkit/surroundings.ts'
import { type KeyRing, openKeyRing } from '../keys/key-ring.ts'
import { MasterKey } from '../keys/master-key.ts'
import { defaultSettings } from '../policy/settings.ts'
import { openSqliteStore } from '../store/sqlite.ts'
import { sha256 } from '../surroundings.ts'
import { makeCheckpoint } from './checkpoint.ts'
import { audited } from './events.ts'
import { type AuditReport, auditReport, verifyAudit } from './verify.ts'

const home = await mkdtemp(join(tmpdir(), 'signet-audit-'))
after(() => rm(home, { recursive: true, force: true }))
const surroundings = manualSurroundings('verify', 1_800_000_000_000)
const { clock, chance } = surroundings
const issuer = 'https://id.example'
const CHAINS = ['018f0000-0000-7000-8000-0000000000c1', '018f0000-0000-7000-8000-0000000000c2'] as const
const PATH = join(home, 'signet.db')

/** Two nodes' chains in one file, with checkpoints between: what every case below begins with. */
async function write(): Promise<{ keys: KeyRing; notes: readonly string[] }> {
  let keys: KeyRing | undefined
  for (const chain of CHAINS) {
    const store = await openSqliteStore({ path: PATH, surroundings, chain })
    const master = new MasterKey(new Uint8Array(32), chance)
    keys = await openKeyRing({ store, master, clock, chance, settings: defaultSettings })
    for (let n = 0; n < 12; n++) {
      clock.advance(1000)
      await store.transact(async (tx) => {
        for (let e = 0; e <= n % 3; e++)
          tx.audit(audited(clock, chance, 'token.issued', 'client:web-app', { client: 'web-app' }, { n, e }))
      })
      if (n % 5 === 4) assert.ok(await makeCheckpoint({ store, keys, issuer, chance }))
    }
    if (chain === CHAINS.at(-1)) {
      const notes = (await store.audit.checkpoints()).map(({ note }) => note)
      await store.close()
      return { keys, notes }
    }
    await store.close()
  }
  throw new Error('no chains')
}

const { keys, notes } = await write()

let copies = 0
/** The report on a copy of the file after `tamper`; chain ids are given as bytes. */
async function reportAfter(
  tamper: (db: DatabaseSync, chains: readonly Uint8Array[]) => void,
  options: { copies?: readonly string[] } = {},
): Promise<AuditReport> {
  const path = join(home, `copy-${copies++}.db`)
  await cp(PATH, path)
  const db = new DatabaseSync(path)
  tamper(
    db,
    CHAINS.map((chain) => idToBytes(chain)),
  )
  db.close()
  const store = await openSqliteStore({ path, surroundings, chain: '018f0000-0000-7000-8000-0000000000c9' })
  try {
    return await auditReport(store.audit, keys, options)
  } finally {
    await store.close()
  }
}

/** Writes a chain anew from `fromIdx` on, hashes and head and all, as someone who owns the database can. */
function rehash(db: DatabaseSync, chain: Uint8Array, chainId: string, fromIdx: number): void {
  const rows = db
    .prepare('select idx, at_ms, events from audit_batches where chain = ? and idx >= ? order by idx')
    .all(chain, fromIdx)
  let previous = (db.prepare('select hash from audit_batches where chain = ? and idx = ?').get(chain, fromIdx - 1)?.hash ??
    new Uint8Array(32)) as Uint8Array
  for (const row of rows) {
    const root = eventsRoot(sha256, splitEvents(row.events as string))
    const hash = batchHash(sha256, { chain: chainId, index: row.idx as number, atMs: row.at_ms as number, previous, root })
    db.prepare('update audit_batches set previous = ?, hash = ? where chain = ? and idx = ?').run(
      previous,
      hash,
      chain,
      row.idx as number,
    )
    previous = hash
  }
  const last = rows.at(-1)?.idx as number
  db.prepare('update audit_chains set idx = ?, hash = ? where chain = ?').run(last, previous, chain)
}

test('an untouched record is sound, with its copies kept elsewhere, and every event is counted', async () => {
  const report = await reportAfter(() => {}, { copies: notes })
  assert.deepEqual(report.findings, [])
  assert.ok(report.sound)
  assert.deepEqual([report.chains, report.checkpoints, report.distrusted], [2, 4, 0])
  assert.ok(report.batches >= 24 && report.events > report.batches)
  assert.ok(report.lastCheckpointAtMs)
})

test('every kind of tampering with a batch is found and the first bad batch is named', async () => {
  const at = (idx: number) => ({ chain: CHAINS[0], index: idx })
  const sql =
    (text: string) =>
    (db: DatabaseSync, [chain]: readonly Uint8Array[]) =>
      void db.prepare(text).run(chain as Uint8Array)
  const cases: readonly [string, string, object][] = [
    [
      'an event edited',
      `update audit_batches set events = replace(events, '"actor":"', '"actor":"x') where chain = ? and idx = 7`,
      { problem: 'altered', ...at(7) },
    ],
    ['a time edited', 'update audit_batches set at_ms = at_ms + 1 where chain = ? and idx = 7', { problem: 'altered', ...at(7) }],
    [
      'a hash edited',
      `update audit_batches set hash = x'${'00'.repeat(32)}' where chain = ? and idx = 7`,
      { problem: 'altered', ...at(7) },
    ],
    [
      'a link edited',
      `update audit_batches set previous = x'${'00'.repeat(32)}' where chain = ? and idx = 7`,
      { problem: 'broken_link', ...at(7) },
    ],
    [
      'a count edited',
      'update audit_batches set count = count + 1 where chain = ? and idx = 7',
      { problem: 'wrong_count', ...at(7) },
    ],
    [
      'the space between events edited',
      `update audit_batches set events = '[ ' || substr(events, 3) where chain = ? and idx = 7`,
      { problem: 'unreadable', ...at(7) },
    ],
    [
      'an event that is no event',
      `update audit_batches set events = '[\n{"id":1}\n]' where chain = ? and idx = 7`,
      { problem: 'unreadable', ...at(7) },
    ],
    ['no JSON', `update audit_batches set events = 'gone' where chain = ? and idx = 7`, { problem: 'unreadable', ...at(7) }],
    ['a batch deleted', 'delete from audit_batches where chain = ? and idx = 7', { problem: 'missing', ...at(7) }],
    ['the first batch deleted', 'delete from audit_batches where chain = ? and idx = 1', { problem: 'missing', ...at(1) }],
    ['the last batches deleted', 'delete from audit_batches where chain = ? and idx > 11', { problem: 'missing', ...at(12) }],
    ['the head edited', `update audit_chains set hash = x'${'00'.repeat(32)}' where chain = ?`, { problem: 'wrong_head' }],
    [
      'the head set back',
      'update audit_chains set (idx, hash) = (select idx, hash from audit_batches b where b.chain = audit_chains.chain and idx = 17) where chain = ?',
      { problem: 'wrong_head', ...at(17) },
    ],
  ]
  for (const [title, text, finding] of cases) {
    const report = await reportAfter(sql(text))
    assert.equal(report.sound, false, title)
    assert.equal(report.findings.length, 1, title)
    assert.partialDeepStrictEqual(report.findings[0] as object, finding, title)
  }
})

test('two batches that changed places are found', async () => {
  const report = await reportAfter((db, [chain]) => {
    const move = db.prepare('update audit_batches set idx = ? where chain = ? and idx = ?')
    for (const [to, from] of [
      [999, 5],
      [5, 6],
      [6, 999],
    ] as const)
      move.run(to, chain as Uint8Array, from)
  })
  assert.equal(report.findings[0]?.index, 5)
})

test('a batch moved over from another chain is found', async () => {
  const report = await reportAfter((db, [one, other]) => {
    db.prepare('delete from audit_batches where chain = ? and idx = 5').run(one as Uint8Array)
    db.prepare('update audit_batches set chain = ? where chain = ? and idx = 5').run(one as Uint8Array, other as Uint8Array)
  })
  assert.deepEqual(
    report.findings.map((finding) => [finding.chain, finding.index]),
    [
      [CHAINS[0], 5],
      [CHAINS[1], 5],
    ],
  )
})

test('a chain rewritten whole, with hashes and head, disagrees with the checkpoints', async () => {
  const edited = await reportAfter((db, [chain]) => {
    db.prepare(`update audit_batches set events = replace(events, '"actor":"', '"actor":"x') where chain = ? and idx = 3`).run(
      chain as Uint8Array,
    )
    rehash(db, chain as Uint8Array, CHAINS[0], 3)
  })
  assert.equal(edited.findings[0]?.problem, 'against_checkpoint')
  assert.ok((edited.findings[0]?.index ?? 0) >= 3)

  const cut = await reportAfter((db, [chain]) => {
    db.prepare('delete from audit_batches where chain = ? and idx > 4').run(chain as Uint8Array)
    rehash(db, chain as Uint8Array, CHAINS[0], 2)
  })
  assert.equal(cut.findings[0]?.problem, 'against_checkpoint')

  const gone = await reportAfter((db, [chain]) => {
    db.prepare('delete from audit_batches where chain = ?').run(chain as Uint8Array)
    db.prepare('delete from audit_chains where chain = ?').run(chain as Uint8Array)
  })
  assert.deepEqual(gone.findings, [{ problem: 'missing_chain', chain: CHAINS[0] }])
})

test('checkpoints that were edited, removed or forged are found', async () => {
  const run = (text: string) => reportAfter((db) => db.exec(text))
  const first = (report: AuditReport) => report.findings[0]
  assert.equal(first(await run('delete from audit_checkpoints where n = 1'))?.problem, 'broken_checkpoint_link')
  assert.equal(first(await run('delete from audit_checkpoints where n = 2'))?.problem, 'broken_checkpoint_link')
  assert.deepEqual(first(await run(`update audit_checkpoints set note = replace(note, 'time 18', 'time 19') where n = 2`)), {
    problem: 'unsigned_checkpoint',
    checkpoint: 2,
  })
  assert.equal(first(await run(`update audit_checkpoints set note = 'x' where n = 2`))?.problem, 'malformed_checkpoint')
  assert.equal(
    first(await run(`update audit_checkpoints set note = substr(note, 1, instr(note, char(10, 10)) + 1) where n = 2`))?.problem,
    'malformed_checkpoint',
  )
})

test('someone who rewrites the chains and leaves out the checkpoints is caught by a copy kept elsewhere', async () => {
  const rewrite = (db: DatabaseSync, [chain]: readonly Uint8Array[]) => {
    db.exec('delete from audit_checkpoints')
    db.prepare(`update audit_batches set events = replace(events, '"actor":"', '"actor":"x') where chain = ? and idx = 3`).run(
      chain as Uint8Array,
    )
    rehash(db, chain as Uint8Array, CHAINS[0], 3)
  }
  assert.ok((await reportAfter(rewrite)).sound, 'from inside alone nothing can be seen any more')
  const report = await reportAfter(rewrite, { copies: notes.slice(-1) })
  assert.deepEqual(
    report.findings.map(({ problem }) => problem),
    ['missing_checkpoint', 'against_checkpoint'],
  )
  const witnessed = `${notes[1]}— witness.example ${Buffer.alloc(68, 7).toString('base64')}\n`
  assert.ok((await reportAfter(() => {}, { copies: [witnessed] })).sound, 'a copy that others signed too is the same')
})

test('a chain that rests stands in the notes of its day, and the last note holds them all in place', async () => {
  const path = join(home, 'rested.db')
  await cp(PATH, path)
  const chain = '018f0000-0000-7000-8000-0000000000c3'
  const own = manualSurroundings('rested', clock.now())
  const store = await openSqliteStore({ path, surroundings: own, chain })
  const ring = await openKeyRing({ store, master: new MasterKey(new Uint8Array(32), chance), ...own, settings: defaultSettings })
  const write = () => store.transact(async (tx) => tx.audit(audited(own.clock, chance, 'signout', 'system', {}, {})))
  const named = (note: string) => [...note.matchAll(/^chain (\S+)/gm)].map(([, id]) => id)
  const make = async () => {
    await ring.refresh()
    return (await makeCheckpoint({ store, keys: ring, issuer, chance })) ?? assert.fail()
  }
  await write()
  assert.deepEqual(named(await make()), [...CHAINS, chain])
  own.clock.advance(3 * 86_400_000)
  assert.deepEqual(named(await make()), [...CHAINS, chain], 'what was written just before the last note may not be in it')
  await write()
  const last = await make()
  assert.deepEqual(named(last), [chain])
  own.clock.step(-7 * 86_400_000)
  await write()
  const back = await make()
  assert.ok(named(back).includes(chain), 'a clock that was set back hides nothing')
  assert.deepEqual((await auditReport(store.audit, ring, { copies: [...notes, last, back] })).findings, [])
  await store.close()

  const tampered = async (tamper: (db: DatabaseSync) => void) => {
    const to = join(home, `copy-${copies++}.db`)
    await cp(path, to)
    const db = new DatabaseSync(to)
    tamper(db)
    db.close()
    const reopened = await openSqliteStore({ path: to, surroundings, chain })
    const { findings } = await auditReport(reopened.audit, keys, { copies: [last] })
    await reopened.close()
    return findings.map(({ problem }) => problem)
  }
  const rewrite = (db: DatabaseSync) => {
    const rested = idToBytes(CHAINS[0])
    db.prepare(`update audit_batches set events = replace(events, '"actor":"', '"actor":"x') where chain = ? and idx = 3`).run(
      rested,
    )
    rehash(db, rested, CHAINS[0], 3)
  }
  assert.deepEqual(await tampered(rewrite), ['against_checkpoint'])
  const everything = await tampered((db) => {
    rewrite(db)
    db.exec('delete from audit_checkpoints')
  })
  assert.deepEqual(everything, ['missing_checkpoint'], 'the last note alone does not name the chain, but those that did are gone')
})

test('progress is told after every page, and what is written meanwhile does not disturb', async () => {
  const path = join(home, 'growing.db')
  await cp(PATH, path)
  const store = await openSqliteStore({ path, surroundings, chain: CHAINS[1] })
  const one = (n: number) => store.transact(async (tx) => tx.audit(audited(clock, chance, 'signout', 'system', {}, { n })))
  for (let n = 0; n < 450; n++) await one(n)
  const walk = verifyAudit(store.audit, keys)
  const steps: string[] = []
  for (;;) {
    const step = await walk.next()
    if (step.done) {
      assert.deepEqual(step.value.findings, [])
      break
    }
    steps.push(`${step.value.chain.slice(-1)}:${step.value.index}/${step.value.of}`)
    await one(steps.length)
    await makeCheckpoint({ store, keys, issuer, chance })
  }
  assert.match(steps[0] ?? '', /^1:(\d+)\/\1$/)
  assert.match(steps.at(-1) ?? '', /^2:(\d+)\/\1$/)
  assert.ok(steps.length >= 9, 'in pages, each told')
  await store.close()
})
