/** docs/reliability.md, from results: of each scenario those of its latest commit, the long form before the short one, kept in results/published.json. */

import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { availableParallelism, cpus } from 'node:os'
import type { Result } from './result.ts'
import { scenarios } from './scenarios/index.ts'

const directory = new URL('./results/', import.meta.url)
export const publishedFile = new URL('./results/published.json', import.meta.url)
export const pageFile = new URL('../docs/reliability.md', import.meta.url)

export interface Published {
  readonly machine: string
  readonly results: readonly Result[]
}

/** Writes published.json and the page that is made of it. */
export function publish(say: (text: string) => void): void {
  const all = readdirSync(directory)
    .filter((name) => /\.(short|long)\.json$/.test(name))
    .map((name) => JSON.parse(readFileSync(new URL(name, directory), 'utf8')) as Result)
  const results = scenarios.flatMap(({ name }) => {
    const own = all.filter(({ scenario }) => scenario === name)
    const latest = own.toSorted((a, b) => (a.startedAt < b.startedAt ? 1 : -1))
    const [newest] = latest
    const ofIt = latest.filter(({ commit }) => commit === newest?.commit)
    const best = ofIt.find(({ form }) => form === 'long') ?? newest
    // What was refused is of use where it should not have been.
    return best === undefined ? [] : [best.ok ? { ...best, examples: [] } : best]
  })
  const machine = `Node ${process.versions.node}, ${availableParallelism()} × ${cpus()[0]?.model ?? 'unknown CPU'}`
  const published: Published = { machine, results }
  writeFileSync(publishedFile, `${JSON.stringify(published, null, 1)}\n`)
  writeFileSync(pageFile, reliabilityPage(published))
  say(`wrote docs/reliability.md from ${results.length} results`)
}

const mebibytes = (bytes: number) => Math.round(bytes / 2 ** 20)

export function reliabilityPage({ machine, results }: Published): string {
  const days = [...new Set(results.map(({ startedAt }) => startedAt.slice(0, 10)))]
  const sum = (count: (result: Result) => number) =>
    results.reduce((total, result) => total + count(result), 0)
  const inAll = (count: 'sent' | 'hostile' | 'falseAllows' | 'open') =>
    sum(({ phases }) => Object.values(phases).reduce((total, phase) => total + phase[count], 0))
  const missing = scenarios.filter(({ name }) => !results.some(({ scenario }) => scenario === name))
  const missed = results.filter(({ ok }) => !ok)
  return [
    ...introduction,
    `Run on ${days.join(', ')}; ${commits(results)}; ${machine}; Envoy 1.40.0. ${results.length} scenarios, ${inAll('sent')} requests`,
    `through the strict listener, ${inAll('hostile')} of them hostile, **${inAll('falseAllows')} false allows**${where(results)}. ${inAll('open')} were near a`,
    'limit of time, or needed what was changing at that moment: of these either answer is right.',
    '',
    '| scenario | form | what happens | requests | sound refused while it lasts | sound after it | p99 before, after (ms) | memory (MiB) | |',
    '|---|---|---|---|---|---|---|---|---|',
    ...results.map(row),
    '',
    ...(missed.length === 0 ? [] : ['## Missed', '', ...missed.flatMap(told), '']),
    '## What each showed beside the standing criteria',
    '',
    ...results.flatMap(shown),
    '',
    '## Behind failure_mode_allow: true',
    '',
    'The same traffic through a listener that lets pass what is not answered. What meshbind judged was judged rightly;',
    'what Envoy let pass by itself, nobody judged. That setting is for rollouts, not for what must be safe.',
    '',
    '| scenario | hostile requests that Envoy let pass | false allows by meshbind |',
    '|---|---|---|',
    ...results.flatMap(({ scenario, lenient }) =>
      lenient === undefined
        ? []
        : [`| \`${scenario}\` | ${lenient.hostileUnjudged} | ${lenient.falseAllows} |`],
    ),
    '',
    '## Not run, and only in part',
    '',
    ...missing.map(({ name, title }) => `- \`${name}\` (${title}): has no result yet.`),
    ...scenarios.flatMap(({ name, without }) =>
      without === undefined ? [] : [`- \`${name}\` is without ${without}.`],
    ),
    shortOnly(results),
    '- Nothing ran in a cluster, nor on a second machine: load, Envoy and meshbind share the cores.',
    '- The load is a steady rate, not 70 % of a measured capacity: the generator is the narrowest part of the rig.',
    '',
  ].join('\n')
}

