/** `/fleet` and receipts: which validators have applied what, as all nodes heard it. */
import { followingOf, GONE_AFTER_MS, knownAppliedMs } from '../../revocation/fleet.ts'
import { refuse } from '../../revocation/refuse.ts'
import type { AdminParts, Some } from './parts.ts'
import { showEntry } from './revocations.ts'

type Parts = Pick<AdminParts, 'store'>
type Validator = Awaited<ReturnType<AdminParts['store']['fleet']['list']>>[number]

export function fleetHandlers({ store }: Parts): Some<'listFleet' | 'showRevocation'> {
  return {
    async listFleet({ query }) {
      const [{ epoch, seq }, nowMs] = await Promise.all([store.revocations.head(), store.now()])
      const place = { epoch, seq, headEpoch: epoch, presentOnly: true } as const
      const [counts, validators] = await Promise.all([store.fleet.count(place, nowMs - GONE_AFTER_MS), page(query)])
      return {
        epoch,
        seq,
        now_ms: nowMs,
        counts,
        items: validators.map((validator) => {
          const state = followingOf(validator, place, nowMs)
          return {
            ...show(validator, state),
            behind: validator.epoch === epoch ? Math.max(0, seq - validator.applied) : seq,
            applied_at_ms: validator.steps.at(-1)?.atMs ?? null,
            // What one said before it fell silent says nothing of now.
            staleness_ms: state === 'gone' ? null : (validator.stalenessMs ?? null),
            version: validator.version,
            first_seen_at_ms: validator.firstSeenMs,
          }
        }),
        ...next(validators, query.limit),
      }
    },

    async showRevocation({ params: { seq }, query }) {
      const [head, nowMs] = await Promise.all([store.revocations.head(), store.now()])
      const epoch = query.epoch ?? head.epoch
      if (epoch === head.epoch && seq > head.seq) throw refuse('not_found', 'unknown_revocation')
      const place = { epoch, seq, headEpoch: head.epoch }
      const [counts, validators, [entry]] = await Promise.all([
        store.fleet.count(place, nowMs - GONE_AFTER_MS),
        page(query),
        epoch === head.epoch ? store.revocations.after(seq - 1, 1) : [],
      ])
      return {
        epoch,
        seq,
        now_ms: nowMs,
        ...(entry?.seq === seq ? { revocation: showEntry(entry) } : {}),
        counts,
        items: validators.map((validator) => ({
          ...show(validator, followingOf(validator, place, nowMs)),
          known_at_ms: knownAppliedMs(validator, place) ?? null,
        })),
        ...next(validators, query.limit),
      }
    },
  }

  function page({ after, limit }: { after?: string | undefined; limit: number }): Promise<readonly Validator[]> {
    return store.fleet.list(after === undefined ? { limit } : { after: readPlace(after), limit })
  }
}

const show = ({ client, validator, epoch, applied, seenMs }: Validator, state: ReturnType<typeof followingOf>) => ({
  client,
  id: validator,
  state,
  epoch,
  applied,
  seen_at_ms: seenMs,
})

/** No name has a space in it. */
function readPlace(after: string): { client: string; validator: string } {
  const [client = '', validator = ''] = after.split(' ')
  return { client, validator }
}

function next(validators: readonly Validator[], limit: number): { next?: string } {
  const last = validators.at(-1)
  return last === undefined || validators.length < limit ? {} : { next: `${last.client} ${last.validator}` }
}
