/**
 * `npm run bench`: THE LIST of rows, one after the other and all of them again, as often as asked for: meshbind beside its
 * floor, a constant-answer grpc-js server, beside jose, and beside peers. Ratios are what it tells; absolute figures
 * only say which machine this was. `--write-docs` measures nothing and writes chart and page from what was kept.
 */

import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describeRun, keepSection, repetitions, say, scale, writeFromResults } from './keep.ts'
import { certificates, createMaterial, type Material, tokens } from './material.ts'
import { startPeers } from './peers.ts'
import { loadCore, pin, serverCore } from './pin.ts'
import { type MeasuredRow, roundSample, type Sample, tellSection } from './results.ts'
import { type CheckRow, checkComparisons, checkRows, type SubjectName } from './rows.ts'
import {
  drivePeer,
  type RunningSubject,
  type Subjects,
  startFloor,
  startJose,
  startOwnCode,
  startServe,
} from './subjects.ts'

/** Before each row, uncounted: what the rows before it left to be collected is not its cost. */
const leadShare = 0.25
const cleanups: (() => unknown)[] = []

async function measureRow(
  { ask, count, inFlight, connections }: CheckRow,
  { drive }: RunningSubject,
  material: Material,
): Promise<Sample> {
  const asked = Math.ceil(count * scale)
  const lead = Math.ceil(asked * leadShare)
  await drive(await ask(material, lead), lead, inFlight, connections)
  return drive(await ask(material, asked), asked, inFlight, connections)
}

async function measureRows(
  rows: readonly CheckRow[],
  subjects: Subjects,
  material: Material,
): Promise<MeasuredRow[]> {
  const samples = rows.map((): Sample[] => [])
  // The first round is not counted: caches fill, and code is compiled.
  for (let round = 0; round <= repetitions; round++) {
    say(round === 0 ? 'warming up' : `repetition ${round} of ${repetitions}`)
    for (const [i, row] of rows.entries()) {
      const subject = subjects[row.subject] as RunningSubject
      const sample = await measureRow(row, subject, material).catch((error: Error) => {
        // A machine that stood still for a moment: once is no rule.
        say(`${row.title}, once more: ${error.message}`)
        return measureRow(row, subject, material)
      })
      if (round > 0) samples[i]?.push(roundSample(sample))
    }
  }
  return rows.map(({ id, title, sent }, i) => ({ id, title, sent, samples: samples[i] ?? [] }))
}

async function pinAll(subjects: Subjects): Promise<string> {
  for (const { pid } of Object.values(subjects)) await pin(pid, serverCore)
  await pin(process.pid, loadCore)
  return `Servers on core ${serverCore}, load on core ${loadCore}.`
}

async function main(): Promise<void> {
  say(`making ${certificates} certificates, ${tokens} tokens and the questions about them`)
  const material = await createMaterial()
  cleanups.push(() => material.close())
  const directory = await mkdtemp(join(tmpdir(), 'meshbind-bench-peers-'))
  cleanups.push(() => rm(directory, { recursive: true, force: true }))

  say('starting meshbind, the floor, and the peers that are given')
  const peers = await startPeers(directory, material.issuerKeys)
  for (const peer of peers.running) cleanups.push(peer.stop)
  const keep = (subject: RunningSubject) => {
    cleanups.push(subject.stop)
    return subject
  }
  const subjects: Subjects = {
    floor: keep(await startFloor()),
    floorOfTwo: keep(await startFloor(2)),
    workers: keep(await startServe(material.policyFile, 2)),
    meshbind: keep(await startServe(material.policyFile)),
    crowded: keep(await startServe(material.crowdedPolicyFile)),
    ownCode: keep(await startOwnCode(material.policyFile)),
    jose: keep(startJose(material.proofKey)),
    ...Object.fromEntries(peers.running.map((peer) => [peer.name, drivePeer(peer)])),
  }

  const pinned = process.env['BENCH_PIN'] === '1' ? [await pinAll(subjects)] : []
  const given = (name: SubjectName) => subjects[name] !== undefined
  const rows = await measureRows(
    checkRows.filter(({ subject }) => given(subject)),
    subjects,
    material,
  )
  const bytes = material.warm.reduce((sum, { length }) => sum + length, 0) / material.warm.length
  const made = await describeRun([
    `A CheckRequest of “warm” has ${Math.round(bytes).toLocaleString('en')} bytes.`,
    ...pinned,
    ...peers.notes,
  ])
  await keepSection('checks', tellSection(made, rows, checkComparisons))
}

try {
  if (process.argv.includes('--write-docs')) await writeFromResults()
  else await main()
} finally {
  for (const cleanup of cleanups.reverse()) await cleanup()
}
