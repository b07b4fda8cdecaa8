/** Ways between parts break: cut, silent in one direction or both, or down for a moment so that everything arrives late. */
import type { Link } from '../link.ts'
import { makeNamespace, missingNamespace } from '../namespace.ts'
import { BOTH, type Fault, turn } from './fault.ts'

const HOWS = ['cut', 'held', 'there', 'back', 'both'] as const

function breakLink(link: Link | undefined, round: number): void {
  const how = turn(HOWS, round)
  if (how === 'cut') link?.cut()
  else if (how === 'held') link?.hold()
  else link?.swallow(...(how === 'both' ? (['there', 'back'] as const) : [how]))
}

const nodeStore: Fault = {
  name: 'partition-node-store',
  about: 'one node is cut off from PostgreSQL: refused, late, deaf, mute, or both',
  engines: ['postgres'],
  inject: ({ nodes }, round) => breakLink(turn(nodes, round).store, round),
  lastsMs: [200, 2000],
  heal: ({ nodes }, round) => turn(nodes, round).store?.heal(),
}

const nodeKernel: Fault = {
  name: 'partition-node-kernel',
  about:
    'a node in a network of its own: what it sends, what it is sent, or both is lost by the kernel, without a word to anybody',
  engines: ['postgres'],
  missing: missingNamespace,
  async prepare({ janitor }) {
    const apart = makeNamespace(janitor)
    return { options: { apart }, close: apart.close }
  },
  inject: ({ apart }, round) => apart?.lose(...turn([['there', 'back'], ['there'], ['back']] as const, round)),
  lastsMs: [200, 4000],
  heal: ({ apart }) => apart?.heal(),
}

const allStore: Fault = {
  name: 'partition-all-store',
  about: 'all nodes are cut off from PostgreSQL',
  engines: ['postgres'],
  inject: ({ nodes }, round) => {
    for (const node of nodes) breakLink(node.store, round)
  },
  lastsMs: [200, 2000],
  heal: ({ nodes }) => {
    for (const node of nodes) node.store?.heal()
  },
}

const slowStore: Fault = {
  name: 'latency-store',
  about: 'whatever nodes and PostgreSQL say to each other takes 50 to 200 ms each way',
  engines: ['postgres'],
  inject: ({ nodes }, round) => {
    for (const node of nodes) node.store?.slow(turn([50, 100, 200], round))
  },
  lastsMs: [500, 2500],
  heal: ({ nodes }) => {
    for (const node of nodes) node.store?.heal()
  },
}

const validatorAuthority: Fault = {
  name: 'partition-validator',
  about: 'validators are cut off from the authority: refused, late, deaf, mute, or both; one, two or all of them',
  engines: BOTH,
  inject: ({ watchers }, round) => {
    for (const watcher of watchers.slice(0, turn([1, 2, 5], round))) breakLink(watcher.link, round)
  },
  lastsMs: [200, 3000],
  heal: ({ watchers }) => {
    for (const watcher of watchers) watcher.link.heal()
  },
}

const needsNats = () => (process.env.SIGNET_NATS_SERVER ? undefined : 'nats-server is not installed')

const nodeBus: Fault = {
  name: 'partition-node-bus',
  about: 'one node is cut off from NATS',
  engines: ['postgres'],
  missing: needsNats,
  inject: ({ nodes }, round) => breakLink(turn(nodes, round).bus, round),
  lastsMs: [200, 2000],
  heal: ({ nodes }, round) => turn(nodes, round).bus?.heal(),
}

const busKill: Fault = {
  name: 'bus-kill',
  about: 'kill -9 of NATS, started again',
  engines: ['postgres'],
  missing: needsNats,
  inject: ({ nats }) => nats?.kill(),
  lastsMs: [200, 1500],
  heal: ({ nats }) => nats?.restart(),
}

const busPause: Fault = {
  name: 'bus-pause',
  about: 'SIGSTOP of NATS, and SIGCONT',
  engines: ['postgres'],
  missing: needsNats,
  inject: ({ nats }) => nats?.freeze(),
  lastsMs: [200, 2500],
  heal: ({ nats }) => nats?.thaw(),
}

const busWipe: Fault = {
  name: 'bus-wipe',
  about: 'NATS is killed and comes back with nothing',
  engines: ['postgres'],
  missing: needsNats,
  inject: ({ nats }) => nats?.wipe(),
  lastsMs: [0, 300],
  heal: () => {},
}

export const networkFaults: readonly Fault[] = [
  nodeStore,
  nodeKernel,
  allStore,
  slowStore,
  validatorAuthority,
  nodeBus,
  busKill,
  busPause,
  busWipe,
]
