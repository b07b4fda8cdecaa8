/** What a node knows of another region, and writes down of it for whoever begins anew. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { manualSurroundings } from '@signet/testkit/surroundings.ts'
import { openWorld } from '../revocation/world.testkit.ts'
import { openSqliteStore } from '../store/sqlite.ts'
import { followPeer } from './follow-peer.ts'
import type { Link } from './link.ts'

test('that a region is known whole is written down by the time of the question, however the clock here was set meanwhile', async () => {
  for (const stepMs of [-400, 400]) {
    const [ours, theStores] = [manualSurroundings(), manualSurroundings()]
    const store = await openSqliteStore({ path: ':memory:', surroundings: theStores })
    const world = await openWorld({ store, surroundings: ours })
    await store.transact((tx) => tx.peers.create('other'))
    const askedMs = theStores.clock.now()
    let asked = 0
    const link: Link = {
      async get(_path, _query, schema) {
        if (asked++ > 0) return new Promise(() => {})
        ours.clock.step(stepMs)
        for (const { clock } of [ours, theStores]) clock.advance(30)
        const to = { epoch: 'theirs', seq: 0 }
        const page = { region: 'other', issuer: world.issuer, to, complete: true, gap: false, keys: '', entries: [] }
        return schema.parse({ ...page, now_ms: theStores.clock.now(), held_ms: 30 })
      },
      post: () => new Promise(() => {}),
      close() {},
    }
    const peer = { name: 'other', url: 'https://other.example' }
    const followed = await followPeer({ ...world, self: 'here', peer, link, checkKeys() {} })
    await followed.asked
    const proven = async () => (await store.peers.all())[0]?.freshAtMs ?? 0
    while ((await proven()) === 0) await new Promise((resolve) => setImmediate(resolve))
    assert.ok((await proven()) <= askedMs, `${(await proven()) - askedMs} ms later than it was`)
    assert.ok((await proven()) >= askedMs - Math.abs(stepMs))
    void followed.close()
    await world.close()
  }
})
