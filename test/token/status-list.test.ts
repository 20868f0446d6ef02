import { deflateRawSync, deflateSync, gzipSync } from 'node:zlib'
import test from 'ava'
import fc from 'fast-check'
import { isRefusal } from '../../src/decision/decision.ts'
import { readStatusClaim, readStatusList, type StatusBits } from '../../src/token/status-list.ts'
import vectors from '../vectors/token_status_list.json' with { type: 'json' }

const allBits = [1, 2, 4, 8] as const
const lstOf = (bytes: Uint8Array) => deflateSync(bytes).toString('base64url')
const mebibyte = 1024 * 1024

for (const { file, bits, lst, uncompressed_bytes: size, statuses } of vectors.vectors) {
  test(`status-list-20 ${file}: every published status is read, and none beyond the end`, async (t) => {
    const list = await readStatusList(lst, bits as StatusBits)
    for (const [index, status] of Object.entries(statuses))
      t.is(list?.status(Number(index)), status, index)
    const entries = (size * 8) / bits
    t.is(typeof list?.status(entries - 1), 'number')
    t.is(list?.status(entries), undefined)
  })
}

test('status-list-20 §4.1: in the published list of two bytes the first status is the lowest bit', async (t) => {
  const list = await readStatusList(lstOf(Uint8Array.of(0xb9, 0xa3)), 1)
  const read = Array.from({ length: 16 }, (_, index) => list?.status(index))
  t.deepEqual(read, [1, 0, 0, 1, 1, 1, 0, 1, 1, 1, 0, 0, 0, 1, 0, 1])
})

for (const bits of allBits) {
  test(`status-list-20 §4.1: with ${bits} bits every byte value gives its statuses, lowest bits first`, async (t) => {
    const list = await readStatusList(lstOf(Uint8Array.from({ length: 256 }, (_, i) => i)), bits)
    const perByte = 8 / bits
    for (let index = 0; index < 256 * perByte; index++) {
      const written = Math.floor(index / perByte)
        .toString(2)
        .padStart(8, '0')
      const end = 8 - (index % perByte) * bits
      t.is(list?.status(index), Number.parseInt(written.slice(end - bits, end), 2), `${index}`)
    }
  })

  test(`status-list-20 §8.3: with ${bits} bits what is no index of the list has no status`, async (t) => {
    const list = await readStatusList(lstOf(new Uint8Array(3)), bits)
    const end = 24 / bits
    t.is(list?.status(end - 1), 0)
    const others = [end, end + 1, -1, 0.5, 2 ** 31, 2 ** 32, 2 ** 53 - 1, 2 ** 53]
    for (const index of [...others, Number.NaN, Number.POSITIVE_INFINITY])
      t.is(list?.status(index), undefined, `${index}`)
  })
}

test('status-list-20 §4.1: a list of any bytes is read as it was written', async (t) => {
  const cases = fc.tuple(fc.uint8Array({ minLength: 1 }), fc.constantFrom(...allBits), fc.nat())
  await fc.assert(
    fc.asyncProperty(cases, async ([bytes, bits, n]) => {
      const index = n % ((bytes.length * 8) / bits)
      const whole = bytes.reduceRight((sum, byte) => (sum << 8n) | BigInt(byte), 0n)
      const expected = Number((whole >> BigInt(index * bits)) % (1n << BigInt(bits)))
      t.is((await readStatusList(lstOf(bytes), bits))?.status(index), expected)
    }),
  )
})

const good = deflateSync(Uint8Array.of(0xb9, 0xa3))
const notZlib: readonly (readonly [string, string])[] = [
  ['nothing', ''],
  ['padding', `${good.toString('base64url')}=`],
  ['the other alphabet', '+/+/'],
  ['trailing bits', `${good.toString('base64url').slice(0, -1)}R`],
  ['white space', ` ${good.toString('base64url')}`],
  ['a gzip stream', gzipSync(Uint8Array.of(1)).toString('base64url')],
  ['a raw DEFLATE stream', deflateRawSync(Uint8Array.of(1)).toString('base64url')],
  ['bytes after the stream', Buffer.concat([good, Buffer.of(0)]).toString('base64url')],
  ['a second stream', Buffer.concat([good, good]).toString('base64url')],
  ['a broken checksum', Buffer.concat([good.subarray(0, -1), Buffer.of(0)]).toString('base64url')],
  [
    'a preset dictionary',
    deflateSync(Uint8Array.of(1), { dictionary: Buffer.of(1, 2) }).toString('base64url'),
  ],
]
for (const [title, lst] of notZlib) {
  test(`status-list-20 §4.2: ${title} is no list`, async (t) => {
    t.is(await readStatusList(lst, 1), undefined)
  })
}

test('J185: a list that is cut off at any byte is no list', async (t) => {
  t.truthy(await readStatusList(good.toString('base64url'), 1))
  for (let length = 0; length < good.length; length++)
    t.is(await readStatusList(good.subarray(0, length).toString('base64url'), 1), undefined)
})

test('status-list-20 §11: 4 MiB are inflated, a byte more is not, and a bomb is not either', async (t) => {
  const fitting = await readStatusList(lstOf(new Uint8Array(4 * mebibyte)), 8)
  t.is(fitting?.status(4 * mebibyte - 1), 0)
  t.is(await readStatusList(lstOf(new Uint8Array(4 * mebibyte + 1)), 8), undefined)
  t.is(await readStatusList(lstOf(new Uint8Array(64 * mebibyte)), 8), undefined)
})

const claim = (reference: object) => ({ status: { status_list: { idx: 0, uri, ...reference } } })
const uri = 'https://example.com/statuslists/1'

test('status-list-20 §6.2: the published claim says list and index', (t) => {
  t.deepEqual(readStatusClaim(vectors.referenced_token_status), { uri, index: 0 })
  t.deepEqual(readStatusClaim(claim({ idx: 2 ** 53 - 1 })), { uri, index: 2 ** 53 - 1 })
})

test('status-list-20 §6.1: a token without status has none', (t) => {
  t.is(readStatusClaim({ sub: 'a' }), undefined)
  t.is(readStatusClaim(Object.create({ status: 1 })), undefined)
})

for (const [detail, claims] of [
  ['status', { status: null }],
  ['status', { status: [] }],
  ['status', { status: 'valid' }],
  ['status.status_list', { status: {} }],
  ['status.status_list', { status: { another_mechanism: {} } }],
  ['status.status_list', { status: { status_list: [] } }],
  ...[undefined, null, '0', -1, 0.5, 2 ** 53, [0]].map(
    (idx) => ['status.status_list.idx', claim({ idx })] as const,
  ),
  ...[
    undefined,
    null,
    1,
    '',
    'example.com/1',
    '/statuslists/1',
    'http://example.com/1',
    'file:///etc/passwd',
    'https://user:word@example.com/1',
    'https://example.com/1#a',
    'https://169.254.169.254/1',
    'http://169.254.169.254/1',
    `https://example.com/${'a'.repeat(2048)}`,
  ].map((text) => ['status.status_list.uri', claim({ uri: text })] as const),
] as const) {
  test(`status-list-20 §6.2: ${JSON.stringify(claims).slice(0, 80)} is refused`, (t) => {
    const read = readStatusClaim(claims)
    t.deepEqual(isRefusal(read) ? read : undefined, { refused: 'claim_invalid', detail })
  })
}

test('status-list-20 §6.2: a uri of 2048 characters is taken', (t) => {
  const long = `https://example.com/${'a'.repeat(2028)}`
  t.deepEqual(readStatusClaim(claim({ uri: long })), { uri: long, index: 0 })
})
