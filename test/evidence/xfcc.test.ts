/** The grammar of x-forwarded-client-cert, text and JSON (Envoy, HTTP header manipulation, x-forwarded-client-cert). */

import test from 'ava'
import fc from 'fast-check'
import { parseXfcc, type XfccElement } from '../../src/evidence/xfcc.ts'
import vectors from '../vectors/xfcc.json' with { type: 'json' }

const singletons = ['by', 'hash', 'cert', 'chain', 'subject', 'issuer'] as const
const keys = [...singletons, 'uri', 'dns'] as const
type Key = (typeof keys)[number]
type Pair = readonly [key: Key, value: string]

/** The element that these pairs make, or undefined where a key that may stand once stands twice. */
function elementOf(pairs: readonly Pair[]): XfccElement | undefined {
  const all = (wanted: Key) => pairs.filter(([key]) => key === wanted).map(([, value]) => value)
  if (singletons.some((key) => all(key).length > 1)) return undefined
  const [by, hash, cert, chain, subject, issuer] = singletons.map((key) => all(key)[0])
  const selfContained = pairs.at(-1)?.[0] === 'uri' && all('dns').length === 0
  const names = { uris: all('uri'), dnsNames: all('dns') }
  return { by, hash, cert, chain, subject, issuer, ...names, selfContained }
}

/** Another reader of the text form: one character at a time, a state for each place where one can stand. */
function walk(text: string): XfccElement[] | undefined {
  const elements: XfccElement[] = []
  let state: 'key' | 'start' | 'plain' | 'quoted' | 'escaped' | 'closed' = 'key'
  let [key, value] = ['', '']
  let pairs: Pair[] = []
  const endPair = () => {
    const known = keys.find((one) => one === key.toLowerCase())
    if (known !== undefined) pairs.push([known, value])
    key = ''
    value = ''
    return known !== undefined
  }
  const endElement = () => {
    const element = endPair() ? elementOf(pairs) : undefined
    pairs = []
    return element !== undefined && elements.push(element) > 0
  }
  for (const char of text) {
    const code = char.charCodeAt(0)
    if (code < 0x20 || code > 0x7e) return undefined
    if (state === 'key') {
      if (char === '=') state = 'start'
      else key += char
    } else if (state === 'escaped') {
      value += char
      state = 'quoted'
    } else if (state === 'quoted' && char !== '"') {
      value += char
      if (char === '\\') state = 'escaped'
    } else if (state === 'quoted') {
      // An element hidden in a quote that a client left open.
      const hidden = value.toLowerCase().split(',').slice(1)
      if (hidden.some((part) => part.startsWith('by=') || part.startsWith('hash=')))
        return undefined
      state = 'closed'
    } else if (char === ';' || char === ',') {
      if (!(char === ';' ? endPair() : endElement())) return undefined
      state = 'key'
    } else if (state === 'start' && char === '"') {
      state = 'quoted'
    } else if (state === 'closed' || '="\\'.includes(char)) {
      return undefined
    } else {
      value += char
      state = 'plain'
    }
  }
  const complete = state === 'start' || state === 'plain' || state === 'closed'
  return complete && endElement() ? elements : undefined
}

for (const [i, { header, elements, ...more }] of vectors.valid.entries()) {
  test(`published example ${i + 1} has ${elements} elements (Envoy’s docs, xfccparser)`, (t) => {
    const parsed = parseXfcc(header)
    t.is(parsed?.length, elements)
    t.deepEqual(parsed, walk(header))
    if (more.subject0 !== undefined) t.is(parsed?.[0]?.subject, more.subject0)
    if (more.uris1 !== undefined) t.deepEqual(parsed?.[1]?.uris, more.uris1)
  })
}
for (const header of vectors.invalid) {
  test(`${header} is refused (xfccparser)`, (t) => {
    t.is(parseXfcc(header), undefined)
  })
}

const printable = Array.from({ length: 0x5f }, (_, i) => String.fromCharCode(0x20 + i))
const unit = (except: string) => printable.filter((char) => !except.includes(char))
const plainValue = fc.string({ unit: fc.constantFrom(...unit(',;="\\')), maxLength: 12 })
const quotedValue = fc
  .array(
    fc.oneof(fc.constantFrom(...unit('"\\')), fc.constantFrom(...unit('').map((c) => `\\${c}`))),
  )
  .map((units) => units.join(''))
