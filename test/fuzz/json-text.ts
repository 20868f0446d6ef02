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

/** Changes of the value, not of its text: members and items that are gone, moved, twice there, or another input's. */
export function reshapeJson(
  input: Buffer,
  random: Random,
  other: () => Buffer,
): Buffer | undefined {
  const value = parse(input)
  if (typeof value !== 'object' || value === null) return undefined
  for (let changes = 1 + random.int(3); changes > 0; changes--) {
    const place = random.pick(containersOf(value))
    const names = Object.keys(place)
    const theirs = containersOf(parse(other()))
    const piece = theirs.length > 0 ? Object.entries(random.pick(theirs)) : []
    const [name = '0', put = null] = piece.length > 0 ? random.pick(piece) : []
    if (Array.isArray(place)) {
      const at = random.int(place.length + 1)
      place.splice(at, random.int(2), ...(random.chance(2) ? [put] : place.slice(at, at + 1)))
    } else if (random.chance(3) && names.length > 0) delete place[random.pick(names)]
    else set(place, random.chance(2) && names.length > 0 ? random.pick(names) : name, put)
  }
  return Buffer.from(JSON.stringify(value))
}

type Container = { [name: string]: unknown } | unknown[]

/** As long as it does not nest so deep that to write it again would overflow the stack. */
function parse(bytes: Buffer): unknown {
  const text = bytes.toString('utf8')
  if (text.split(/[[{]/).length > 1000) return undefined
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

function containersOf(value: unknown, depth = 0): Container[] {
  if (typeof value !== 'object' || value === null || depth > 16) return []
  const within = Object.values(value).flatMap((item) => containersOf(item, depth + 1))
  return [value as Container, ...within]
}

/** Not by assignment: a member may be called __proto__. */
function set(object: object, name: string, value: unknown): void {
  Object.defineProperty(object, name, {
    value,
    enumerable: true,
    writable: true,
    configurable: true,
  })
}
