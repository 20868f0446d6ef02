import test from 'ava'
import fc from 'fast-check'
import { isRefusal } from '../../src/decision/decision.ts'
import type { Request, SingleHeader } from '../../src/request.ts'
import { decodeCheckRequest } from '../../src/wire/decode.ts'
import { type CheckRequestParts, encodeCheckRequest, upstream } from '../support/check-request.ts'

function decode(parts: CheckRequestParts): Request {
  const request = decodeCheckRequest(encodeCheckRequest(parts))
  if (isRefusal(request)) throw new Error(request.detail)
  return request
}

test('a question encoded with upstream’s definitions is read field by field', (t) => {
  const request = decode({
    id: '42',
    method: 'PUT',
    path: '/v1/x?y=1',
    host: 'Payments.mesh.example:8443',
    certificate: '-----BEGIN%20CERTIFICATE-----%0A',
    principal: 'spiffe://mesh.example/ns/shop/sa/orders',
    token: 'abc.def.ghi',
    destination: 'spiffe://mesh.example/ns/shop/sa/checkout',
    headers: {
      dpop: 'a.b.c',
      'workload-identity-token': 'w.i.t',
      'workload-proof-token': 'w.p.t',
      'txn-token': 't.x.n',
      'x-forwarded-client-cert': 'By=a;URI=b,By=c;URI=d',
    },
    context: { tier: 'high', empty: '' },
  })
  t.deepEqual(request, {
    id: '42',
    method: 'PUT',
    path: '/v1/x?y=1',
    host: 'Payments.mesh.example:8443',
    authorization: { kind: 'one', value: 'Bearer abc.def.ghi' },
    dpop: { kind: 'one', value: 'a.b.c' },
    workloadToken: { kind: 'one', value: 'w.i.t' },
    workloadProof: { kind: 'one', value: 'w.p.t' },
    transactionToken: { kind: 'one', value: 't.x.n' },
    traceparent: '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01',
    reservedHeaders: [],
    peer: {
      certificate: '-----BEGIN%20CERTIFICATE-----%0A',
      principal: 'spiffe://mesh.example/ns/shop/sa/orders',
      destination: 'spiffe://mesh.example/ns/shop/sa/checkout',
      xfcc: { kind: 'one', value: 'By=a;URI=b,By=c;URI=d' },
    },
    context: new Map([
      ['tier', 'high'],
      ['empty', ''],
    ]),
  })
})

test('header_map is read as well as headers (Envoy encode_raw_headers)', (t) => {
  const request = decode({
    rawHeaders: [
      ['authorization', 'Bearer raw'],
      ['x-meshbind-presenter', 'forged'],
    ],
  })
  t.deepEqual(request.authorization, { kind: 'one', value: 'Bearer raw' })
  t.deepEqual(request.reservedHeaders, ['x-meshbind-presenter'])
})

const ambiguous: readonly (readonly [string, CheckRequestParts])[] = [
  ['a comma in the joined value', { headers: { authorization: 'Bearer a,Bearer b' } }],
  ['a comma in the raw value', { rawHeaders: [['authorization', 'Bearer a,Bearer b']] }],
  [
    'two raw entries',
    {
      rawHeaders: [
        ['authorization', 'Bearer a'],
        ['authorization', 'Bearer a'],
      ],
    },
  ],
  [
    'two names that differ in case',
    { headers: { authorization: 'Bearer a', Authorization: 'Bearer b' } },
  ],
]

for (const [title, parts] of ambiguous) {
  test(`two credentials are ambiguous: ${title} (RFC 6750 §2)`, (t) => {
    t.deepEqual(decode(parts).authorization, { kind: 'ambiguous' })
  })
}

/** Protobuf messages concatenate: fields of the second are added to those of the first. */
function merge(...parts: readonly CheckRequestParts[]): Request {
  const request = decodeCheckRequest(Buffer.concat(parts.map(encodeCheckRequest)))
  if (isRefusal(request)) throw new Error(request.detail)
  return request
}

test('headers and header_map that contradict each other are ambiguous; alike they are one', (t) => {
  const joined = { headers: { authorization: 'Bearer a' } }
  t.deepEqual(merge(joined, { rawHeaders: [['authorization', 'Bearer b']] }).authorization, {
    kind: 'ambiguous',
  })
  t.deepEqual(merge(joined, { rawHeaders: [['authorization', 'Bearer a']] }).authorization, {
    kind: 'one',
    value: 'Bearer a',
  })
})

const absent = { kind: 'absent' } as const
const ambiguity = { kind: 'ambiguous' } as const
const one = (value: string) => ({ kind: 'one', value }) as const

interface HeaderCase {
  readonly title: string
  /** Messages that are merged into one. */
  readonly parts: (name: string) => readonly CheckRequestParts[]
  /** For a header that appears once (dpop, authorization), and for one that is a list (XFCC). */
  readonly single: SingleHeader
  readonly list: SingleHeader
}

