/** Streams that never end, come by the thousand, or are given up: nothing of them stays, and everybody else is answered. */

import { connect } from 'node:http2'
import { setTimeout as sleep } from 'node:timers/promises'
import test from 'ava'
import { flags, frame, frameTypes, openPeer, type RawPeer } from '../support/raw-http2.ts'
import {
  asEver,
  checkHeaders,
  checkPath,
  framed,
  startVictim,
  type Victim,
  type VictimOptions,
} from '../support/victim.ts'

const headers = checkHeaders()
const streamId = (index: number) => 2 * index + 1
const ways: readonly number[] = [frameTypes.headers, frameTypes.reset, frameTypes.goaway]
const cancelled = Buffer.from([0, 0, 0, 8])
const quick: VictimOptions = { deadline: '300ms' }

async function answered(peer: RawPeer, stream: number): Promise<boolean> {
  const found = await peer.until(
    (frame) => ways.includes(frame.type) && (frame.stream === stream || frame.stream === 0),
  )
  return found !== undefined
}

async function openTo(t: { teardown(fn: () => void): void }, { port }: Victim): Promise<RawPeer> {
  const peer = await openPeer(port)
  t.teardown(() => peer.destroy())
  return peer
}

test.serial(
  'O251: a length of two gigabytes, and then silence, is answered at the deadline (architecture §9)',
  async (t) => {
    const victim = await startVictim(t, quick)
    const peer = await openTo(t, victim)
    await peer.write(frame(frameTypes.headers, 1, headers, flags.endHeaders))
    await peer.write(frame(frameTypes.data, 1, framed(Buffer.alloc(0), 0, 0x7fffffff)))
    t.true(await answered(peer, 1))
    t.is(await victim.serves(), asEver)
  },
)

test.serial(
  'O254: ten thousand streams of headers alone are each answered or refused in time, and leave no memory behind',
  async (t) => {
    const victim = await startVictim(t, quick)
    const peers = await Promise.all(Array.from({ length: 10 }, () => openTo(t, victim)))
    const before = victim.rssMebibytes()
    const open = peers.map(async (peer) => {
      const many = Array.from({ length: 1000 }, (_, i) =>
        frame(frameTypes.headers, streamId(i), headers, flags.endHeaders),
      )
      await peer.write(Buffer.concat(many))
      for (let i = 0; i < many.length; i++)
        if (!(await answered(peer, streamId(i)))) return 'closed'
      return 'answered'
    })
    t.deepEqual([...new Set(await Promise.all(open))], ['answered'])
    t.is(await victim.serves(), asEver)
    t.true(victim.rssMebibytes() < before + 128, `from ${before} to ${victim.rssMebibytes()} MiB`)
  },
)

test.serial(
  'O254: two thousand bodies that stop half-way are each answered at the deadline',
  async (t) => {
    const victim = await startVictim(t, quick)
    const half = framed(Buffer.alloc(15_000, 0x12), 0, 200_000)
    const answers: Promise<unknown>[] = []
    for (let i = 0; i < 20; i++) {
      const session = connect(`http://127.0.0.1:${victim.port}`)
      t.teardown(() => session.destroy())
      for (let j = 0; j < 100; j++) {
        const stream = session.request({
          ':method': 'POST',
          ':path': checkPath,
          'content-type': 'application/grpc',
        })
        stream.on('error', () => {})
        stream.write(half)
        answers.push(new Promise((resolve) => stream.once('response', () => resolve('answered'))))
      }
    }
    t.deepEqual([...new Set(await Promise.all(answers))], ['answered'])
    t.is(await victim.serves(), asEver)
    t.true(victim.rssMebibytes() < 400)
  },
)

/** Such calls are read by grpc-js, which would wait for ever where the caller names no `grpc-timeout`. */
for (const [title, more] of Object.entries({
  'of a compressed call': { 'grpc-encoding': 'gzip' },
  'of a health check': { ':path': '/grpc.health.v1.Health/Check' },
})) {
  test.serial(`O251: half a message ${title} is not kept for ever`, async (t) => {
    const victim = await startVictim(t, quick)
    const peer = await openTo(t, victim)
    await peer.write(frame(frameTypes.headers, 1, checkHeaders(more), flags.endHeaders))
    await peer.write(frame(frameTypes.data, 1, framed(Buffer.alloc(1000), 1, 4_000_000)))
    t.true(await Promise.race([answered(peer, 1), sleep(5000, false)]))
  })
}

