/** HTTP/2 abuse, frame by frame (RFC 9113 §10.5): the connection of whoever does it ends, everybody else is answered as ever. */

import test, { type ExecutionContext } from 'ava'
import {
  errorCodeOf,
  flags,
  frame,
  frameTypes,
  headerBlock,
  integer,
  openPeer,
  type RawPeer,
} from '../support/raw-http2.ts'
import {
  asEver,
  checkHeaders,
  framed,
  startVictim,
  type Victim,
  type VictimOptions,
} from '../support/victim.ts'

const uint32 = (value: number) => {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32BE(value)
  return bytes
}
const cancelled = uint32(8)
const headers = checkHeaders()
const breath = () => new Promise((resolve) => setImmediate(resolve))
const streamId = (index: number) => 2 * index + 1
const batch = 100

/** Writes batches until there are enough or the connection is gone; how many frames there were. */
async function flood(
  peer: RawPeer,
  batches: number,
  make: (index: number) => Buffer,
): Promise<number> {
  for (let i = 0; i < batches; i++) {
    const frames = Array.from({ length: batch }, (_, j) => make(i * batch + j))
    if (!(await peer.write(Buffer.concat(frames)))) return (i + 1) * batch
    await breath()
  }
  return batches * batch
}

/** The attack, with a bystander who is answered all the while. The process lives, and serves a new connection as well. */
async function attack(
  t: ExecutionContext,
  act: (victim: Victim, peer: RawPeer) => Promise<void>,
  options?: VictimOptions,
): Promise<void> {
  const victim = await startVictim(t, options)
  t.is(await victim.serves(), asEver, 'control')
  const peer = await openPeer(victim.port)
  t.teardown(() => peer.destroy())
  const bystander = victim.bystander()
  await act(victim, peer)
  const { asked, answers } = await bystander.stop()
  t.true(asked > 0)
  t.deepEqual(answers, [asEver], 'of the bystander')
  t.is(await victim.serves(), asEver, 'afterwards')
}

/** RFC 9113 §7: 1 PROTOCOL_ERROR, 2 INTERNAL_ERROR, 3 FLOW_CONTROL_ERROR, 11 ENHANCE_YOUR_CALM. A reset connection says none. */
async function assertClosed(t: ExecutionContext, peer: RawPeer): Promise<void> {
  await peer.ended
  const told = peer.frames.find(({ type }) => type === frameTypes.goaway)
  if (told !== undefined) t.true([1, 2, 3, 11].includes(errorCodeOf(told)), `${errorCodeOf(told)}`)
}

/** Resets are limited by it: so few that the flood outruns the limit on a slow machine as well. */
const limited: VictimOptions = { maxInFlight: 256 }

test.serial(
  'O255: of a hundred thousand streams that are opened and reset few are taken, and the connection ends (CVE-2023-44487)',
  async (t) => {
    await attack(
      t,
      async (_victim, peer) => {
        const reset = (i: number) =>
          Buffer.concat([
            frame(frameTypes.headers, streamId(i), headers, flags.endHeaders),
            frame(frameTypes.reset, streamId(i), cancelled),
          ])
        const sent = await flood(peer, 1000, reset)
        t.true(sent < 100_000, `closed after ${sent}`)
        await assertClosed(t, peer)
      },
      limited,
    )
  },
)

test.serial('O255: the same with a whole question on each stream', async (t) => {
  await attack(
    t,
    async (victim, peer) => {
      const question = framed(victim.owned)
      const reset = (i: number) =>
        Buffer.concat([
          frame(frameTypes.headers, streamId(i), headers, flags.endHeaders),
          frame(frameTypes.data, streamId(i), question, flags.endStream),
          frame(frameTypes.reset, streamId(i), cancelled),
        ])
      const sent = await flood(peer, 1000, reset)
      t.true(sent < 100_000, `closed after ${sent}`)
      await assertClosed(t, peer)
    },
    limited,
  )
})

test.serial(
  'O256: a header block that never ends ends the connection (CVE-2024-27316)',
  async (t) => {
    await attack(t, async (_victim, peer) => {
      await peer.write(frame(frameTypes.headers, 1, headers))
      const more = frame(frameTypes.continuation, 1, headerBlock([['x-a', 'y'.repeat(1000)]]))
      await flood(peer, 1000, () => more)
      await assertClosed(t, peer)
    })
  },
)

test.serial('O256: nor do empty CONTINUATION frames go on for ever', async (t) => {
  await attack(t, async (_victim, peer) => {
    await peer.write(frame(frameTypes.headers, 1, headers))
    await flood(peer, 1000, () => frame(frameTypes.continuation, 1))
    await assertClosed(t, peer)
  })
})