const headerCases: readonly HeaderCase[] = [
  { title: 'not sent', parts: () => [{}], single: absent, list: absent },
  {
    title: 'in headers',
    parts: (name) => [{ headers: { [name]: 'a' } }],
    single: one('a'),
    list: one('a'),
  },
  {
    title: 'in header_map',
    parts: (name) => [{ rawHeaders: [[name, 'a']] }],
    single: one('a'),
    list: one('a'),
  },
  {
    title: 'alike in both maps',
    parts: (name) => [{ headers: { [name]: 'a' } }, { rawHeaders: [[name, 'a']] }],
    single: one('a'),
    list: one('a'),
  },
  {
    title: 'twice, joined by Envoy',
    parts: (name) => [{ headers: { [name]: 'a,b' } }],
    single: ambiguity,
    list: one('a,b'),
  },
  {
    title: 'twice in header_map',
    parts: (name) => [
      {
        rawHeaders: [
          [name, 'a'],
          [name, 'b'],
        ],
      },
    ],
    single: ambiguity,
    list: one('a,b'),
  },
  {
    title: 'twice the same in header_map',
    parts: (name) => [
      {
        rawHeaders: [
          [name, 'a'],
          [name, 'a'],
        ],
      },
    ],
    single: ambiguity,
    list: one('a,a'),
  },
  {
    title: 'twice, told alike by both maps',
    parts: (name) => [
      { headers: { [name]: 'a,b' } },
      {
        rawHeaders: [
          [name, 'a'],
          [name, 'b'],
        ],
      },
    ],
    single: ambiguity,
    list: one('a,b'),
  },
  {
    title: 'another value in each map',
    parts: (name) => [{ headers: { [name]: 'a' } }, { rawHeaders: [[name, 'b']] }],
    single: ambiguity,
    list: ambiguity,
  },
  {
    title: 'one map tells one value more',
    parts: (name) => [
      { headers: { [name]: 'b' } },
      {
        rawHeaders: [
          [name, 'a'],
          [name, 'b'],
        ],
      },
    ],
    single: ambiguity,
    list: ambiguity,
  },
  {
    title: 'in another order in each map',
    parts: (name) => [
      { headers: { [name]: 'b,a' } },
      {
        rawHeaders: [
          [name, 'a'],
          [name, 'b'],
        ],
      },
    ],
    single: ambiguity,
    list: ambiguity,
  },
  {
    title: 'under two names that differ in case, in one map',
    parts: (name) => [{ headers: { [name]: 'a' } }, { headers: { [name.toUpperCase()]: 'b' } }],
    single: ambiguity,
    list: ambiguity,
  },
  {
    title: 'under two names that differ in case, one in each map',
    parts: (name) => [{ headers: { [name]: 'a' } }, { rawHeaders: [[name.toUpperCase(), 'b']] }],
    single: ambiguity,
    list: ambiguity,
  },
  {
    title: 'in upper case alone',
    parts: (name) => [{ rawHeaders: [[name.toUpperCase(), 'a']] }],
    single: one('a'),
    list: one('a'),
  },
  {
    title: 'empty',
    parts: (name) => [{ headers: { [name]: '' } }],
    single: one(''),
    list: one(''),
  },
  {
    title: 'empty beside a value',
    parts: (name) => [
      {
        rawHeaders: [
          [name, ''],
          [name, 'a'],
        ],
      },
    ],
    single: ambiguity,
    list: one(',a'),
  },
]
const headerKinds = [
  ['authorization', 'single', ({ authorization }: Request) => authorization],
  ['dpop', 'single', ({ dpop }: Request) => dpop],
  ['workload-identity-token', 'single', ({ workloadToken }: Request) => workloadToken],
  ['workload-proof-token', 'single', ({ workloadProof }: Request) => workloadProof],
  ['txn-token', 'single', ({ transactionToken }: Request) => transactionToken],
  ['x-forwarded-client-cert', 'list', ({ peer }: Request) => peer.xfcc],
] as const

for (const [name, kind, read] of headerKinds) {
  for (const { title, parts, ...expected } of headerCases) {
    test(`request.ts: a ${kind} header, ${name}: ${title}`, (t) => {
      t.deepEqual(read(merge(...parts(name))), expected[kind])
    })
  }
  test(`request.ts: look-alikes of ${name} are not it`, (t) => {
    const twins = [`${name}_`, `x-${name}`, name.slice(1), name.replaceAll('-', '_').concat('x')]
    const others = ['d-op', 'dpoq', 'x-forwarded-client-cerf', 'x_forwarded_client_cert']
    for (const twin of [...twins, ...others]) {
      t.deepEqual(read(decode({ headers: { [twin]: 'a' } })), absent, twin)
      t.deepEqual(read(decode({ rawHeaders: [[twin, 'a']] })), absent, twin)
    }
  })
  test(`property: a ${name} header survives any neighbours, in either map`, (t) => {
    const other = fc.stringMatching(/^[a-z][a-z0-9-]{0,24}$/).filter((text) => text !== name)
    const headers = fc.dictionary(other, fc.string({ maxLength: 40 }), { maxKeys: 30 })
    fc.assert(
      fc.property(headers, fc.boolean(), (others, raw) => {
        const all = { ...others, [name]: 'x' }
        const request = decode(raw ? { rawHeaders: Object.entries(all) } : { headers: all })
        t.deepEqual(read(request), one('x'))
      }),
      { numRuns: 100 },
    )
  })
}

