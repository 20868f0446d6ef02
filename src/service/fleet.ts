/** The workers of a service: started, watched, replaced when one ends, told of what all must know, and ended together. */

import type { Worker as Child } from 'node:cluster'
import type { Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { CommandError, exitCode } from '../exit.ts'
import type { Log } from '../observe/log.ts'
import type { WorkerReadings } from '../observe/metric-list.ts'
import type { RevocationStore } from '../state/revocation-feed.ts'
import type { RevocationEntry } from '../state/revocations.ts'
import { endsWithin } from '../time-limit.ts'
import type { Taking } from './answering.ts'
import { type Connections, createConnections } from './connections.ts'
import { createDoors } from './doors.ts'
import type { AskAll } from './figures.ts'
import { type Counting, createLedger } from './ledger.ts'
import type { InForce } from './policy-keeper.ts'
import type { LiveTools } from './tools.ts'
import { callWorker, type WorkerState } from './worker-calls.ts'
import { startWorkerProcess } from './worker-process.ts'

export interface Fleet extends Taking {
  readonly revocations: Pick<RevocationStore, 'add'>
  readings(): WorkerReadings
  /** Of each worker, and of those that have ended. */
  readonly count: AskAll
  /** For the operator. */
  describe(): readonly object[]
}

interface Member extends Counting {
  readonly number: number
  readonly child: Child
  /** Resolves once its process has ended, and all that it wrote has been read. */
  readonly exited: Promise<void>
  servesSince: number | undefined
  readonly connections: Connections
  /** For how many beats it has not said how it is. */
  silent: number
  state: WorkerState
}

const beatMs = 2000
/** The first reads of all sources among it, on a machine that has hardly any time for it. */
const startLimitMs = 60_000
/** A worker that served this long was sound: it is replaced at once. */
const soundAfterMs = 10_000
const firstPauseMs = 1000
const longestPauseMs = 30_000
/** After the drain, for what a worker still writes. */
const endGraceMs = 2000

/** @param inForce Asked for once the policy is loaded. */
export function createFleet(
  size: number,
  tools: LiveTools,
  log: Log,
  inForce: () => InForce,
): Fleet {
  const members = new Map<number, Member>()
  const doors = createDoors(give)
  const ledger = createLedger()
  let ended = 0
  let leaving = false
  let ending = false
  let beat: NodeJS.Timeout | undefined

  const sorted = () => [...members.values()].toSorted((a, b) => a.number - b.number)
  const serving = () => sorted().filter((each) => each.servesSince !== undefined)

  /** Resolves once it serves; rejects if it ends before. */
  async function start(number: number): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    const gone = Promise.withResolvers<void>()
    const child = startWorkerProcess(size, log)
    const connections = createConnections((handover, socket) => {
      child.send(handover, socket, { keepOpen: true }, () => {})
    })
    const calls = callWorker(child, {
      begin: () => ({ number, inForce: inForce(), memory: tools.memory() }),
      serving() {
        clearTimeout(late)
        member.servesSince = performance.now()
        if (leaving) calls.leave().catch(() => {})
        resolve()
      },
      took: (connection) => connections.took(connection),
      left: () => connections.left(),
      spend: (...proof) => tools.tools.replay.spend(...proof),
      async ended(counts) {
        member.counts = counts
      },
    })
    const member: Member = {
      number,
      child,
      calls,
      exited: gone.promise,
      servesSince: undefined,
      counts: {},
      state: { policyRevision: '', inFlight: 0 },
      connections,
      silent: 0,
    }
    members.set(number, member)
    const late = setTimeout(() => child.process.kill('SIGKILL'), startLimitMs).unref()
    // Of a process that could not be started nothing but an error is heard.
    child.on('error', () => {
      if (child.process.pid !== undefined) return
      gone.resolve()
      over(null, null)
    })
    child.process.once('close', () => gone.resolve())
    child.once('exit', over)

    function over(code: number | null, signal: string | null): void {
      clearTimeout(late)
      calls.$close()
      members.delete(number)
      connections.takeBack().forEach(give)
      ledger.close(member)
      if (member.servesSince === undefined)
        reject(new CommandError(failed, code || exitCode.couldNotRun))
      else if (!ending) replace(member, { code, signal })
    }
    return promise
  }

  /** To who has the fewest, of those that answer. One that hangs keeps it until it is ended. */
  function give(socket: Socket): void {
    const [to] = serving().toSorted(
      (a, b) =>
        Number(a.silent > 1) - Number(b.silent > 1) || a.connections.size - b.connections.size,
    )
    if (to === undefined) socket.destroy()
    else to.connections.give(socket)
  }

  async function replace({ number, servesSince = 0 }: Member, how: object): Promise<void> {
    ended++
    log.app.error({ worker: number, ...how }, 'a worker ended, and is replaced')
    let pauseMs = performance.now() - servesSince > soundAfterMs ? 0 : firstPauseMs
    for (;;) {
      await sleep(pauseMs, undefined, { ref: false })
      if (ending) return
      const served = await start(number).then(
        () => true,
        () => false,
      )
      if (served) return log.app.info({ worker: number }, 'a worker serves in its place')
      pauseMs = Math.min(2 * Math.max(pauseMs, firstPauseMs), longestPauseMs)
      if (!ending)
        log.app.error({ worker: number, again_in_ms: pauseMs }, 'a worker could not start')
    }
  }

  /** A worker that hangs is worse than one that has ended: its connections stay with it. */
  async function watch(member: Member): Promise<void> {
    if (member.silent++ > 0) return
    const { connections } = member
    const before = connections.onTheirWay()
    try {
      member.state = await member.calls.state()
      member.silent = 0
      // It has read all that came before the question: these it could not open. No peer is to wait for that.
      const lost = connections.close(before)
      if (lost > 0) log.app.error({ worker: member.number, connections: lost }, notTaken)
    } catch {
      if (members.get(member.number) !== member || ending) return
      log.app.error({ worker: member.number }, 'a worker does not answer, and is ended')
      member.child.process.kill('SIGKILL')
    }
  }

  async function add(entries: readonly RevocationEntry[]): Promise<'stored' | 'unavailable'> {
    const stored = await tools.revocations.add(entries)
    if (stored !== 'stored' || tools.memory() === undefined) return stored
    const answers = [...members.values()].map(async ({ calls, servesSince }) => {
      const answer = calls.revoke(entries).catch(() => 'unavailable' as const)
      // Who does not serve yet has them before it does: it takes what it is told in that order.
      return servesSince === undefined ? 'stored' : answer
    })
    return (await Promise.all(answers)).every((answer) => answer === 'stored')
      ? 'stored'
      : 'unavailable'
  }

  return {
    revocations: { add },
    readings: () => ({
      ended,
      connections: serving().map(({ number, connections }) => [number, connections.size] as const),
    }),
    count: (name) => ledger.ask(sorted(), name),
    describe: () =>
      sorted().map(({ number, child, servesSince, state, connections }) => ({
        worker: number,
        pid: child.process.pid,
        serving: servesSince !== undefined,
        policy_revision: state.policyRevision,
        connections: connections.size,
      })),
    waitingFor: () => (serving().length > 0 ? [] : ['a worker that serves']),
    inFlight: () => serving().reduce((sum, { state }) => sum + state.inFlight, 0),
    async listen(addresses) {
      // One first: what keeps it from starting is told once.
      await start(1)
      const listening: string[] = []
      for (const address of addresses) listening.push(await doors.open(address))
      beat = setInterval(() => serving().forEach(watch), beatMs).unref()
      return listening
    },
    async tried() {
      await Promise.all(Array.from({ length: size - 1 }, (_, i) => start(i + 2)))
    },
    begin: () => {},
    leave() {
      leaving = true
      for (const { calls } of members.values()) calls.leave().catch(() => {})
    },
    async drain(limitMs) {
      ending = true
      clearInterval(beat)
      doors.close()
      const all = [...members.values()]
      for (const { calls } of all) calls.drain.asEvent(limitMs).catch(() => {})
      await endsWithin(limitMs + endGraceMs, Promise.all(all.map(({ exited }) => exited)))
      for (const { child } of members.values()) child.process.kill('SIGKILL')
    },
  }
}

const failed = 'a worker could not start'
const notTaken =
  'a worker could not take connections, and they are closed: give the process more file descriptors (ulimit -n)'
