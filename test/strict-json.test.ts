import test from 'ava'
import fc from 'fast-check'
import { isJsonObject, member, parseStrictJson } from '../src/strict-json.ts'

const parse = (text: string) => parseStrictJson(Buffer.from(text))

/** The parser's answer must be JSON.parse's, where it gives one. */
for (const text of [
  '{}',
  ' \t\r\n{ "a" : [ ] } \n',
  '{"a":{"a":{"a":1}},"b":[{"a":1},{"a":2}]}',
  '{"a":"{\\"a\\":1,\\"a\\":2}","b":"},{","c":"[[["}',
  '{"a":"\\\\","b":"\\\\\\"","c":"\\"a\\":"}',
  '{"a\\"":1,"a":2,"a\\\\":3}',
  '{"a":["a","a",{"b":["a"]},"b"],"b":"a"}',
  '{"":1," ":2,"\\u0000":3}',
  '{"A":1,"a":2}',
  '{"\\u00e9":1,"e\\u0301":2}',
  '{"a":true,"b":false,"c":null}',
  '{"a":0,"b":-1,"c":9007199254740991,"d":-9007199254740991}',
  '{"a":"\\ud83d\\ude00","b":"😀","c":"\\u0000"}',
]) {
  test(`RFC 8259: ${JSON.stringify(text)} is one object`, (t) => {
    t.deepEqual(parse(text), JSON.parse(text))
  })
}

for (const text of [
  '',
  ' ',
  '[]',
  '[{}]',
  '"a"',
  '1',
  'null',
  'true',
  '{',
  '{}{}',
  '{},',
  '{"a"}',
]) {
  test(`RFC 7519 §7.2: ${JSON.stringify(text)} is no object`, (t) => {
    t.is(parse(text), undefined)
  })
}

for (const text of [
  '{"a":1,"a":1}',
  '{"a":1,"b":2,"a":3}',
  '{"a":1,"\\u0061":2}',
  '{"\\u0061":1,"a":2}',
  '{"\\u0061":1,"\\u0061":2}',
  '{"/":1,"\\/":2}',
  '{"\\n":1,"\\u000a":2}',
  '{"\\u000A":1,"\\u000a":2}',
  '{"😀":1,"\\ud83d\\ude00":2}',
  '{"":1,"":2}',
  '{"a" :1,"a"\n:2}',
  '{"__proto__":1,"__proto__":2}',
  '{"constructor":1,"\\u0063onstructor":2}',
  '{"o":{"a":1,"a":2}}',
  '{"o":[{"a":1},{"b":[{"a":1,"a":2}]}]}',
  '{"o":{"a":[],"b":{},"a":1}}',
  '{"a":{"b":1},"c":["x","y"],"a":2}',
  '{"a":"b","b":"c","b":"d"}',
]) {
  test(`RFC 8259 §4: ${JSON.stringify(text)} names a member twice`, (t) => {
    t.notThrows(() => JSON.parse(text))
    t.is(parse(text), undefined)
  })
}

const arrays = (depth: number) => `{"a":${'['.repeat(depth - 1)}${']'.repeat(depth - 1)}}`
const objects = (depth: number) => `${'{"a":'.repeat(depth - 1)}{}${'}'.repeat(depth - 1)}`

test('RFC 8259 §9: sixteen levels are taken', (t) => {
  for (const text of [arrays(16), objects(16)]) t.deepEqual(parse(text), JSON.parse(text))
  const wide = `{"a":[${Array.from({ length: 100 }, () => '[[{}]]').join()}]}`
  t.deepEqual(parse(wide), JSON.parse(wide), 'width is not depth')
})

for (const depth of [17, 100, 5_000, 100_000, 1_000_000]) {
  test(`RFC 8259 §9: ${depth} levels are refused without an error`, (t) => {
    t.is(parse(arrays(depth)), undefined)
    t.is(parse(objects(depth)), undefined)
  })
}

for (const number of [
  '1e400',
  '-1e400',
  '1.0',
  '1e3',
  '1E3',
  '1767225600.0000000001',
  '9007199254740991.4',
  '1e-400',
  '9007199254740992',
  '9007199254740993',
  '-9007199254740992',
  '1e30',
  '1.5',
  '-0.1',
  '1e-1',
  '123456789012345678901234567890',
]) {
  test(`RFC 7493 §2.2: the number ${number} is refused at any depth`, (t) => {
    t.is(parse(`{"a":${number}}`), undefined)
    t.is(parse(`{"a":[{"b":[${number}]}]}`), undefined)
  })
}

for (const number of ['01', '+1', '.5', '1.', 'NaN', 'Infinity', '-', '0x1', '1_0', '1n']) {
  test(`RFC 8259 §6: ${number} is no number`, (t) => {
    t.is(parse(`{"a":${number}}`), undefined)
  })
}

