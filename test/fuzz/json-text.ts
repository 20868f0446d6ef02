/** JSON texts, sound and flawed, as raw text: what an object cannot hold (a key twice, 1e400) can be written as well. */

import type { Random } from './random.ts'

const odd = [
  'null',
  'true',
  'false',
  '0',
  '-0',
  '1',
  '-1',
  '1.0',
  '1e3',
  '1e400',
  '-1E-1',
  '9007199254740991',
  '9007199254740992',
  '01',
  '+1',
  'NaN',
  '""',
  '"x"',
  '" "',
  '"\\u0000"',
  '"\\ud800"',
  '"\\ud83d\\ude00"',
  '"\\u0061"',
  '"\\/"',
  '"\t"',
  "'x'",
  '[]',
  '{}',
  '[[]]',
  '[null]',
  '{"__proto__":{"active":true}}',
  '{"constructor":1}',
  '{"a":1,"a":2}',
  '{"a":1,"\\u0061":2}',
  '[1,]',
  '{"a":1,}',
]
const keys = [
  'a',
  'b',
  '\\u0061',
  '__proto__',
  'constructor',
  'toString',
  '',
  'exp',
  'Exp',
  '\u00e9',
]

/** Any value, some levels deep. */
export function jsonText(random: Random, depth = 4): string {
  if (depth === 0 || random.chance(4)) return random.pick(odd)
  if (random.chance(12)) return deep(random)
  const space = random.pick(['', '', '', ' ', '\n', '\t', '\r\n', '\u00a0'])
  if (random.chance(2)) {
    const members = random.many(
      4,
      () => `"${random.pick(keys)}":${space}${jsonText(random, depth - 1)}`,
    )
    return `{${space}${members.join(`,${space}`)}}`
  }
  return `[${random.many(4, () => jsonText(random, depth - 1)).join(`${space},`)}]`
}

function deep(random: Random): string {
  const depth = random.pick([2, 15, 16, 17, 100, 5000])
  const [open, close] = random.pick([
    ['[', ']'],
    ['{"a":', '}'],
  ] as const)
  return open.repeat(depth) + random.pick(['1', '[]', '{}']) + close.repeat(depth)
}

/** An object of these members, written as they are or with one or two flaws. */
export function objectText(random: Random, members: { readonly [name: string]: unknown }): string {
  let parts = Object.entries(members)
    .filter(([, value]) => value !== undefined)
    .map(([name, value]) => [JSON.stringify(name), JSON.stringify(value)] as const)
  if (random.chance(3)) return textOf(parts)
  for (let flaws = 1 + random.int(2); flaws > 0; flaws--) {
    const at = random.int(parts.length + 1)
    const [name] = parts[at] ?? [random.pick(keys.map((key) => `"${key}"`))]
    const put = random.chance(3)
      ? []
      : [[name, random.chance(4) ? jsonText(random) : random.pick(odd)] as const]
    const removed = random.chance(6) ? 0 : 1
    parts = [...parts.slice(0, at), ...put, ...parts.slice(at + removed)]
  }
  return textOf(parts)
}

function textOf(parts: readonly (readonly [name: string, value: string])[]): string {
  return `{${parts.map(([name, value]) => `${name}:${value}`).join(',')}}`
}
