/** The connections of one worker: those on their way to it, which are kept here until it has them, and how many it has. */

import type { Socket } from 'node:net'
import type { Handover } from './worker-calls.ts'

export interface Connections {
  /** How many it has, those on their way among them. */
  readonly size: number
  give(socket: Socket): void
  /** It says that it has that one, and that one of those it had has gone. */
  took(connection: number): void
  left(): void
  onTheirWay(): readonly number[]
  /** Closes those of them that are still on their way; returns how many that are. */
  close(some: readonly number[]): number
  /** It has ended: what it never had is given back. */
  takeBack(): readonly Socket[]
}

/**
 * Kept until the worker says that it has it: one that has just died says nothing, and the peer would wait for ever on a
 * connection that nobody reads.
 *
 * @param send To the worker. Where it cannot be sent the worker has ended, and `takeBack` follows.
 */
export function createConnections(send: (handover: Handover, socket: Socket) => void): Connections {
  const given = new Map<number, Socket>()
  let last = 0
  let size = 0

  function forget(connection: number): boolean {
    given.get(connection)?.destroy()
    return given.delete(connection)
  }

  return {
    get size() {
      return size
    },
    give(socket) {
      size++
      given.set(++last, socket)
      send({ connection: last }, socket)
    },
    took: forget,
    left() {
      size--
    },
    onTheirWay: () => [...given.keys()],
    close(some) {
      const closed = some.filter(forget).length
      size -= closed
      return closed
    },
    takeBack() {
      const sockets = [...given.values()]
      given.clear()
      return sockets
    },
  }
}