/** One entry of `header_map` that may spell its value in both of upstream's fields. */
function decodeEntry(header: { key: string; value?: string; raw_value?: Buffer }): Request {
  const { Check } = upstream['envoy.service.auth.v3.Authorization'] as unknown as {
    readonly Check: { requestSerialize(value: object): Buffer }
  }
  const http = { method: 'GET', path: '/', host: 'a.test', header_map: { headers: [header] } }
  const request = decodeCheckRequest(Check.requestSerialize({ attributes: { request: { http } } }))
  if (isRefusal(request)) throw new Error(request.detail)
  return request
}

test('request.ts: an entry with two spellings of its value is ambiguous, alike it is one', (t) => {
  for (const [key, , read] of headerKinds) {
    const raw_value = Buffer.from('a')
    t.deepEqual(read(decodeEntry({ key, value: 'a' })), one('a'))
    t.deepEqual(read(decodeEntry({ key, raw_value })), one('a'))
    t.deepEqual(read(decodeEntry({ key, value: 'a', raw_value })), one('a'))
    t.deepEqual(read(decodeEntry({ key, value: 'b', raw_value })), ambiguity)
  }
})

test('request.ts: bytes that are no UTF-8 stay bytes in header_map, and no grammar takes them', (t) => {
  const request = decode({ rawHeaders: [['x-forwarded-client-cert', Buffer.from([0x41, 0xff])]] })
  t.deepEqual(request.peer.xfcc, one('A\u00ff'))
})

test('a reserved header is removed in every spelling that an upstream may fold into it (catalogue 56)', (t) => {
  const names = ['x-meshbind-presenter', 'x_meshbind_presenter', 'x-meshbind_presenter']
  const request = decode({ headers: Object.fromEntries(names.map((name) => [name, 'forged'])) })
  t.deepEqual(request.reservedHeaders.toSorted(), names.toSorted())
})

test('no Authorization header is absent, and look-alikes are not it', (t) => {
  t.deepEqual(
    decode({ headers: { authorization_: 'Bearer a', 'x-authorization': 'Bearer a' } })
      .authorization,
    { kind: 'absent' },
  )
})

const unusable: readonly (readonly [string, Buffer])[] = [
  ['no bytes at all', Buffer.alloc(0)],
  ['no method', encodeCheckRequest({ method: '' })],
  ['no path', encodeCheckRequest({ path: '' })],
  ['a group', Buffer.from([0x0b, 0x0c])],
  ['a million nested groups', Buffer.alloc(1_000_000, 0x0b)],
  ['a length beyond the end', Buffer.from([0x0a, 0xff, 0xff, 0xff, 0x7f])],
  ['a field that ends outside its message', Buffer.from([0x0a, 0x02, 0x0a, 0x7f, 0x00])],
  ['an endless varint', Buffer.alloc(64, 0xff)],
  [
    '33 reserved headers',
    encodeCheckRequest({
      rawHeaders: Array.from({ length: 33 }, (_, i) => [`x-meshbind-${i}`, '']),
    }),
  ],
  [
    'a reserved header name of 10 kB',
    encodeCheckRequest({ rawHeaders: [[`x-meshbind-${'a'.repeat(10_000)}`, '']] }),
  ],
]

for (const [title, bytes] of unusable) {
  test(`a question that cannot be judged is refused as request_malformed: ${title}`, (t) => {
    const result = decodeCheckRequest(bytes)
    t.true(isRefusal(result) && result.refused === 'request_malformed')
  })
}

test('property: any bytes give a Request or a refusal, never an exception', (t) => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 4096 }), (bytes) => {
      decodeCheckRequest(Buffer.from(bytes))
    }),
    { numRuns: 5000 },
  )
  t.pass()
})

test('property: a question with any one byte changed, added or cut gives a Request or a refusal', (t) => {
  const bytes = encodeCheckRequest({ token: 'abc', certificate: 'PEM', context: { a: 'b' } })
  for (let i = 0; i < bytes.length; i++) {
    for (const flip of [0x01, 0x07, 0x80, 0xff]) {
      const changed = Buffer.from(bytes)
      changed[i] = (changed[i] ?? 0) ^ flip
      decodeCheckRequest(changed)
    }
    decodeCheckRequest(bytes.subarray(0, i))
  }
  t.pass()
})
