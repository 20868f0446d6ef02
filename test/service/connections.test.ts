/** What becomes of connections on their way to a worker (issue "Cores"; docs/decisions/0015). */

import { Socket } from 'node:net'
import test from 'ava'
import { createConnections } from '../../src/service/connections.ts'

function createRig() {
  const sent: { readonly connection: number; readonly socket: Socket }[] = []
  const connections = createConnections(({ connection }, socket) => {
    sent.push({ connection, socket })
  })
  const give = (count: number) => {
    const sockets = Array.from({ length: count }, () => new Socket())
    sockets.forEach(connections.give)
    return sockets
  }
  return { connections, sent, give }
}

test('decision 0015: a few are on their way at once, in their order, so that other messages need not wait for all', (t) => {
  const { connections, sent, give } = createRig()
  const sockets = give(30)
  const atOnce = sent.length
  t.true(atOnce > 1 && atOnce < 16)
  t.is(connections.size, 30)
  for (let n = 0; n < 30; n++) {
    t.true(connections.onTheirWay().length <= atOnce)
    connections.took(sent[n]?.connection ?? 0)
  }
  t.deepEqual(
    sent.map(({ socket }) => socket),
    sockets,
  )
  t.true(
    sockets.every(({ destroyed }) => destroyed),
    'the copies that were kept',
  )
  t.deepEqual(connections.onTheirWay(), [])
  t.is(connections.size, 30)
  connections.left()
  t.is(connections.size, 29)
})

test('decision 0015: what a worker that has ended never had is given back, sent or not, and what it had is not', (t) => {
  const { connections, sent, give } = createRig()
  const sockets = give(30)
  connections.took(sent[0]?.connection ?? 0)
  const back = connections.takeBack()
  t.deepEqual(new Set(back), new Set(sockets.slice(1)))
  t.false(back.some(({ destroyed }) => destroyed))
  t.deepEqual(connections.takeBack(), [])
})

test('issue Cores: what a worker could not open is closed and counted down once, and the next are sent', (t) => {
  const { connections, sent, give } = createRig()
  const sockets = give(30)
  const before = connections.onTheirWay()
  const [arrived = 0, ...lost] = before
  connections.took(arrived)
  t.is(connections.close(before), lost.length)
  t.is(connections.close(before), 0)
  t.is(connections.size, 30 - lost.length)
  const closed = new Set(sockets.slice(0, before.length))
  t.deepEqual(new Set(sockets.filter(({ destroyed }) => destroyed)), closed)
  t.is(sent.length, 2 * before.length)
})