const printedPair = fc
  .tuple(
    fc.constantFrom(...keys),
    fc.bigInt(0n, 255n),
    fc.oneof(
      plainValue.map((value) => [value, value] as const),
      quotedValue.map((value) => [value, `"${value}"`] as const),
    ),
  )
  .map(([key, upper, [value, text]]) => {
    const cased = [...key].map((c, i) => (upper & (1n << BigInt(i)) ? c.toUpperCase() : c)).join('')
    return { pair: [key, value] as Pair, text: `${cased}=${text}` }
  })
const printedElement = fc
  .uniqueArray(printedPair, {
    minLength: 1,
    maxLength: 8,
    comparator: (a, b) => elementOf([a.pair, b.pair]) === undefined,
  })
  .map((printed) => ({
    element: elementOf(printed.map(({ pair }) => pair)),
    text: printed.map(({ text }) => text).join(';'),
  }))

test('what is printed is read back, in any key case, quoted or not (Envoy, XFCC)', (t) => {
  const header = fc.array(printedElement, { minLength: 1, maxLength: 5 })
  const property = fc.property(header, (elements) => {
    const text = elements.map((one) => one.text).join(',')
    t.deepEqual(
      parseXfcc(text),
      elements.map(({ element }) => element),
    )
  })
  t.notThrows(() => fc.assert(property, { numRuns: 1000 }))
})

test('what is printed as JSON is read back, lists or single texts (Envoy, XFCC format JSON)', (t) => {
  const text = fc.string({ unit: 'grapheme', maxLength: 12 })
  const one = fc.option(text, { nil: undefined })
  const element = fc.record({
    by: one,
    hash: one,
    cert: one,
    chain: one,
    subject: one,
    issuer: one,
    uris: fc.array(text, { maxLength: 3 }),
    dnsNames: fc.array(text, { maxLength: 3 }),
  })
  const property = fc.property(
    fc.array(element, { minLength: 1, maxLength: 5 }),
    fc.boolean(),
    (elements, listed) => {
      const objects = elements.map(({ uris, dnsNames, by, chain, ...rest }) => ({
        by: listed && by !== undefined ? [by] : by,
        chain: listed && chain !== undefined ? [...chain] : chain,
        uri: !listed && uris.length === 1 ? uris[0] : uris,
        dns: dnsNames,
        ...rest,
      }))
      t.deepEqual(
        parseXfcc(JSON.stringify(objects)),
        elements.map((one) => ({ ...one, selfContained: true })),
      )
    },
  )
  t.notThrows(() => fc.assert(property, { numRuns: 500 }))
})

const short = [
  'By=a;Hash=b;URI=c',
  'Hash=b;Subject="d\\"e,f;g=h";URI=c,By=i;uri=;dns=j',
  'Cert="k";Chain="";Issuer=l,,By=m',
  'subject="\\\\";URI=n;URI=o',
]
test('with any one byte replaced by any other, a second reader says the same (Envoy, XFCC)', (t) => {
  let [taken, refused] = [0, 0]
  for (const text of short) {
    for (let at = 0; at <= text.length; at++) {
      for (let byte = 0; byte < 256; byte++) {
        for (const rest of [at, at + 1]) {
          const changed = text.slice(0, at) + String.fromCharCode(byte) + text.slice(rest)
          const expected = walk(changed)
          t.deepEqual(parseXfcc(changed), expected, JSON.stringify(changed))
          if (expected === undefined) refused++
          else taken++
        }
      }
    }
  }
  t.true(taken > 1000 && refused > 10_000, `${taken} were taken, ${refused} refused`)
})

test('any short text of the characters that matter is read as by a second reader (Envoy, XFCC)', (t) => {
  const tokens = fc.constantFrom(
    ...['By=', 'URI=', 'hash', '=', ',', ';', '"', '\\', 'a', '[', ' '],
  )
  const property = fc.property(fc.array(tokens, { minLength: 1, maxLength: 14 }), (parts) => {
    const text = parts.join('')
    t.deepEqual(parseXfcc(text), walk(text), text)
  })
  t.notThrows(() => fc.assert(property, { numRuns: 5000 }))
})

