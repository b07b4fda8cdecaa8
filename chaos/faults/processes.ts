/** Processes die, stand still, and are replaced while others work. */
import { BOTH, type Fault, turn } from './fault.ts'

const nodeKill: Fault = {
  name: 'node-kill',
  about: 'kill -9 of a node, started again',
  engines: BOTH,
  inject: ({ nodes }, round) => turn(nodes, round).proc.kill(),
  lastsMs: [100, 700],
  heal: ({ nodes }, round) => turn(nodes, round).start(),
}

const nodePause: Fault = {
  name: 'node-pause',
  about: 'SIGSTOP of a node, and SIGCONT',
  engines: BOTH,
  inject: ({ nodes }, round) => turn(nodes, round).proc.pause(),
  lastsMs: [200, 2000],
  heal: ({ nodes }, round) => turn(nodes, round).proc.resume(),
}

const validatorKill: Fault = {
  name: 'validator-kill',
  about: 'kill -9 of a validator, started again from its file',
  engines: BOTH,
  inject: ({ watchers }, round) => turn(watchers, round).proc.kill(),
  lastsMs: [0, 500],
  heal: ({ watchers }, round) => turn(watchers, round).start(),
}

const validatorPause: Fault = {
  name: 'validator-pause',
  about: 'SIGSTOP of a validator, and SIGCONT',
  engines: BOTH,
  inject: ({ watchers }, round) => turn(watchers, round).proc.pause(),
  lastsMs: [200, 1500],
  heal: ({ watchers }, round) => turn(watchers, round).proc.resume(),
}

const upgrade: Fault = {
  name: 'rolling-upgrade',
  about: 'every node in turn is told to stop, drains, and is started again',
  engines: BOTH,
  async inject({ nodes }) {
    for (const node of nodes) {
      await node.proc.stop()
      await node.start()
    }
  },
  lastsMs: [0, 0],
  heal: () => {},
}

export const processFaults: readonly Fault[] = [nodeKill, nodePause, validatorKill, validatorPause, upgrade]