for (const text of [
  '{"a":"\\ud800"}',
  '{"a":"\\udc00"}',
  '{"a":"\\ude00\\ud83d"}',
  '{"a":"x\\ud800y"}',
  '{"\\ud800":1}',
  '{"a":[{"b":"\\ud800"}]}',
  '{"a":{"\\udfff":1}}',
]) {
  test(`RFC 7493 §2.1: the lone surrogate in ${text} is refused`, (t) => {
    t.notThrows(() => JSON.parse(text))
    t.is(parse(text), undefined)
  })
}

for (const [title, bytes] of Object.entries({
  'a byte order mark': [0xef, 0xbb, 0xbf, 0x7b, 0x7d],
  'UTF-16': [0x7b, 0x00, 0x7d, 0x00],
  'UTF-16 with its mark': [0xff, 0xfe, 0x7b, 0x00, 0x7d, 0x00],
  'an overlong solidus': [0x7b, 0x22, 0xc0, 0xaf, 0x22, 0x3a, 0x31, 0x7d],
  'an encoded surrogate': [0x7b, 0x22, 0xed, 0xa0, 0x80, 0x22, 0x3a, 0x31, 0x7d],
  'a cut sequence': [0x7b, 0x22, 0xe2, 0x82, 0x22, 0x3a, 0x31, 0x7d],
  'a raw control character': [0x7b, 0x22, 0x00, 0x22, 0x3a, 0x31, 0x7d],
})) {
  test(`RFC 8259 §8.1: ${title} is refused`, (t) => {
    t.is(parseStrictJson(Uint8Array.from(bytes)), undefined)
  })
}

test('RFC 8259 §4: __proto__ is an ordinary member and changes no prototype', (t) => {
  const object = parse('{"__proto__":{"admin":true},"constructor":1}') ?? {}
  t.deepEqual(Object.keys(object), ['__proto__', 'constructor'])
  t.is(Object.getPrototypeOf(object), Object.prototype)
  t.deepEqual(member(object, '__proto__'), { admin: true })
  t.is(member(object, 'admin'), undefined)
  t.is(Reflect.get({}, 'admin'), undefined)
})

test('RFC 8259 §4: what an object inherits is no member', (t) => {
  const object = parse('{"a":1}') ?? {}
  t.is(member(object, 'a'), 1)
  for (const name of ['constructor', 'toString', '__proto__', 'hasOwnProperty', 'b'])
    t.is(member(object, name), undefined, name)
})

test('RFC 8259 §4: an object is neither an array nor null', (t) => {
  t.true(isJsonObject({}))
  for (const value of [null, [], 'a', 1, true, undefined]) t.false(isJsonObject(value))
})

const safeText = fc.string({ unit: 'grapheme-composite', maxLength: 12 })
const safeValue = fc.letrec((tie) => ({
  value: fc.oneof(
    { depthSize: 'small', withCrossShrink: true },
    safeText,
    fc.maxSafeInteger().map((number) => number + 0),
    fc.boolean(),
    fc.constant(null),
    fc.array(tie('value'), { maxLength: 4 }),
    fc.dictionary(safeText, tie('value'), { maxKeys: 4 }),
  ),
})).value

const depthOf = (value: unknown): number =>
  typeof value === 'object' && value !== null
    ? 1 + Math.max(0, ...Object.values(value).map(depthOf))
    : 0

test('RFC 8259: any object of safe values survives JSON.stringify', (t) => {
  const safeObjects = fc
    .dictionary(safeText, safeValue, { maxKeys: 6 })
    .filter((object) => depthOf(object) <= 16)
  const property = fc.property(safeObjects, fc.constantFrom('', ' ', '\t'), (object, indent) => {
    t.deepEqual(parse(JSON.stringify(object, null, indent)), JSON.parse(JSON.stringify(object)))
  })
  t.notThrows(() => fc.assert(property))
})

test('RFC 8259 §4: any object whose text repeats a member is refused', (t) => {
  const escaped = (name: string) =>
    `"${name.replace(/[\s\S]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`)}"`
  const property = fc.property(safeText, safeValue, safeValue, (name, first, second) => {
    const [one, two] = [JSON.stringify(first), JSON.stringify(second)]
    const plain = JSON.stringify(name)
    return (
      parse(`{${plain}:${one},${plain}:${two}}`) === undefined &&
      parse(`{${plain}:${one},${escaped(name)}:${two}}`) === undefined &&
      parse(`{"o":[{${escaped(name)}:${one},${plain}:${two}}]}`) === undefined
    )
  })
  t.notThrows(() => fc.assert(property))
})

test('RFC 8259: no bytes make the parser throw', (t) => {
  const bytes = fc.oneof(
    fc.uint8Array(),
    fc.string({ unit: fc.constantFrom(...'{}[]":,\\ua01e. -\u00e9') }).map((s) => Buffer.from(s)),
    fc.json().map((text) => Buffer.from(text)),
  )
  t.notThrows(() =>
    fc.assert(
      fc.property(bytes, (input) => {
        const object = parseStrictJson(input)
        return object === undefined || isJsonObject(object)
      }),
    ),
  )
})
