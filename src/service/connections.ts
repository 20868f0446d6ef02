/** The connections of one worker: those on their way to it, which are kept here until it has them, and how many it has. */

import type { Socket } from 'node:net'
import type { Handover } from './worker-calls.ts'

export interface Connections {
  /** How many it has, those on their way to it among them. */
  readonly size: number
  give(socket: Socket): void
  /** It says that it has that one, and that one of those it had has gone. */
  took(connection: number): void
  left(): void
  /** Sent, and not there as far as is known. */
  onTheirWay(): readonly number[]
  /** Closes those of them that are still on their way; returns how many that are. */
  close(some: readonly number[]): number
  /** It has ended: what it never had is given back. */
  takeBack(): readonly Socket[]
}

/**
 * Node sends one connection at a time, and whatever else is told to the worker meanwhile waits behind all of them: the
 * answer that a proof is unspent, a revocation, the question whether it lives. So they go a few at a time.
 */
const atOnce = 8

/**
 * Kept until the worker says that it has it: one that has just died says nothing, and the peer would wait for ever on a
 * connection that nobody reads.
 *
 * @param send To the worker. Where it cannot be sent the worker has ended, and `takeBack` follows.
 */
export function createConnections(send: (handover: Handover, socket: Socket) => void): Connections {
  const given = new Map<number, Socket>()
  const waiting: Socket[] = []
  let last = 0
  let size = 0

  function forget(connection: number): boolean {
    given.get(connection)?.destroy()
    return given.delete(connection)
  }

  function sendNext(): void {
    while (given.size < atOnce) {
      const socket = waiting.shift()
      if (socket === undefined) return
      given.set(++last, socket)
      send({ connection: last }, socket)
    }
  }

  return {
    get size() {
      return size
    },
    give(socket) {
      size++
      waiting.push(socket)
      sendNext()
    },
    took(connection) {
      forget(connection)
      sendNext()
    },
    left() {
      size--
    },
    onTheirWay: () => [...given.keys()],
    close(some) {
      const closed = some.filter(forget).length
      size -= closed
      sendNext()
      return closed
    },
    takeBack() {
      const sockets = [...given.values(), ...waiting.splice(0)]
      given.clear()
      return sockets
    },
  }
}
