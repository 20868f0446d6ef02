/** docs/attacks.md, made from THE LIST of attacks, the titles of the tests, and the scenarios of faults/. */

import { readdirSync, readFileSync } from 'node:fs'
import { scenarios } from '../faults/scenarios/index.ts'
import { type AttackGroup, attackGroups, faults } from './attack-list.ts'

const tests = new URL('../test/', import.meta.url)

/**
 * Each number that tests name → the files, below test/. Titles are read in the source, because many are made of tables and
 * templates, and to run the tests would take minutes. Of a range (`N236-N243`, `E80 to E92`) its two ends count alone: what
 * lies between has to be named by a test of its own.
 */
export function findNamed(): ReadonlyMap<string, readonly string[]> {
  const named = new Map<string, string[]>()
  for (const path of testFiles()) {
    const source = readFileSync(new URL(path, tests), 'utf8')
    for (const number of numbersIn(source)) named.set(number, [...(named.get(number) ?? []), path])
  }
  return named
}

function testFiles(): readonly string[] {
  return readdirSync(tests, { recursive: true, encoding: 'utf8' })
    .filter((path) => path.endsWith('.test.ts'))
    .toSorted()
}

/** The numbers in all that is no comment: what a comment says of a case holds nothing. `%C3` is an escape, not C3. */
export function numbersIn(source: string): ReadonlySet<string> {
  const code = source.replace(/^\s*(?:\/\/|\/?\*).*$/gm, '').replace(/\s\/\/ .*$/gm, '')
  return new Set(code.match(/(?<![%\w])[A-P]\d{1,3}(?!\w)/g))
}

export function attacksPage(): string {
  const named = findNamed()
  const count = attackGroups.reduce((sum, { cases }) => sum + Object.keys(cases).length, 0)
  return [
    '# Attacks and faults',
    '',
    '<!-- Made from docs/attack-list.ts, the titles in test/ and the scenarios of faults/ by `npm run docs`; edit there. -->',
    '',
    `What the numbers in the titles of tests stand for: ${count} cases in ${attackGroups.length} groups, and below them ${Object.keys(faults).length} faults. A row says what`,
    'somebody tries, and which tests hold that it does not work; a control is what must go on working, because a service',
    'that refuses everything would pass the rest. The tests of one case: `grep -rn A18 test`. What is expected stands in',
    'their titles. Whom meshbind protects from whom is in [SECURITY.md](../SECURITY.md#threat-model).',
    '',
    ...attackGroups.flatMap((group) => sectionOf(group, named)),
    '## Faults',
    '',
    'Something breaks while requests go on, sound and hostile ones. `make faults` brings each about before a real Envoy;',
    '[reliability.md](reliability.md) says how each went, and what is left out of it.',
    '',
    '| | what happens | scenarios | tests that name it too |',
    '|---|---|---|---|',
    ...Object.entries(faults).map(([number, what]) =>
      row(number, what, scenariosOf(number), testsOf(named, number)),
    ),
    '',
  ].join('\n')
}

function sectionOf(
  { letter, name, about, cases }: AttackGroup,
  named: ReadonlyMap<string, readonly string[]>,
): readonly string[] {
  return [
    `## ${letter}. ${name}`,
    '',
    about,
    '',
    '| | what is tried | held by |',
    '|---|---|---|',
    ...Object.entries(cases).map(([number, what]) =>
      row(`${letter}${number}`, what, testsOf(named, `${letter}${number}`)),
    ),
    '',
  ]
}

const row = (...cells: readonly string[]) => `| ${cells.join(' | ')} |`.replaceAll('  ', ' ')

function scenariosOf(fault: string): string {
  const own = scenarios.filter(({ covers }) => covers.includes(fault))
  return own.map(({ name }) => `\`${name}\``).join(', ')
}

/** The tests of the fault rig itself name faults and hold none. */
function testsOf(named: ReadonlyMap<string, readonly string[]>, number: string): string {
  const files = (named.get(number) ?? []).filter((path) => !path.startsWith('faults/'))
  return files.map((path) => `[${path.replace(/\.test\.ts$/, '')}](../test/${path})`).join(', ')
}
