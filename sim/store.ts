/**
 * The store's machine: the real SQLite engine in memory, with what disks and databases do to their callers. Nodes reach it through links
 * of the simulated network. Here, and not at the nodes, the observer sees what was committed, and when.
 */
import type { DatabaseSync } from 'node:sqlite'
import type { LogEntry } from '@signet/authority/store/ports/revocations.ts'
import { openSqliteStore } from '@signet/authority/store/sqlite.ts'
import type { Haste, Store, Tx } from '@signet/authority/store/store.ts'
import { fault } from '@signet/kernel/errors.ts'
import type { Present } from './builtins.ts'
import type { Dice } from './dice.ts'
import type { History } from './history.ts'
import type { Machine } from './machine.ts'
import type { Network } from './network.ts'

export interface StoreMachine {
  readonly machine: Machine
  /** The engine itself, without a network in between: for the observer and for procedures on the machine. */
  readonly engine: Store
  /** What a node sees. */
  link(node: Machine): Store
  /** Milliseconds that a commit takes at most, from its begin to its end. */
  commitMs: number
  /** It answers nobody. */
  away: boolean
  /** A copy as of now; undefined while a transaction is open. */
  copy(): Uint8Array | undefined
  /** Another engine on this copy takes the place of the present one; what is under way on that one is lost. */
  replace(image: Uint8Array): Promise<void>
  /** Every connection breaks: what is under way may be committed, but nobody hears of it. */
  breakConnections(): void
}

/** What a node waits for the store at most, milliseconds: its pool's patience. */
const PATIENCE_MS = [800, 3000] as const

export async function openStoreMachine(parts: {
  machine: Machine
  present: Present
  network: Network
  history: History
  dice: Dice
}): Promise<StoreMachine> {
  const { machine, present, network, history, dice } = parts
  let slowGroupMs = 0
  let connections = 0
  let engine = await open(machine, present)
  let database = present.opened as DatabaseSync
  await noteHead()

  const self: StoreMachine = {
    machine,
    get engine() {
      return engine
    },
    commitMs: 0,
    away: false,
    link: (node) => linked(node),
    copy: () => (database.isTransaction ? undefined : database.serialize()),
    async replace(image) {
      present.image = image
      engine = await open(machine, present)
      database = present.opened as DatabaseSync
    },
    breakConnections() {
      connections++
    },
  }
  return self

  async function noteHead(): Promise<void> {
    const { epoch, seq } = await engine.revocations.head()
    history.head(epoch, seq)
  }

  function linked(node: Machine): Store {
    const call = <T>(serve: () => Promise<T>): Promise<T> =>
      network.call(node, machine, () => (self.away ? Promise.reject(fault('store_unavailable')) : serve()), {
        patienceMs: dice.between(...PATIENCE_MS),
        lost: () => fault('store_unavailable'),
      })
    const group = (name: keyof Store) =>
      new Proxy({} as Record<string, unknown>, {
        get: (_target, method) =>
          method === 'then'
            ? undefined
            : (...args: never[]) =>
                call(
                  () =>
                    (engine[name] as unknown as Record<string, (...all: never[]) => Promise<unknown>>)[method as string]?.(
                      ...args,
                    ) as Promise<unknown>,
                ),
      })
    const followers = new Set<(entries: readonly LogEntry[]) => void>()
    const base: Record<string, unknown> = {
      engine: 'postgres', // It is shared by nodes.
      now: () => call(() => engine.now()),
      transact: async (work: (tx: Tx) => Promise<unknown>) => {
        const life = node.life
        const { answer, appended, renewed } = await call(() =>
          observed(
            (tx) => work(tx),
            () => node.life === life,
          ),
        )
        if (node.life === life && (renewed || appended.length > 0)) for (const told of followers) told(renewed ? [] : appended)
        return answer
      },
      gently: (_haste: Haste, piece: (transact: Store['transact']) => Promise<unknown>) =>
        piece(base.transact as Store['transact']),
      purge: (nowMs: number, limit: number) => call(() => engine.purge(nowMs, limit)),
      health: () => call(() => engine.health()),
      close: async () => {},
    }
    for (const name of GROUPS) base[name] = group(name)
    base.revocations = overlay(base.revocations as Store['revocations'], {
      followCommits(told: (entries: readonly LogEntry[]) => void) {
        followers.add(told)
        return { stop: () => void followers.delete(told) }
      },
    })
    return base as unknown as Store
  }

  /** A transaction as the observer sees it: what it appended and rotated becomes a fact when it has committed. */
  async function observed<T>(work: (tx: Tx) => Promise<T>, isAlive: () => boolean) {
    let atMs = 0
    let facts: Facts = { appended: [], rotated: [], renewed: false }
    const takesMs = self.commitMs === 0 ? 0 : dice.between(0, self.commitMs)
    const [server, connection] = [engine, connections]
    const answer = await server.transact(async (tx) => {
      const mine: Facts = { appended: [], rotated: [], renewed: false }
      facts = mine
      atMs = tx.nowMs
      const done = await work(watched(tx, mine))
      // Works that share a commit wait for the disk together.
      if (takesMs > 0 && tx.nowMs !== slowGroupMs) {
        slowGroupMs = tx.nowMs
        await machine.delay(takesMs)
      }
      // Its node has gone, and with it the connection: the database undoes what it had begun.
      if (!isAlive() || server !== engine) throw fault('store_unavailable')
      return done
    })
    if (server !== engine) throw fault('store_unavailable') // Committed on a server that is no more.
    const appended = facts.appended
      .map(({ entry, place: { seq, epoch } }): LogEntry => ({ ...entry, seq, epoch, atMs }))
      .sort((a, b) => a.seq - b.seq)
    if (facts.renewed) await noteHead()
    else history.committed(appended)
    for (const { family, generation } of facts.rotated) history.rotated(family, generation)
    if (connection !== connections) throw fault('store_unavailable')
    return { answer, appended, renewed: facts.renewed }
  }
}