for (const key of singletons) {
  test(`a second ${key} in one element is refused, in any case, and is not in the next (Envoy, XFCC)`, (t) => {
    t.is(parseXfcc(`${key}=a;${key}=a`), undefined)
    t.is(parseXfcc(`${key}=a;URI=b;${key.toUpperCase()}="c"`), undefined)
    t.is(parseXfcc(`URI=b,${key}=;${key}=`), undefined)
    t.is(parseXfcc(`[{"${key}":["a","b"]}]`)?.length, key === 'chain' ? 1 : undefined)
    t.is(parseXfcc(`${key}=a,${key}=a`)?.length, 2)
  })
}

/** Catalogue group F, and what else is no header. */
const malformed = {
  'F103: an unterminated quote': [
    'Subject="',
    'Subject="a',
    'Subject="a,By=b',
    'By=a;Subject="\\"',
  ],
  'F103: a backslash at the end': [
    'By=a\\',
    'Subject="a\\',
    'Subject="a"\\',
    'Subject="a\\"',
    '\\',
  ],
  'F112: an empty element or pair': [',', ',,', 'By=a,', ',By=a', 'By=a,,By=b', ';', ';;', 'By=a;'],
  'F112: an empty pair inside': ['By=a;;URI=b', ';By=a', 'By=a;,By=b', 'By=a,;By=b'],
  'F112: no key or no equals sign': ['=', '=a', 'By', 'By;URI=a', 'URI=a;By', 'By,By=a'],
  'an unknown key': [
    'X=a',
    'By=a;Key=b',
    'URIS=a',
    'B=a',
    'BY =a',
    ' By=a',
    'By=a; URI=b',
    'By=a, By=b',
  ],
  'a quote or an equals sign inside': [
    'By=a"b"',
    'By="a"b',
    'By="a" ',
    'By=a=b',
    'By==',
    'By="a""b"',
  ],
  'no text at all': [''],
  'a character outside ASCII': [
    'By=ä',
    'Subject="ä"',
    'By=a\t',
    'By=a\n',
    'Subject="a\0"',
    'By=\x7f',
  ],
  'a letter that folds to s or k in Unicode': ['Ha\u017fh=a', '\u017fubject=a', 'I\u017fsuer=a'],
}
for (const [what, texts] of Object.entries(malformed)) {
  test(`${what} is refused (Envoy, XFCC)`, (t) => {
    for (const text of texts) t.is(parseXfcc(text), undefined, JSON.stringify(text))
  })
}

test('F101, F102: separators and escaped quotes inside quotes make no pair (Envoy, XFCC)', (t) => {
  for (const subject of [
    'a;URI=spiffe://td/admin',
    'a\\",URI=\\"spiffe://td/admin',
    ',URI=b;',
    '\\\\',
  ]) {
    const parsed = parseXfcc(`Hash=h;Subject="${subject}";URI=u`)
    t.is(parsed?.length, 1)
    t.is(parsed?.[0]?.subject, subject)
    t.deepEqual(parsed?.[0]?.uris, ['u'])
  }
})

test('an element that a quote hides is refused, escaped or not, in any case (decision 0005)', (t) => {
  for (const hidden of [',By=b', 'x,by=b', ',HASH=h;URI=u', '\\\\,By=b', 'a,b,hash=c']) {
    t.is(parseXfcc(`Subject="${hidden}";URI=u`), undefined, hidden)
  }
  for (const harmless of [',URI=b', 'By=b', ';By=b', ', By=b', ',Bye=b', 'CN=a,OU=hash'])
    t.is(parseXfcc(`Subject="${harmless}";URI=u`)?.length, 1, harmless)
})

