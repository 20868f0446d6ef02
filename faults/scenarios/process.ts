/** meshbind itself goes away: killed, paused, or replaced replica by replica (F1, F2, F3). */

import { connect } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { opening } from '../../test/support/raw-http2.ts'
import type { Load } from '../load.ts'
import type { Rig } from '../rig.ts'
import { type Claim, claim, type Scenario, type Stage } from '../scenario.ts'
import type { Question } from '../traffic.ts'

/** Everything that was let through with a proof before is sent once more; the load counts what comes of it. */
export async function replayAll(
  load: Load,
  spent: readonly Question[],
  when: string,
): Promise<Claim> {
  let opened = 0
  for (const { facts, again } of spent) {
    const outcome = await load.ask(facts, again)
    if (outcome.kind === 'answered' && outcome.opened) opened++
  }
  return claim(
    `proofs that were spent before are refused ${when}`,
    opened === 0 && spent.length > 0,
    `${opened} of ${spent.length} passed`,
  )
}

/** What sound requests were refused as while it lasted. */
export function onlyRefusedAs(load: Load, reasons: readonly string[]): Claim {
  const { soundRefused } = load.tallies.during
  const others = [...soundRefused.keys()].filter((reason) => !reasons.includes(reason))
  return claim(
    `until it is there again sound requests are refused as ${reasons.join(', ')} alone`,
    others.length === 0,
    [...soundRefused].map(([reason, count]) => `${count} ${reason}`).join(', ') || 'none refused',
  )
}

/** The aim is three seconds with nothing else on the machine; the rig's own cores are shared. */
const readyLimitSeconds = 10

async function killAndStart({ rig, load, traffic, many }: Stage): Promise<Claim[]> {
  const [service] = rig.services
  const spent = [...traffic.spentOnes]
  service?.kill('SIGKILL')
  await service?.exited
  await sleep(many(1500, 5000))
  const refusals = onlyRefusedAs(load, ['envoy 403', 'envoy 503'])
  const startedAt = performance.now()
  await rig.startService(0)
  const seconds = (performance.now() - startedAt) / 1000
  return [
    refusals,
    await replayAll(load, spent, 'after the restart'),
    claim(
      `the new process is ready within ${readyLimitSeconds} s`,
      seconds <= readyLimitSeconds,
      `${seconds.toFixed(1)} s`,
    ),
  ]
}

const kill: Scenario = {
  ...{ name: 'kill', covers: ['F1'], short: true, recoverySeconds: 3 },
  title: 'kill -9, started again; proofs in memory',
  without: 'a supervisor: the rig starts it again itself',
  fault: killAndStart,
}

const killShared: Scenario = {
  ...{ name: 'kill-shared', covers: ['F1'], short: false, recoverySeconds: 3 },
  title: 'kill -9, started again; proofs in Redis',
  rig: { state: 'redis' },
  fault: killAndStart,
}

const pauseMs = 5000

const pause: Scenario = {
  ...{ name: 'pause', covers: ['F3'], short: true, lenient: true, recoverySeconds: 3 },
  title: 'SIGSTOP for 5 s, then SIGCONT',
  async fault({ rig, load, traffic }) {
    const sound = traffic.sound('x5t')
    const expiresAt = Math.floor(Date.now() / 1000) + 2
    const token = sound.token && { ...sound.token, id: 'ends-in-the-pause', expiresAt }
    const facts = { ...sound, title: 'x5t, ends in the pause', ...(token && { token }) }
    await load.ask(facts)
    rig.services[0]?.kill('SIGSTOP')
    await sleep(pauseMs)
    rig.services[0]?.kill('SIGCONT')
    const late = await load.ask(facts)
    return [
      claim(
        'a token that ended in the pause, known before it, is refused after it',
        late.kind === 'answered' && !late.opened,
        late.kind === 'answered' ? `${late.status} ${late.reason}` : late.error,
      ),
    ]
  },
}

const shutdownDelayMs = 1500
const drainMs = 3000
/** Envoy learns of a new replica's health within this. */
const noticedMs = 1000

const replicas: Scenario['rig'] = {
  replicas: 2,
  args: ['--shutdown-delay', `${shutdownDelayMs}ms`, '--drain', `${drainMs}ms`],
}
const endLimitMs = shutdownDelayMs + drainMs + 1000

