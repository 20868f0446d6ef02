/**
 * `npm run bench:envoy`: what a request through a real Envoy with mTLS takes longer because somebody is asked, at fixed
 * rates. Nobody, the floor and meshbind are asked in turn, and peers where they are given.
 */

import { setTimeout as sleep } from 'node:timers/promises'
import { startEnvoyMesh, tokenCount } from './envoy-mesh.ts'
import { describeRun, keepSection, repetitions, say, scale } from './keep.ts'
import { type Comparison, type Row, roundSample, type Sample, tellSection } from './results.ts'
import { attack, FailedRequests, provideVegeta } from './vegeta.ts'

const gentle = 200
const ratesPerSecond = [gentle, 1000]
const seconds = 20 * scale
/** A machine that is busy with something else may not keep up; that it did not is told. */
const attempts = 3
const settleMs = 5000

const titles: { readonly [listener: string]: string } = {
  none: 'no ext_authz',
  floor: 'floor',
  meshbind: 'meshbind',
  opa: 'OPA-Envoy',
  authorino: 'Authorino',
}

interface EnvoyRow extends Row {
  readonly listener: string
  readonly perSecond: number
}

const rateText = (perSecond: number) => `${perSecond.toLocaleString('en')}/s`

function rowsOf(listeners: readonly string[]): EnvoyRow[] {
  return ratesPerSecond.flatMap((perSecond) =>
    listeners.map((listener) => ({
      id: `${listener}-${perSecond}`,
      title: `${titles[listener]}, ${rateText(perSecond)}`,
      sent: `${rateText(perSecond)}, over mTLS by one workload, with a thousand tokens in turn`,
      listener,
      perSecond,
    })),
  )
}

/** What each adds to asking nobody; and meshbind beside the floor, which has a target for the median alone. */
function comparisonsOf(listeners: readonly string[]): Comparison[] {
  const asked = listeners.filter((listener) => listener !== 'none')
  const figures = { p50: 'p50Milliseconds', p99: 'p99Milliseconds' } as const
  return ratesPerSecond.flatMap((perSecond) => {
    const over = `none-${perSecond}`
    const added = (['p50', 'p99'] as const).flatMap((name) =>
      asked.map((listener) => ({
        title: `${titles[listener]} adds, ${name} in ms, ${rateText(perSecond)}`,
        ...{ of: `${listener}-${perSecond}`, over, figure: figures[name], charted: name === 'p50' },
      })),
    )
    const beside = asked
      .filter((listener) => listener !== 'floor')
      .map((listener) => ({
        title: `what ${titles[listener]} adds / the floor adds, p50, ${rateText(perSecond)}`,
        ...{ of: `${listener}-${perSecond}`, base: `floor-${perSecond}`, over },
        figure: figures.p50,
        ...(listener === 'meshbind' ? { target: { bound: 'at most', value: 1.15 } as const } : {}),
      }))
    return [...added, ...beside]
  })
}

async function main(): Promise<void> {
  const vegeta = await provideVegeta(say)
  say('starting Envoy and those whom it asks')
  const mesh = await startEnvoyMesh()
  try {
    const { directory, client, authorityPem, listeners } = mesh
    const rows = rowsOf(listeners)
    const samples = new Map(rows.map(({ id }): [string, Sample[]] => [id, []]))
    const sent = new Map<string, number>()
    const repeated: string[] = []
    const load = async (listener: string, perSecond: number, lasting: number) => {
      const rate = { perSecond, seconds: lasting }
      const targets = mesh.targets(listener)
      const plan = { vegeta, directory, client, authorityPem, targets, ...rate }
      for (let attempt = 1; ; attempt++) {
        try {
          const attacked = await attack(plan)
          sent.set(listener, (sent.get(listener) ?? 0) + attacked.sent)
          return attacked.sample
        } catch (error) {
          if (attempt === attempts || !(error instanceof FailedRequests)) throw error
          say(`once more: ${error.message}`)
          repeated.push(
            `Measured once more, ${titles[listener]}, ${rateText(perSecond)}: ${error.message}.`,
          )
          await sleep(settleMs)
        }
      }
    }
    say('warming up: each token is seen once, and more')
    for (const listener of listeners) await load(listener, gentle, tokenCount / gentle)
    for (let round = 0; round < repetitions; round++) {
      // Nobody is always the first, or always follows the same.
      const placeOf = (listener: string) => (listeners.indexOf(listener) + round) % listeners.length
      const order = rows.toSorted(
        (a, b) => a.perSecond - b.perSecond || placeOf(a.listener) - placeOf(b.listener),
      )
      for (const { id, title, listener, perSecond } of order) {
        say(`repetition ${round + 1} of ${repetitions}: ${title}`)
        samples.get(id)?.push(roundSample(await load(listener, perSecond, seconds)))
      }
    }
    for (const listener of listeners.filter((name) => name !== 'none')) {
      const allowed = await mesh.allowed(listener)
      if (allowed < (sent.get(listener) ?? 0))
        throw new Error(
          `${listener} was asked ${allowed} times, for ${sent.get(listener)} requests`,
        )
    }
    const made = await describeRun([...mesh.notes, ...repeated])
    const measured = rows.map(({ id, title, sent: what }) => ({
      ...{ id, title, sent: what, samples: samples.get(id) ?? [] },
    }))
    await keepSection('envoy', tellSection(made, measured, comparisonsOf(listeners)))
  } finally {
    await mesh.close()
  }
}

await main()
