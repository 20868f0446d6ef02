import test from 'ava'
import fc from 'fast-check'
import { isRefusal } from '../../src/decision/decision.ts'
import { encodeCheckJson } from '../../src/wire/check-json.ts'
import { decodeCheckRequest } from '../../src/wire/decode.ts'
import { upstream } from '../support/check-request.ts'

interface Question {
  readonly attributes: object
}

const { Check } = upstream['envoy.service.auth.v3.Authorization'] as unknown as {
  readonly Check: { requestDeserialize(bytes: Buffer): Question }
}

const full = {
  attributes: {
    source: { principal: 'spiffe://mesh.example/a', certificate: 'PEM%0A', service: 'x' },
    destination: { principal: 'spiffe://mesh.example/b' },
    request: {
      time: '2026-11-23T06:40:33Z',
      http: {
        id: '7',
        method: 'POST',
        path: '/v1/payments?a=1',
        host: 'payments.example',
        scheme: 'https',
        size: '-1',
        headers: { authorization: 'Bearer a.b.c', 'x-tenant': 'é' },
      },
    },
    contextExtensions: { tier: 'high' },
    metadataContext: { filterMetadata: {} },
  },
}

/** A question with one field of the HTTP part changed. */
const http = (fields: object) => ({
  attributes: { request: { http: { method: 'GET', path: '/', host: 'h', ...fields } } },
})

test('Envoy attribute_context.proto: what is written here, upstream’s definitions read', (t) => {
  const { attributes } = Check.requestDeserialize(encodeCheckJson(full))
  t.like(attributes, {
    source: { principal: 'spiffe://mesh.example/a', certificate: 'PEM%0A' },
    destination: { principal: 'spiffe://mesh.example/b' },
    request: {
      http: {
        id: '7',
        method: 'POST',
        path: '/v1/payments?a=1',
        host: 'payments.example',
        headers: full.attributes.request.http.headers,
      },
    },
    context_extensions: { tier: 'high' },
  })
})

test('a check reads from the JSON what it would read from Envoy', (t) => {
  const request = decodeCheckRequest(encodeCheckJson(full))
  t.false(isRefusal(request))
  t.like(request, {
    id: '7',
    method: 'POST',
    authorization: { kind: 'one', value: 'Bearer a.b.c' },
    peer: { destination: 'spiffe://mesh.example/b' },
  })
})

interface Field {
  readonly name: string
  readonly typeName: string
}

interface Descriptor {
  readonly field: readonly Field[]
  readonly nestedType: readonly (Descriptor & { readonly name: string })[]
}

const { type } = upstream['envoy.service.auth.v3.AttributeContext'] as unknown as {
  readonly type: Descriptor
}
const fieldsOf = (message: string) =>
  type.nestedType.find(({ name }) => name === message)?.field.map(({ name }) => name) ?? []
const camel = (name: string) => name.replace(/_([a-z])/g, (_, letter) => letter.toUpperCase())

const messages: readonly (readonly [string, readonly string[], (fields: object) => object])[] = [
  ['AttributeContext', type.field.map(({ name }) => name), (fields) => fields],
  ['Peer', fieldsOf('Peer'), (fields) => ({ source: fields })],
  ['Request', fieldsOf('Request'), (fields) => ({ request: fields })],
  ['HttpRequest', fieldsOf('HttpRequest'), (fields) => ({ request: { http: fields } })],
]
for (const [message, names, place] of messages) {
  test(`Envoy attribute_context.proto: every field of ${message} is known in both spellings`, (t) => {
    t.true(names.length > 1)
    for (const name of names) {
      for (const spelling of [name, camel(name)]) {
        const question = { attributes: place({ [spelling]: null }) }
        t.notThrows(() => encodeCheckJson(question), spelling)
      }
    }
  })
}

test('proto3 JSON: both spellings of a field at once are refused, null is the default', (t) => {
  const twice = { attributes: { contextExtensions: {}, context_extensions: {} } }
  t.throws(() => encodeCheckJson(twice), { message: /`context_extensions` .* two spellings/ })
  t.is(encodeCheckJson({ attributes: null }).length, 0)
})

test('encode_raw_headers: raw values are base64 of either alphabet, padded or not', (t) => {
  for (const raw_value of ['Pz8+', 'Pz8-']) {
    const headers = [{ key: 'authorization', rawValue: raw_value }]
    const request = decodeCheckRequest(encodeCheckJson(http({ headerMap: { headers } })))
    t.like(request, { authorization: { kind: 'one', value: '??>' } })
  }
  const broken = http({ header_map: { headers: [{ key: 'a', raw_value: '%' }] } })
  t.throws(() => encodeCheckJson(broken), { message: /`raw_value`: must be base64/ })
})

const refused: readonly (readonly [what: string, question: unknown, said: RegExp])[] = [
  ['a list', [], /the CheckRequest: must be an object/],
  ['a field that Envoy does not have', http({ pat: '/' }), /no field `pat`; there are id, method/],
  ['an inherited name', http({ constructor: '/' }), /no field `constructor`/],
  ['a number for a text', http({ path: 1 }), /`path`: must be a text/],
  ['a number as a header', http({ headers: { a: 1 } }), /`headers`: every member: must be a text/],
  ['a list of headers', http({ headers: [] }), /`headers`: must be an object of texts/],
  ['an object of raw headers', http({ headerMap: { headers: {} } }), /`headers`: must be a list/],
  ['a text for a message', { attributes: { source: 'x' } }, /`source`: must be an object/],
]
for (const [what, question, said] of refused) {
  test(`${what} is refused with its place`, (t) => {
    t.throws(() => encodeCheckJson(question), { message: said })
  })
}

test('a token in the place of a name or of a value is not repeated', (t) => {
  const canary = 'eyJhbGciOiJFUzI1NiJ9.eyJjYW5hcnkiOjF9.c2ln'
  const places = [
    { [canary]: 1 },
    http({ [canary]: 1 }),
    http({ path: [canary] }),
    http({ headers: { authorization: [canary] } }),
    http({ headerMap: { headers: [{ rawValue: canary }] } }),
  ]
  for (const question of places) {
    const { message } = t.throws(() => encodeCheckJson(question)) ?? { message: canary }
    t.false(message.includes(canary.slice(0, 8)), message)
  }
})

test('any JSON at all gives bytes or a message, and never hangs', (t) => {
  fc.assert(
    fc.property(fc.jsonValue(), (value) => {
      for (const question of [value, { attributes: value }, http({ headers: value })]) {
        try {
          decodeCheckRequest(encodeCheckJson(question))
        } catch (error) {
          t.regex((error as Error).message, /^the CheckRequest: /)
        }
      }
    }),
  )
  t.pass()
})