/** SIGTERM, and how it ended: the exit code, or `still there` a while after the limit. */
async function endReplica({ rig }: Stage, replica: number) {
  const service = rig.services[replica]
  const startedAt = performance.now()
  service?.kill('SIGTERM')
  const code = await Promise.race([service?.exited, sleep(2 * endLimitMs, 'still there' as const)])
  const milliseconds = performance.now() - startedAt
  if (code === 'still there') service?.kill('SIGKILL')
  await service?.exited
  return { code, milliseconds }
}

const rolling: Scenario = {
  ...{ name: 'rolling', covers: ['F2'], short: true, recoverySeconds: 1, soundDuring: 1 },
  title: 'SIGTERM to one of two replicas, then to the other, over and over',
  rig: replicas,
  without: 'Kubernetes: Envoy learns from health checks who is leaving',
  async fault(stage) {
    const { rig, many, progress } = stage
    const ends: Awaited<ReturnType<typeof endReplica>>[] = []
    for (let n = 0; n < many(1, 10); n++) {
      for (const replica of [0, 1]) {
        ends.push(await endReplica(stage, replica))
        await rig.startService(replica)
        await sleep(noticedMs)
        progress(`replica ${replica} replaced (${ends.length} of ${many(2, 20)})`)
      }
    }
    const slowestMs = Math.max(...ends.map(({ milliseconds }) => milliseconds))
    const codes = ends.map(({ code }) => code)
    return [
      claim(
        'each ended with code 0',
        codes.every((code) => code === 0),
        codes.join(' '),
      ),
      claim(
        `each ended within ${endLimitMs} ms`,
        slowestMs <= endLimitMs,
        `${Math.round(slowestMs)} ms`,
      ),
    ]
  },
}

const hungClient: Scenario = {
  ...{ name: 'hung-client', covers: ['F2'], short: false, recoverySeconds: 2, soundDuring: 1 },
  title: 'SIGTERM while a client has an HTTP/2 connection open, says nothing, and reads nothing',
  rig: replicas,
  async fault(stage) {
    const hung = hangOn(stage.rig, 0)
    await sleep(500)
    const { code, milliseconds } = await endReplica(stage, 0)
    hung.destroy()
    await stage.rig.startService(0)
    await sleep(noticedMs)
    const got = `${code} after ${Math.round(milliseconds)} ms`
    return [claim(`it ends with code 0 within ${endLimitMs} ms`, code === 0, got)]
  },
}

/** A client that began HTTP/2, asked nothing, and stays. */
function hangOn(rig: Rig, replica: number) {
  const socket = connect(rig.ports[replica] ?? 0, '127.0.0.1')
  socket.on('error', () => {})
  socket.write(opening)
  return socket
}

const workerKilled: Scenario = {
  ...{ name: 'worker-killed', covers: ['F1'], short: true, recoverySeconds: 3, soundDuring: 0.9 },
  title: 'kill -9 of one of two workers, again and again; proofs in memory',
  rig: { args: ['--workers', '2'] },
  without:
    'memory of the workers: what is measured is the first process, which remembers proofs and answers nothing',
  async fault({ rig, load, traffic, many, progress }) {
    const [service] = rig.services
    const spent = [...traffic.spentOnes]
    const kills = many(2, 10)
    for (let n = 1; n <= kills; n++) {
      const [victim, other] = (await service?.workers()) ?? []
      if (victim === undefined || other === undefined) break
      process.kill(n % 2 === 0 ? other.pid : victim.pid, 'SIGKILL')
      progress(`a worker killed (${n} of ${kills})`)
      const until = performance.now() + 1000 * readyLimitSeconds
      await sleep(100)
      while ((await service?.workers())?.length !== 2 && performance.now() < until) await sleep(100)
    }
    const ended = await service?.metric('meshbind_worker_ends_total')
    const workers = (await service?.workers())?.length
    return [
      onlyRefusedAs(load, ['envoy 403', 'envoy 503']),
      await replayAll(load, spent, 'by every worker'),
      claim(
        'each was replaced',
        ended === kills && workers === 2,
        `${ended} ended, ${workers} serve`,
      ),
    ]
  },
}

export const processScenarios = [kill, killShared, pause, rolling, hungClient, workerKilled]