/** Most were run at one of them. */
function commits(results: readonly Result[]): string {
  const named = Map.groupBy(results, ({ commit }) => commit)
  const [[most = 'unknown'] = [], ...others] = [...named].toSorted(
    ([, a], [, b]) => b.length - a.length,
  )
  const rest = others.map(
    ([commit, own]) => `, ${own.map(({ scenario }) => `\`${scenario}\``).join(', ')} at ${commit}`,
  )
  return `commit ${most}${rest.join('')}`
}

function shortOnly(results: readonly Result[]): string {
  const names = results.filter(({ form }) => form === 'short').map(({ scenario }) => scenario)
  return `- In their short form alone, seconds in place of minutes: ${names.join(', ') || 'none'}.`
}

function where(results: readonly Result[]): string {
  const names = results
    .filter(({ phases }) => Object.values(phases).some(({ falseAllows }) => falseAllows > 0))
    .map(({ scenario }) => `\`${scenario}\``)
  return names.length === 0 ? '' : `, all of them in ${names.join(', ')}`
}

const introduction = [
  '# Reliability',
  '',
  '<!-- Made by `npm run faults -- run --write-docs` from faults/results/published.json; edit faults/report.ts. -->',
  '',
  '`make faults` puts a real Envoy with mTLS before meshbind and a backend that answers with a secret, and breaks one',
  'thing at a time while requests go through: 60 % sound ones of six kinds (`x5t#S256`, `jwk`, `spiffe`, DPoP, WIMSE,',
  'opaque), 40 % hostile ones: copied tokens, replays, altered bytes, other audiences, expired, other spellings of the',
  'path, two credentials, none. An oracle, written from the design and the RFCs without a line of `src/`, says of each',
  'what must come of it. A hostile request that is answered with the secret is a false allow.',
  '',
  '```sh',
  'make faults                                     # the short form, about three minutes',
  'make faults LONG=1                              # all of it, with an hour of soak',
  'npm run faults -- list                          # each scenario, and what it leaves out',
  'npm run faults -- run kill redis-killed         # some, by name',
  'npm run faults -- run --long --resume           # goes on where a run was ended',
  'npm run faults -- run --long --write-docs       # makes this page',
  '```',
  '',
  'F1, F2 … are the faults of the list in [attacks.md](attacks.md). In every scenario: no false allow in any phase; every',
  'request answered, within two seconds by the client’s clock; sound requests pass (≥ 99.9 %) before the fault and once its',
  'time to recover is over; every refusal before and after has the reason that the oracle names; memory, after garbage was',
  'collected, is at most a tenth above what it was (a process that the fault ends is young again afterwards); Envoy finds',
  'no answer invalid; no token stands in the log. Envoy waits 500 ms and `--deadline` is 400 ms. While it warms up, before',
  'all this, only false allows count.',
  'A sound request may be refused while the fault lasts: closed, not open. meshbind runs as its users run it, with a',
  'small module loaded before it (`faults/inject.ts`) that steps its clock, blocks its event loop or collects garbage on',
  'a signal.',
  '',
]

function row({ scenario, form, title, phases, ok, ...result }: Result): string {
  const { before, during, after } = phases
  const sent = Object.values(phases).reduce((total, phase) => total + phase.sent, 0)
  const refused = Object.entries(during?.soundRefused ?? {})
    .map(([reason, count]) => `${count} \`${reason}\``)
    .join(', ')
  const passed = `${after?.soundPassed ?? 0} of ${after?.sound ?? 0}`
  const memory = `${mebibytes(result.memoryBeforeBytes)} → ${mebibytes(result.memoryAfterBytes)}`
  const numbers = `${result.covers.join(', ')}: ${title}`
  return `| \`${scenario}\` | ${form} | ${numbers} | ${sent} | ${refused || 'none'} | ${passed} | ${before?.p99Ms ?? 0}, ${after?.p99Ms ?? 0} | ${memory} | ${ok ? 'held' : '**missed**'} |`
}

function told({ scenario, criteria }: Result): string[] {
  const why = scenarios.find(({ name }) => name === scenario)?.known
  const missed = criteria
    .filter(({ ok }) => !ok)
    .map(({ claim, got }) => `- \`${scenario}\`: ${claim}. Seen: ${got}.`)
  return why === undefined ? missed : [...missed, `  ${why}`]
}

/** Those that stand for all come first in every result, and end with this one. */
const lastStanding = 'meshbind runs at the end'

function shown({ scenario, criteria }: Result): string[] {
  const own = criteria.slice(criteria.findIndex(({ claim }) => claim === lastStanding) + 1)
  return own.map(
    ({ claim, got, ok }) => `- \`${scenario}\`: ${claim}: ${got}${ok ? '' : ' (**missed**)'}`,
  )
}
