/** A worker: answers checks on the connections that it is given, and goes when the first process says so, or is gone. */

import { Socket } from 'node:net'
import { cannotRun, exitCode } from '../exit.ts'
import { createLog, type LogLevel } from '../observe/log.ts'
import { type Answering, nowSeconds, prepareAnswering } from './answering.ts'
import { countOf, countsOf } from './figures.ts'
import type { ServeSettings } from './serve.ts'
import { createTools, createToolsOfWorker } from './tools.ts'
import { startTracing } from './tracing.ts'
import { callFirst, type First, isHandover, type WorkerStart } from './worker-calls.ts'

/** Returns the exit code. */
export async function serveAsWorker(settings: ServeSettings): Promise<number> {
  // What stops the service is the first process's affair: a terminal and systemd send their signals to all.
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.on(signal, () => {})
  const begun = Promise.withResolvers<Awaited<ReturnType<typeof prepare>>>()
  const toldToEnd = Promise.withResolvers<number>()
  const first = callFirst(process, {
    async state() {
      const { keeper, inFlight } = (await begun.promise).answering
      const { revision } = keeper.current.policy
      return { policyRevision: revision, inFlight: inFlight() }
    },
    count: async (name) => countOf(name, (await begun.promise).answering.observers),
    revoke: async (entries) => (await begun.promise).tools.revocations.add(entries),
    leave: async () => (await begun.promise).answering.leave(),
    drain: (limitMs) => toldToEnd.resolve(limitMs),
  })

  async function prepare({ number, memory, inForce }: WorkerStart) {
    // The first process tells of what all do alike.
    const log = createLog(atLeastWarn(settings.logLevel), { worker: number })
    const tools =
      memory === undefined
        ? await createTools(settings, log, nowSeconds)
        : await createToolsOfWorker(memory, first.spend, nowSeconds)
    const tracing = await startTracing(log)
    const traces = tracing?.traces
    const answering = await prepareAnswering(settings, { log, tools, traces, inForce })
    return { log, tools, tracing, answering }
  }

  const start = await first.begin()
  const prepared = await prepare(start)
  begun.resolve(prepared)
  const { log, tools, tracing, answering } = prepared
  await Promise.race([answering.tried(), toldToEnd.promise])
  answering.begin()
  await answering.listen([]).catch(cannotRun)
  takeConnections(answering, first)
  await first.serving()
  await answering.drain(await toldToEnd.promise)
  await first.ended(await countsOf(answering.observers)).catch(() => {})
  answering.keeper.close()
  await Promise.all([tools.close(), tracing?.close()])
  await log.close()
  process.disconnect()
  return exitCode.good
}

function atLeastWarn(level: LogLevel): LogLevel {
  return level === 'info' ? 'warn' : level
}

/** The first process keeps each connection until it is told that it is here: it is lost with neither of us. */
function takeConnections({ take }: Answering, first: First): void {
  const tell = (told: Promise<unknown>) => void told.catch(() => {}) // then it has ended, and so do we
  process.on('message', (message, socket) => {
    if (!isHandover(message)) return
    tell(first.took.asEvent(message.connection))
    // It may have ended on the way here.
    if (!(socket instanceof Socket)) return tell(first.left.asEvent())
    socket.on('error', () => {})
    socket.once('close', () => tell(first.left.asEvent()))
    take(socket)
  })
}
