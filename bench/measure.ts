/** Drives one subject and tells what it did: checks per second, CPU per check, latencies. */

import { readFile } from 'node:fs/promises'
import { decodeCheckResponse } from '../test/support/check-request.ts'
import { runLoad } from './http2-load.ts'
import type { Sample } from './results.ts'

export interface Subject {
  readonly name: string
  readonly port: number
  readonly pid: number
}

const path = '/envoy.service.auth.v3.Authorization/Check'
/** One answer in so many is decoded in full: a figure for refusals would mean nothing. */
const verifyEvery = 64

export async function measure(
  subject: Subject,
  messages: readonly Buffer[],
  count: number,
  concurrency: number,
  connections = 1,
): Promise<Sample> {
  const refused: string[] = []
  let answers = 0
  const cpuBefore = await cpuSeconds(subject.pid)
  const result = await runLoad({
    port: subject.port,
    path,
    messages,
    count,
    concurrency,
    connections,
    onMessage: (payload) => {
      if (answers++ % verifyEvery !== 0) return
      const { status, denied_response } = decodeCheckResponse(payload.subarray(5))
      if (status?.code !== 0) refused.push(denied_response?.body ?? 'no reason')
    },
  })
  if (refused.length > 0)
    throw new Error(
      `${subject.name} refused ${refused.length} of the ${Math.ceil(count / verifyEvery)} checks looked at: ${refused[0]}`,
    )
  const cpu = (await cpuSeconds(subject.pid)) - cpuBefore
  return {
    perSecond: result.perSecond,
    ...(cpu > 0 ? { cpuMicroseconds: (cpu / count) * 1e6 } : {}),
    p50Milliseconds: result.p50,
    p99Milliseconds: result.p99,
  }
}

const clockTicksPerSecond = 100

/** Of the process and of those that it has started: workers. */
async function cpuSeconds(pid: number): Promise<number> {
  const children = await readFile(`/proc/${pid}/task/${pid}/children`, 'utf8').catch(() => '')
  const pids = [pid, ...children.split(' ').filter(Boolean).map(Number)]
  const all = await Promise.all(pids.map(ownCpuSeconds))
  return all.reduce((sum, seconds) => sum + seconds, 0)
}

async function ownCpuSeconds(pid: number): Promise<number> {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '')
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  return (Number(fields[11]) + Number(fields[12])) / clockTicksPerSecond
}