test.serial(
  'O257: a window over 2^31-1, on a thousand connections, is an error of each and leaves no memory behind (CVE-2026-21714)',
  async (t) => {
    await attack(t, async (victim) => {
      const most = uint32(0x7fffffff)
      const overflow = async () => {
        const peer = await openPeer(victim.port)
        const update = frame(frameTypes.windowUpdate, 0, most)
        await peer.write(Buffer.concat([update, update]))
        await peer.ended
        const told = peer.frames.find(({ type }) => type === frameTypes.goaway)
        return told && errorCodeOf(told)
      }
      for (let i = 0; i < 50; i++) await overflow()
      const before = victim.rssMebibytes()
      const codes = new Set<number | undefined>()
      for (let i = 0; i < 1000; i++) codes.add(await overflow())
      t.deepEqual([...codes], [3], 'FLOW_CONTROL_ERROR')
      t.true(victim.rssMebibytes() < before + 64, `from ${before} to ${victim.rssMebibytes()} MiB`)
    })
  },
)

for (const [name, type] of [
  ['PING', frameTypes.ping],
  ['SETTINGS', frameTypes.settings],
] as const) {
  test.serial(
    `O258: a flood of ${name} whose answers nobody reads ends the connection (CVE-2019-9512, CVE-2019-9515)`,
    async (t) => {
      await attack(t, async (_victim, peer) => {
        peer.stopReading()
        const one = frame(type, 0, type === frameTypes.ping ? Buffer.alloc(8) : undefined)
        const sent = await flood(peer, 20_000, () => one)
        t.true(sent < 2_000_000, `closed after ${sent}`)
      })
    },
  )
}

test.serial(
  'O258: empty DATA frames cost nothing that stays, and a question after a few of them is answered (CVE-2019-9518)',
  async (t) => {
    await attack(t, async (victim, peer) => {
      await peer.write(frame(frameTypes.headers, 1, headers, flags.endHeaders))
      await flood(peer, 1, () => frame(frameTypes.data, 1))
      await peer.write(frame(frameTypes.data, 1, framed(victim.owned), flags.endStream))
      const answered = await peer.until(({ type }) => type === frameTypes.headers)
      t.is(answered?.stream, 1)
      await peer.write(frame(frameTypes.headers, 3, headers, flags.endHeaders))
      await flood(peer, 10_000, () => frame(frameTypes.data, 3))
      t.true(victim.rssMebibytes() < 400)
    })
  },
)

test.serial(
  'O260: a header that is told once and named a thousand times is not taken (HPACK bomb, CVE-2016-6581)',
  async (t) => {
    await attack(t, async (_victim, peer) => {
      const name = Buffer.from('x-big')
      const value = Buffer.alloc(4000, 'a')
      const incremental = [
        Buffer.of(0x40),
        integer(name.length, 7, 0),
        name,
        integer(value.length, 7, 0),
        value,
      ]
      const again = Buffer.alloc(12_000, 0xbe) // the newest entry of the dynamic table, RFC 7541 §6.1
      const both = flags.endHeaders | flags.endStream
      const first = Buffer.concat([headers, ...incremental, again])
      await peer.write(frame(frameTypes.headers, 1, first, both))
      const refused = await peer.until(
        ({ type }) => type === frameTypes.reset || type === frameTypes.goaway,
      )
      if (refused !== undefined) t.is(errorCodeOf(refused), 11)
      await flood(peer, 10, (i) =>
        frame(frameTypes.headers, streamId(i + 1), Buffer.concat([headers, again]), both),
      )
      t.false(peer.frames.some(({ type }) => type === frameTypes.headers))
    })
  },
)

test.serial(
  'O260: a header block of 64 kB is answered or refused, and one of a megabyte ends the connection',
  async (t) => {
    await attack(t, async (victim, peer) => {
      const large = (fields: number) =>
        Buffer.concat([
          headers,
          ...Array.from({ length: fields }, (_, i) => headerBlock([[`x-${i}`, 'y'.repeat(1000)]])),
        ])
      const ways = [frameTypes.headers, frameTypes.reset, frameTypes.goaway] as readonly number[]
      await peer.write(cut(large(64)))
      t.true(ways.includes((await peer.until(({ type }) => ways.includes(type)))?.type ?? -1))
      const other = await openPeer(victim.port)
      await other.write(cut(large(1000)))
      await assertClosed(t, other)
    })
  },
)

/** One header block in frames of the size that every server takes (RFC 9113 §4.2). */
function cut(block: Buffer): Buffer {
  const size = 16_000
  const frames: Buffer[] = []
  for (let at = 0; at < block.length; at += size) {
    const [type, first] =
      at === 0 ? [frameTypes.headers, flags.endStream] : [frameTypes.continuation, 0]
    const last = at + size >= block.length ? flags.endHeaders : 0
    frames.push(frame(type, 1, block.subarray(at, at + size), first | last))
  }
  return Buffer.concat(frames)
}