test('64 URI and 64 DNS names are read in one element, one more of either is refused (XFCC limits)', (t) => {
  for (const key of ['URI', 'DNS']) {
    const names = (count: number) => Array(count).fill(`${key}=a`).join(';')
    t.is(parseXfcc(names(64))?.length, 1)
    t.is(parseXfcc(names(65)), undefined)
    const listed = (count: number) =>
      JSON.stringify([{ [key.toLowerCase()]: Array(count).fill('a') }])
    t.is(parseXfcc(listed(64))?.length, 1)
    t.is(parseXfcc(listed(65)), undefined)
  }
})

test('F113: 64 KiB and 64 elements are read, one more of either is refused (XFCC limits)', (t) => {
  const longest = `URI=${'a'.repeat(64 * 1024 - 4)}`
  t.is(parseXfcc(longest)?.length, 1)
  t.is(parseXfcc(`${longest}a`), undefined)
  const quoted = `Subject="${'\\"'.repeat(32 * 1024 - 5)}"`
  t.is(quoted.length, 64 * 1024)
  t.is(parseXfcc(quoted)?.length, 1)
  const many = (count: number) => Array(count).fill('By=a').join(',')
  t.is(parseXfcc(many(64))?.length, 64)
  t.is(parseXfcc(many(65)), undefined)
  const objects = (count: number) => JSON.stringify(Array(count).fill({ by: 'a' }))
  t.is(parseXfcc(objects(64))?.length, 64)
  t.is(parseXfcc(objects(65)), undefined)
})

test('F113: junk without end is refused (XFCC limits)', (t) => {
  const mega = 1024 * 1024
  for (const text of [
    Array(10_000).fill('By=a').join(','),
    '"'.repeat(mega),
    '\\'.repeat(mega),
    `Subject="${'\\'.repeat(mega)}`,
    `Subject="${'\\"'.repeat(30_000)}`,
    `Subject="${'a'.repeat(60_000)}`,
    `Subject=${'"'.repeat(60_000)}`,
    `URI=a${';URI=a'.repeat(10_000)};`,
    'By=a,'.repeat(13_000),
    '['.repeat(60_000),
    `[${'{},'.repeat(20_000)}`,
  ]) {
    t.is(parseXfcc(text), undefined, text.slice(0, 20))
  }
})

test('JSON: a list of certificates of Chain is one text (Envoy, XFCC format JSON)', (t) => {
  t.is(parseXfcc('[{"chain":["a","b","c"]}]')?.[0]?.chain, 'abc')
  t.is(parseXfcc('[{"chain":"a"}]')?.[0]?.chain, 'a')
})

const notJson = {
  'a duplicate key': [
    '[{"by":"a","by":"a"}]',
    '[{"uri":["a"],"uri":["b"]}]',
    '[{"by":"a","\\u0062y":"b"}]',
  ],
  'a key in another case': ['[{"By":"a"}]', '[{"URI":["a"]}]', '[{"Hash":"a"}]'],
  'an unknown key': [
    '[{"x":"a"}]',
    '[{"__proto__":"a"}]',
    '[{"constructor":"a"}]',
    '[{"uris":["a"]}]',
  ],
  'a nested list or object': ['[{"uri":[["a"]]}]', '[{"uri":{"a":"b"}}]', '[[{"by":"a"}]]'],
  'a number, a truth value or null': [
    '[{"by":1}]',
    '[{"uri":[1]}]',
    '[{"by":null}]',
    '[{"by":true}]',
  ],
  'an element that is none': ['[1]', '["By=a"]', '[null]', '[{"by":"a"},null]'],
  'an empty list': ['[]', '[ ]'],
  'broken JSON with text after it, as Envoy appends it': [
    '[{"Hash":"1",By=a;URI=b',
    '[{"by":"a"}],By=a;URI=b',
    '[{"by":"a"}],[{"by":"b"}]',
    '[,By=a',
    '[',
  ],
  'text with JSON after it': ['By=a,[{"by":"a"}]', ' [{"by":"a"}]', '{"by":"a"}'],
  'a lone surrogate': ['[{"by":"\\ud800"}]', '[{"by":"\ud800"}]'],
}
for (const [what, texts] of Object.entries(notJson)) {
  test(`JSON: ${what} is refused (Envoy, XFCC format JSON)`, (t) => {
    for (const text of texts) t.is(parseXfcc(text), undefined, text)
  })
}
