/** Those who are measured: the floor, meshbind with two policies, jose by itself, and the peers that were given. */

import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { endWithThisProcess } from '../test/support/envoy.ts'
import { startMeshbind } from '../test/support/meshbind.ts'
import type { Work } from './jose-rate.ts'
import { measure } from './measure.ts'
import type { OwnWork } from './own-code.ts'
import type { Peer } from './peers.ts'
import type { Sample } from './results.ts'
import type { Questions, SubjectName } from './rows.ts'

/** Sends so many questions, so many at once, over so many connections, and tells how it went. */
export type Drive = (
  questions: Questions,
  count: number,
  inFlight: number,
  connections?: number,
) => Promise<Sample>

export interface RunningSubject {
  readonly pid: number
  /** Where it answers checks; 0 for jose, which does not. */
  readonly port: number
  readonly drive: Drive
  stop(): unknown
}

export type Subjects = { readonly [name in SubjectName]?: RunningSubject }

function forkBeside(name: string, args: readonly string[] = []): ChildProcess {
  const file = fileURLToPath(new URL(`./${name}`, import.meta.url))
  const child = fork(file, args, { serialization: 'advanced' })
  endWithThisProcess(child)
  return child
}

function serve(name: string, port: number, pid: number, stop: () => unknown): RunningSubject {
  const subject = { name, port, pid }
  const drive: Drive = (questions, count, inFlight, connections) =>
    measure(subject, questions as readonly Buffer[], count, inFlight, connections)
  return { port, pid, drive, stop }
}

/** @param processes That share the port, as meshbind's workers do. */
export async function startFloor(processes = 1): Promise<RunningSubject> {
  const child = forkBeside('floor.ts', [String(processes)])
  const { port } = await new Promise<{ port: number }>((resolve) =>
    child.once('message', (message) => resolve(message as { port: number })),
  )
  return serve('floor', port, child.pid ?? 0, () => child.kill())
}

/** The real command, its decision log as `deny` leaves it: empty, because every check of a bench is allowed. */
export async function startServe(policyFile: string, workers = 1): Promise<RunningSubject> {
  const { port, pid, stop } = await startMeshbind([
    ...['--policy', policyFile, '--listen', '127.0.0.1:0', '--admin', 'off'],
    ...['--decision-log', 'deny', '--deadline', '5s', '--workers', String(workers)],
  ])
  return serve('meshbind', port, pid, stop)
}

export function drivePeer({ name, port, pid, stop }: Peer): RunningSubject {
  return serve(name, port, pid, stop)
}

/** The machine's plain ES256 rate. */
export function startJose(key: Work['key']): RunningSubject {
  return workBeside(
    forkBeside('jose-rate.ts'),
    (questions, atOnce): Work => ({ key, proofs: questions as readonly string[], atOnce }),
  )
}

/** What happens between a question's bytes and the answer's, without a server. */
export async function startOwnCode(policyFile: string): Promise<RunningSubject> {
  const child = forkBeside('own-code.ts', [policyFile])
  await once(child, 'message')
  return workBeside(
    child,
    (questions, _atOnce, count): OwnWork => ({ questions: questions as readonly Buffer[], count }),
  )
}

/** A child that does its own measuring, of what it is told to do. */
function workBeside(
  child: ChildProcess,
  workOf: (questions: Questions, atOnce: number, count: number) => Work | OwnWork,
): RunningSubject {
  const drive: Drive = async (questions, count, atOnce) => {
    const over = new AbortController()
    const { signal } = over
    const told = once(child, 'message', { signal })
    const ended = once(child, 'exit', { signal }).then(() => {
      throw new Error('a process of the bench ended before it had measured')
    })
    child.send(workOf(questions, atOnce, count))
    const [sample] = (await Promise.race([told, ended]).finally(() => over.abort())) as [Sample]
    return sample
  }
  return { pid: child.pid ?? 0, port: 0, drive, stop: () => child.kill() }
}