type Appended = { entry: Parameters<Tx['revocations']['append']>[0]; place: { seq: number; epoch: string } }
interface Facts {
  readonly appended: Appended[]
  readonly rotated: { family: string; generation: number }[]
  renewed: boolean
}

function watched(tx: Tx, facts: Facts): Tx {
  const { revocations, families } = tx
  const watching = {
    revocations: overlay(revocations, {
      append(entry: Appended['entry']) {
        const place = revocations.append(entry)
        facts.appended.push({ entry, place })
        return place
      },
      async newEpoch(...all: Parameters<typeof revocations.newEpoch>) {
        facts.renewed = await revocations.newEpoch(...all)
        return facts.renewed
      },
    }),
    families: overlay(families, {
      async rotate(rotation: Parameters<typeof families.rotate>[0]) {
        const won = await families.rotate(rotation)
        if (won) facts.rotated.push({ family: rotation.id, generation: rotation.spent + 1 })
        return won
      },
    }),
  }
  return overlay(tx, watching)
}

/** The same object with some members of its own; works with private fields, which a copy would not. */
export function overlay<T extends object>(target: T, members: Partial<Record<keyof T, unknown>>): T {
  return new Proxy(target, {
    get(of, name) {
      if (Object.hasOwn(members, name)) return members[name as keyof T]
      const value = Reflect.get(of, name, of) as unknown
      return typeof value === 'function' ? value.bind(of) : value
    },
  })
}

const GROUPS: readonly (keyof Store)[] = [
  'clients',
  'resources',
  'subjects',
  'sessions',
  'devices',
  'families',
  'codes',
  'consents',
  'apiKeys',
  'interactions',
  'keys',
  'peers',
  'revocations',
  'batches',
  'audit',
  'meta',
  'fleet',
]

function open(machine: Machine, present: Present): Promise<Store> {
  return openSqliteStore({ path: ':memory:', surroundings: machine.surroundings }).finally(() => {
    present.image = undefined
  })
}
