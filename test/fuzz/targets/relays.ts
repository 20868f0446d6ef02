/** The grammar of who relayed a request: x-forwarded-client-cert, in Envoy's text form and its JSON form. */

import { parseXfcc } from '../../../src/evidence/xfcc.ts'
import type { Random } from '../random.ts'
import { readXfccSlowly } from '../slow/xfcc.ts'
import { agree, demand, type Target } from '../target.ts'

const textOf = (bytes: Buffer) => bytes.toString('utf8')
const names = [
  'By',
  'Hash',
  'Cert',
  'Chain',
  'Subject',
  'Issuer',
  'URI',
  'DNS',
  'uri',
  'hAsH',
  'Bogus',
  '',
]
const values = [
  'spiffe://mesh.example/ns/a/sa/b',
  'f'.repeat(64),
  '""',
  '"CN=a,O=b"',
  '"a\\"b"',
  '"a\\\\"',
  '"open',
  '"x,By=y"',
  '"x,hash="',
  '',
  'a=b',
  'a"b',
  'a\\b',
  'x,By=spiffe://mesh.example/ns/evil/sa/e',
]

export const xfcc: Target = {
  name: 'xfcc',
  source: 'Envoy, HTTP header manipulation, x-forwarded-client-cert',
  dictionary: [
    ...names.map((name) => `${name}=`),
    ...values,
    ',',
    ';',
    ',By=',
    '[{',
    '}]',
    '"uri":["',
  ],
  generate(random) {
    if (random.chance(5)) return Buffer.from(xfccJson(random))
    const fine = random.chance(2)
    const element = () =>
      random
        .many(
          5,
          () =>
            `${random.pick(fine ? names.slice(0, 8) : names)}=${random.pick(fine ? values.slice(0, 4) : values)}`,
        )
        .join(';')
    return Buffer.from([element(), ...random.many(3, element)].join(random.chance(9) ? ', ' : ','))
  },
  judge(input) {
    const text = textOf(input)
    const fast = parseXfcc(text)
    agree('elements', fast, readXfccSlowly(text))
    if (fast === undefined) return 'refused'
    demand('bounded', fast.length > 0 && fast.length <= 64)
    const json = text.startsWith('[') ? 'JSON' : 'text'
    return `taken, ${json}, ${Math.min(fast.length, 3)}, ${fast.every((each) => each.selfContained)}`
  },
}

function xfccJson(random: Random): string {
  const value = () =>
    random.pick(['"a"', '["a"]', '["a","b"]', '[]', '1', '[1]', 'null', '{}', '[["a"]]'])
  const name = () =>
    random.pick(['by', 'hash', 'uri', 'dns', 'chain', 'cert', 'subject', 'By', '__proto__'])
  const element = () => `{${random.many(3, () => `"${name()}":${value()}`).join(',')}}`
  return `[${random.many(3, element).join(',')}]`
}
