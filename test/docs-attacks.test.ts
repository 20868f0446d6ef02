/** docs/attacks.md: a number in the title of a test leads somewhere, and what is listed there is tested. */

import test from 'ava'
import { attackGroups, faults } from '../docs/attack-list.ts'
import { findNamed, numbersIn } from '../docs/attacks-page.ts'
import { scenarios } from '../faults/scenarios/index.ts'

const attacks = attackGroups.flatMap(({ letter, cases }) =>
  Object.keys(cases).map((number) => `${letter}${number}`),
)
const named = findNamed()

test('docs/attacks.md: the groups are in order, and the numbers go on from one to the next without a gap', (t) => {
  t.is(attackGroups.map(({ letter }) => letter).join(''), 'ABCDEFGHIJKLMNOP')
  t.deepEqual(
    attacks.map((number) => Number(number.slice(1))),
    attacks.map((_, index) => index + 1),
  )
})

test('docs/attacks.md: every attack of the list is named by the title of a test', (t) => {
  t.deepEqual(
    attacks.filter((number) => !named.has(number)),
    [],
  )
})

test('docs/attacks.md: every number that a test names is in the list, with its own letter', (t) => {
  const listed = new Set([...attacks, ...Object.keys(faults)])
  const unknown = [...named].filter(([number]) => !listed.has(number))
  t.deepEqual(unknown, [])
})

test('docs/attacks.md: the faults of the list are those that scenarios cover', (t) => {
  const covered = new Set(scenarios.flatMap(({ covers }) => covers))
  t.deepEqual([...covered].toSorted(), Object.keys(faults).toSorted())
})

test('docs/attacks.md: a row is one line of a table, and no two attacks are told in the same words', (t) => {
  const texts = attackGroups.flatMap(({ letter, cases }) =>
    Object.values(cases).map((text) => `${letter} ${text}`),
  )
  for (const text of [...texts, ...Object.values(faults)]) t.regex(text, /^[^|\n]+\.$/)
  t.is(new Set(texts).size, texts.length)
})

test('docs/attacks.md: numbers are read from titles, tables and templates, not from comments or escapes', (t) => {
  // Put together here, so that this file itself names no case.
  const [a, b] = ['A', 'B'].map((letter) => `${letter}999`)
  for (const code of [`test('${a}: x'`, `  ${a}: [`, `(threats ${a})`, `\`${a}: \${x}\``]) {
    t.deepEqual([...numbersIn(code)], [a], code)
  }
  t.deepEqual([...numbersIn(`test('${a}, ${b}: x')\ntest('${a}-${b}')`)], [a, b])
  for (const code of [`/** ${a} */`, ` * ${a}`, `// ${a}`, `x() // ${a}`, `'%${a}'`, `x${a}`]) {
    t.deepEqual([...numbersIn(code)], [], code)
  }
})
