/** HTTP/2 abuse of a service with workers: a connection stays with one of them, which must stand it as a process by itself does. */

import { setTimeout as sleep } from 'node:timers/promises'
import test from 'ava'
import {
  flags,
  frame,
  frameTypes,
  headerBlock,
  openPeer,
  type RawPeer,
} from '../support/raw-http2.ts'
import { asEver, checkHeaders, startVictim } from '../support/victim.ts'

const headers = checkHeaders()
const cancelled = Buffer.of(0, 0, 0, 8)
const streamId = (index: number) => 2 * index + 1
const begin = (id: number) => frame(frameTypes.headers, id, headers, flags.endHeaders)
const times = (count: number, make: (n: number) => Buffer) =>
  Buffer.concat(Array.from({ length: count }, (_, n) => make(n)))

/** On each of these connections, at once. */
const attacks: { readonly [title: string]: (peer: RawPeer) => Promise<unknown> } = {
  'O254: streams of headers alone': (peer) => peer.write(times(100, (n) => begin(streamId(n)))),
  'O255: streams that are opened and reset': (peer) =>
    peer.write(
      times(5000, (n) =>
        Buffer.concat([begin(streamId(n)), frame(frameTypes.reset, streamId(n), cancelled)]),
      ),
    ),
  'O256: header blocks without an end': async (peer) => {
    const more = frame(frameTypes.continuation, 1, headerBlock([['x-a', 'y'.repeat(1000)]]))
    await peer.write(frame(frameTypes.headers, 1, headers))
    await peer.write(times(2000, () => more))
  },
  'O263: idle connections': () => sleep(1),
}
const connections = { 'O263: idle connections': 1000 }

for (const [title, act] of Object.entries(attacks))
  test.serial(
    `${title}, at both of two workers: nobody else notices, and neither of them ends`,
    async (t) => {
      const victim = await startVictim(t, { workers: 2, deadline: '2s' })
      const bystanders = Array.from({ length: 4 }, () => victim.bystander())
      const count = connections[title as keyof typeof connections] ?? 8
      const peers = await Promise.all(Array.from({ length: count }, () => openPeer(victim.port)))
      t.teardown(() => {
        for (const peer of peers) peer.destroy()
      })
      await Promise.all(peers.map(act))
      t.is(await victim.serves(), asEver)
      for (const peer of peers) peer.destroy()
      for (const { stop } of bystanders) {
        const { asked, answers } = await stop()
        t.true(asked > 0)
        t.deepEqual(answers, [asEver])
      }
      t.is(await victim.serves(), asEver)
      t.deepEqual(
        victim.meshbind.lines.filter(({ level }) => level === 'error'),
        [],
      )
    },
  )
