/**
 * meshbind's own part of a check: from the bytes of a question to those of its answer, decision log and metrics
 * included, without a server around it. In a process of its own, which is told what to answer and tells what that took.
 */

import { GCProfiler, type GCProfilerResult } from 'node:v8'
import { createLog } from '../src/observe/log.ts'
import { type AnsweringSettings, nowSeconds, prepareAnswering } from '../src/service/answering.ts'
import { createJudge } from '../src/service/judge.ts'
import { createTools } from '../src/service/tools.ts'
import { createCheckHandler } from '../src/wire/handler.ts'

export interface OwnWork {
  readonly questions: readonly Uint8Array[]
  /** How many to answer; the questions come round again. */
  readonly count: number
}

export interface OwnCost {
  readonly cpuMicroseconds: number
  readonly allocatedBytes: number
}

/** As many as are under way at once in the rows beside this one. */
const atOnce = 32

const [policy = ''] = process.argv.slice(2)
const log = createLog('error')
const tools = await createTools({ state: 'memory', nonceKeyFile: undefined }, log, nowSeconds)
const limits = { deadlineMs: 5000, maxInFlight: 1024 }
const settings: AnsweringSettings = {
  policy,
  tls: undefined,
  maxConnectionAgeMs: undefined,
  decisionLog: { kind: 'deny' },
  ...limits,
}
const { keeper, observers, tried } = await prepareAnswering(settings, {
  log,
  tools,
  traces: undefined,
})
await tried()
/** A figure for refusals would mean nothing. */
let problem: string | undefined
const judge = createJudge(keeper.current, tools.tools, nowSeconds)
const { handle } = createCheckHandler({
  ...limits,
  clock: { now: Date.now, monotonic: () => performance.now() },
  judge: () => judge,
  onDecision(record) {
    if (record.decision.verdict === 'deny') problem = record.decision.reason
    observers.decided(record)
  },
  onError(error) {
    problem = String(error)
  },
})

/** One after the other would be a promise for each, which is no part of a check. */
function answerAll(questions: readonly Buffer[]): Promise<void> {
  return new Promise((resolve) => {
    let answered = 0
    const answer = () => {
      if (++answered === questions.length) resolve()
    }
    for (const request of questions)
      handle({ request, deadline: Number.POSITIVE_INFINITY, traceparent: () => undefined, answer })
  })
}

/** What the heap has grown by, and what was collected of it meanwhile. */
async function measure(questions: readonly Buffer[], count: number): Promise<OwnCost> {
  const collections = new GCProfiler()
  collections.start()
  const heapBefore = process.memoryUsage().heapUsed
  const cpuBefore = process.cpuUsage()
  for (let at = 0; at < count; at += atOnce) {
    const some = Array.from({ length: Math.min(atOnce, count - at) }, (_, i) => at + i)
    await answerAll(some.map((n) => questions[n % questions.length] as Buffer))
  }
  const { user, system } = process.cpuUsage(cpuBefore)
  const grown = process.memoryUsage().heapUsed - heapBefore
  const collected = collections
    .stop()
    .statistics.map(({ beforeGC, afterGC }) => usedBytes(beforeGC) - usedBytes(afterGC))
  if (problem !== undefined) throw new Error(`our own code refuses: ${problem}`)
  const allocated = collected.reduce((sum, bytes) => sum + bytes, grown)
  return {
    cpuMicroseconds: (user + system) / count,
    allocatedBytes: allocated / count,
  }
}

const usedBytes = ({ heapStatistics }: GCProfilerResult['statistics'][number]['beforeGC']) =>
  heapStatistics.usedHeapSize

process.on('message', async ({ questions, count }: OwnWork) => {
  const asked = questions.map((each) => Buffer.from(each))
  process.send?.(await measure(asked, count))
})
process.send?.('ready')
