/** Letting somebody or something rest, and go on. */

import type { AdminClient } from '@signet/api/client.ts'
import { buildRouteMap } from '@stricli/core'
import type { Cli, Context } from '../cli.ts'
import { arg, command, flag, given, USER } from '../command.ts'
import { findUser } from '../lookup.ts'
import { printable } from '../output/printable.ts'
import { showReceipt, WAIT, type Wait } from './receipt.ts'

/** What people type, and what the API calls it. */
const KINDS = { user: 'subject', client: 'client', session: 'session', device: 'device', grant: 'grant' } as const
type Noun = keyof typeof KINDS

export function suspendCommand(noun: Noun, brief: string) {
  return command({
    brief,
    flags: {
      reason: flag.optional('Goes into the audit record: no personal data', 'TEXT'),
      wait: WAIT,
    },
    args: target(noun),
    async run(cli: Cli, { reason, wait }: { reason?: string; wait?: Wait }, named: string) {
      const admin = await cli.admin()
      const id = await idOf(admin, noun, named)
      const body = { target: { kind: KINDS[noun], id }, reason: reason ?? 'suspended by an administrator' }
      return showReceipt(cli, admin, () => admin.call('suspend', { body }), { verb: 'suspended', wait })
    },
  })
}

export function resumeCommand(noun: Noun, brief: string) {
  return command({
    brief,
    flags: {
      reason: flag.optional('Goes into the audit record: no personal data', 'TEXT'),
      here: flag.on('Also a suspension of another region, after it was lifted there'),
    },
    args: target(noun),
    async run(cli: Cli, { reason, here }: { reason?: string; here: boolean }, named: string) {
      const admin = await cli.admin()
      const id = await idOf(admin, noun, named)
      await admin.call('resume', {
        params: { kind: KINDS[noun], id },
        query: { ...given({ reason }), here: here ? 'true' : 'false' },
      })
      resumed(cli, noun, id)
    },
  })
}

export const suspend = buildRouteMap<string, Context>({
  docs: { brief: 'Stop somebody or something until resumed' },
  routes: {
    user: suspendCommand('user', 'Nothing of this person works until resumed'),
    client: suspendCommand('client', 'This client gets no tokens, and those it has are refused'),
    session: suspendCommand('session', 'This sign-in rests'),
    device: suspendCommand('device', 'Nothing from this device works'),
    grant: suspendCommand('grant', 'This grant yields no tokens'),
  },
})

export const resume = buildRouteMap<string, Context>({
  docs: { brief: 'Lift a suspension' },
  routes: {
    user: resumeCommand('user', 'Lift the suspension of a person'),
    client: resumeCommand('client', 'Lift the suspension of a client'),
    session: resumeCommand('session', 'Lift the suspension of a session'),
    device: resumeCommand('device', 'Lift the suspension of a device'),
    grant: resumeCommand('grant', 'Lift the suspension of a grant'),
  },
})

function target(noun: Noun) {
  return noun === 'user' ? USER : arg('ID', `The ${noun} id`)
}

const idOf = async (admin: AdminClient, noun: Noun, named: string): Promise<string> =>
  noun === 'user' ? (await findUser(admin, named)).id : named

function resumed(cli: Cli, noun: Noun, id: string): void {
  cli.show(
    { resumed: { kind: KINDS[noun], id } },
    () =>
      `${cli.out.good('resumed')}  ${noun} ${printable(id)}; access tokens from before the suspension stay dead, new ones work`,
  )
}