test.serial(
  'O259: a question in DATA frames of one byte is answered, and a long one as soon as it is too long',
  async (t) => {
    const victim = await startVictim(t)
    const peer = await openTo(t, victim)
    const bystander = victim.bystander()
    const before = victim.rssMebibytes()
    const sendBytes = async (stream: number, body: Buffer) => {
      await peer.write(frame(frameTypes.headers, stream, headers, flags.endHeaders))
      const frames = [...body].map((byte) => frame(frameTypes.data, stream, Buffer.of(byte)))
      await peer.write(Buffer.concat(frames))
      await peer.write(frame(frameTypes.data, stream, undefined, flags.endStream))
      return answered(peer, stream)
    }
    t.true(await sendBytes(1, framed(victim.owned)))
    for (let i = 1; i <= 10; i++) t.true(await sendBytes(streamId(i), framed(Buffer.alloc(30_000))))
    const { answers } = await bystander.stop()
    t.deepEqual(answers, [asEver])
    t.true(victim.rssMebibytes() < before + 128, `from ${before} to ${victim.rssMebibytes()} MiB`)
  },
)

test.serial(
  'O255: a connection on which six thousand questions are given up at once goes on, and others on it are answered: it is an Envoy’s, for all of its clients',
  async (t) => {
    const victim = await startVictim(t)
    const peer = await openTo(t, victim)
    const question = framed(victim.owned)
    const count = 6000
    for (let i = 0; i < count; i++) {
      const id = streamId(i)
      const opening = frame(frameTypes.headers, id, headers, flags.endHeaders)
      const body = frame(frameTypes.data, id, question, flags.endStream)
      const giveUp = frame(frameTypes.reset, id, cancelled)
      t.true(await peer.write(Buffer.concat([opening, body, giveUp])), `closed after ${i}`)
    }
    const last = streamId(count)
    await peer.write(frame(frameTypes.headers, last, headers, flags.endHeaders))
    await peer.write(frame(frameTypes.data, last, question, flags.endStream))
    const answer = await peer.until(
      ({ stream, type }) => stream === last || type === frameTypes.goaway,
    )
    t.like(answer, { type: frameTypes.headers, stream: last })
    t.is(peer.frames.filter(({ type }) => type === frameTypes.goaway).length, 0)
  },
)

test.serial(
  'O254: calls of other methods that never end take no place from the checks',
  async (t) => {
    const victim = await startVictim(t)
    const block = checkHeaders({ ':path': '/grpc.health.v1.Health/Check' })
    const bystander = victim.bystander()
    for (let n = 0; n < 4; n++) {
      const peer = await openTo(t, victim)
      const many = Array.from({ length: 1000 }, (_, i) =>
        frame(frameTypes.headers, streamId(i), block, flags.endHeaders),
      )
      await peer.write(Buffer.concat(many))
      t.is(await victim.serves(), asEver)
    }
    const { asked, answers } = await bystander.stop()
    t.true(asked > 0)
    t.deepEqual(answers, [asEver])
  },
)

test.serial(
  'O262: of ten thousand checks that are given up mid-way nothing stays, and no answer comes out wrong later',
  async (t) => {
    const victim = await startVictim(t)
    const bystander = victim.bystander()
    const [owned, stolen] = [framed(victim.owned), framed(victim.stolen)]
    let sent = 0
    // A connection is closed for resets that come too fast (CVE-2023-44487), so there are many.
    while (sent < 10_000) {
      const peer = await openPeer(victim.port)
      for (let i = 0; i < 500 && sent < 10_000; i++, sent++) {
        const id = streamId(i)
        const question = frame(frameTypes.data, id, i % 2 === 0 ? owned : stolen, flags.endStream)
        const opening = frame(frameTypes.headers, id, headers, flags.endHeaders)
        const giveUp = frame(frameTypes.reset, id, cancelled)
        if (!(await peer.write(Buffer.concat([opening, question, giveUp])))) break
      }
      peer.destroy()
    }
    const { answers } = await bystander.stop()
    t.deepEqual(answers, [asEver])
    t.is(await victim.serves(), asEver)
    t.true(victim.rssMebibytes() < 400)
  },
)

test.serial(
  'O263: ten thousand idle connections, and every new one is answered; once they are gone, too',
  async (t) => {
    const victim = await startVictim(t)
    const before = victim.rssMebibytes()
    const peers: RawPeer[] = []
    t.teardown(() => {
      for (const peer of peers) peer.destroy()
    })
    for (let i = 0; i < connections(); i += 200)
      peers.push(...(await Promise.all(Array.from({ length: 200 }, () => openPeer(victim.port)))))
    const kibibytesEach = (1024 * (victim.rssMebibytes() - before)) / peers.length
    t.log(`${peers.length} connections, ${kibibytesEach.toFixed(1)} KiB each`)
    t.true(kibibytesEach < 64)
    t.is(peers.filter(({ closed }) => closed).length, 0)
    t.is(await victim.serves(), asEver)
    for (const peer of peers) peer.destroy()
    t.is(await victim.serves(), asEver)
  },
)

/** As many as this process and the server may have open each, where that is fewer than ten thousand. */
function connections(): number {
  const report = process.report.getReport() as unknown as {
    readonly userLimits?: { readonly open_files?: { readonly hard: number | string } }
  }
  const limit = Number(report.userLimits?.open_files?.hard ?? 'NaN')
  return Number.isFinite(limit) ? Math.min(10_000, Math.floor(limit / 2)) : 10_000
}
