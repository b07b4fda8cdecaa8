/** The other regions: what was taken over from each, and what each has taken over from us. */
import type { PeerLookups, PeerRecord, PeerTransitions } from '../ports/peers.ts'
import { integer, table, text } from './columns.ts'
import type { Sql, Work } from './sql.ts'

const peers = table<PeerRecord>('peers', {
  name: ['name', text],
  epoch: ['epoch', text],
  seq: ['seq', integer],
  freshAtMs: ['fresh_at_ms', integer],
  keys: ['keys', text],
  toldEpoch: ['told_epoch', text],
  toldSeq: ['told_seq', integer],
})

export function peerLookups(sql: Sql): PeerLookups {
  return {
    async all() {
      const rows = await sql.read(`select ${peers.columns} from peers order by name`, [])
      return rows.map((row) => peers.read(row, sql.dialect))
    },
  }
}

export function peerTransitions(work: Work): PeerTransitions {
  const { larger } = work.dialect
  return {
    all: peerLookups(work).all,
    async create(name) {
      const values = peers.values({ name, epoch: '', seq: 0, freshAtMs: 0, keys: '[]', toldEpoch: '', toldSeq: 0 }, work.dialect)
      return (await work.write(`${peers.insert} on conflict do nothing`, values)) === 1
    },
    async advance(name, from, to) {
      const text = 'update peers set epoch = $2, seq = $3 where name = $1 and epoch = $4 and seq = $5'
      return (await work.write(text, [name, to.epoch, to.seq, from.epoch, from.seq])) === 1
    },
    async prove(name, place, freshAtMs) {
      const text = `update peers set fresh_at_ms = ${larger}(fresh_at_ms, $4) where name = $1 and epoch = $2 and seq >= $3`
      return (await work.write(text, [name, place.epoch, place.seq, freshAtMs])) === 1
    },
    async putKeys(name, keys) {
      return (await work.write('update peers set keys = $2 where name = $1', [name, keys])) === 1
    },
    async tell(name, place) {
      const text = `update peers set told_epoch = $2, told_seq = $3 where name = $1 and (told_epoch <> $2 or told_seq < $3)`
      return (await work.write(text, [name, place.epoch, place.seq])) === 1
    },
    async delete(name) {
      return (await work.write('delete from peers where name = $1', [name])) === 1
    },
  }
}
