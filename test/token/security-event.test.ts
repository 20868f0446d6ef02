import test from 'ava'
import { createKeySource } from '../../src/token/key-source.ts'
import { type EventStream, readSecurityEvent } from '../../src/token/security-event.ts'
import { type Claims, createTestIssuer } from '../support/issuer.ts'
import vectors from '../vectors/caep_session_revoked.json' with { type: 'json' }

const now = 1_800_000_000
const idp = 'https://idp.example.com/123456789/'
const audience = 'https://sp.example.com/caep'
const transmitter = await createTestIssuer(idp, { now: () => now })
const stranger = await createTestIssuer(idp, { now: () => now })
const unknown = await createTestIssuer(idp, { now: () => now, keyId: 'key-2' })
const keys = createKeySource({
  load: async () => ({ bytes: Buffer.from(JSON.stringify(transmitter.jwks)) }),
  algorithms: ['ES256'],
  clock: () => now,
  refreshSeconds: 300,
})
await keys.tried
test.after.always(() => keys.close())

const stream: EventStream = {
  issuer: idp,
  audience,
  tokenIssuers: new Set([idp]),
  keys,
  clockSkewSeconds: 30,
}
const caep = 'https://schemas.openid.net/secevent/caep/event-type/'
const session = `${caep}session-revoked`
const jane = { format: 'iss_sub', iss: idp, sub: 'jane' }
const happened = now - 100

function sign(claims: Claims = {}, header: Claims = {}, by = transmitter): Promise<string> {
  const defaults = {
    aud: audience,
    sub: undefined,
    exp: undefined,
    jti: 'set-1',
    sub_id: jane,
    events: { [session]: { event_timestamp: happened } },
  }
  return by.sign({ ...defaults, ...claims }, { typ: 'secevent+jwt', ...header })
}

async function read(claims: Claims = {}, over: Partial<EventStream> = {}) {
  return readSecurityEvent(await sign(claims), { ...stream, ...over }, now)
}

/** The revocations, or the error code. */
async function outcome(claims: Claims, over: Partial<EventStream> = {}): Promise<unknown> {
  const event = await read(claims, over)
  if (event === 'unavailable') return event
  return 'err' in event ? event.err : event.revocations
}

const before = 1_615_304_991 + 1
const opaque = 'dMTlD|1600802906337.16|16008.16'
const published = [
  [
    { issuer: idp, session: opaque, before },
    { issuer: idp, subject: opaque, before },
  ],
  [
    { issuer: idp, subject: '99beb27c-c1c2-4955-882a-e0dc4996fcbc', before },
    { issuer: idp, session: opaque, before },
  ],
  [{ issuer: idp, subject: 'jane.smith@example.com', before }],
]
for (const [index, claims] of vectors.claims.entries()) {
  test(`CAEP 1.0 §3.1: published session-revoked example ${index + 1} revokes its user and session`, async (t) => {
    const text = await sign(claims, vectors.jose_header)
    t.deepEqual(await readSecurityEvent(text, stream, now), {
      id: '24c63fb56e5a2d77a6b512616ca9fa24',
      issuedAt: 1_615_305_159,
      revocations: published[index] ?? [],
    })
  })
}

test('RFC 8935 §2.2: the same SET gives the same revocations again', async (t) => {
  const text = await sign()
  t.deepEqual(
    await readSecurityEvent(text, stream, now),
    await readSecurityEvent(text, stream, now + 3600),
  )
})

for (const [title, claims, expected] of [
  ['event_timestamp', {}, happened + 1],
  ['iat, without event_timestamp', { iat: now - 7, events: { [session]: {} } }, now - 6],
  [
    'now and the skew, from the far future',
    { events: { [session]: { event_timestamp: 2 ** 52 } } },
    now + 31,
  ],
  [
    'now and the skew, with iat in the far future',
    { iat: 2 ** 52, events: { [session]: {} } },
    now + 31,
  ],
] as const) {
  test(`CAEP 1.0 §2: tokens are revoked that were issued until ${title}`, async (t) => {
    t.deepEqual(await outcome(claims), [{ issuer: idp, subject: 'jane', before: expected }])
  })
}

for (const [title, claims, err] of [
  ['another iss', { iss: 'https://idp.example.com/123456789' }, 'invalid_issuer'],
  ['no iss', { iss: undefined }, 'invalid_issuer'],
  ['another aud', { aud: 'https://sp.example.com' }, 'invalid_audience'],
  ['no aud', { aud: undefined }, 'invalid_audience'],
  ['aud as an array of arrays', { aud: [[audience]] }, 'invalid_audience'],
  ['sub', { sub: 'jane' }, 'invalid_request'],
  ['exp', { exp: now + 60 }, 'invalid_request'],
  ['no jti', { jti: undefined }, 'invalid_request'],
  ['an empty jti', { jti: '' }, 'invalid_request'],
  ['jti as a number', { jti: 1 }, 'invalid_request'],
  ['no iat', { iat: undefined }, 'invalid_request'],
  ['iat as text', { iat: `${now}` }, 'invalid_request'],
  ['no events', { events: undefined }, 'invalid_request'],
  ['empty events', { events: {} }, 'invalid_request'],
  ['events in an array', { events: [{ [session]: {} }] }, 'invalid_request'],
  ['an event that is true', { events: { [session]: true } }, 'invalid_request'],
  ['an event that is an array', { events: { [session]: [] } }, 'invalid_request'],
  ['event_timestamp null', { events: { [session]: { event_timestamp: null } } }, 'invalid_request'],
  ['event_timestamp 0', { events: { [session]: { event_timestamp: 0 } } }, 'invalid_request'],
  ['no sub_id', { sub_id: undefined }, 'invalid_request'],
  ['sub_id as text', { sub_id: 'jane' }, 'invalid_request'],
] as const) {
  test(`RFC 8417 §2.2, RFC 8935 §2.4: a SET with ${title} is refused as ${err}`, async (t) => {
    t.is(await outcome(claims), err)
  })
}

test('RFC 8417 §2.2: aud may be an array, and eight events are taken, nine are not', async (t) => {
  t.true(Array.isArray(await outcome({ aud: ['https://a.example', audience] })))
  const events = (count: number) =>
    Object.fromEntries(Array.from({ length: count }, (_, i) => [`urn:example:${i}`, {}]))
  t.deepEqual(await outcome({ events: events(8) }), [])
  t.is(await outcome({ events: events(9) }), 'invalid_request')
})

for (const type of ['JWT', 'at+jwt', 'statuslist+jwt', 'secevent', undefined]) {
  test(`SSF 1.0, SET profile: a JWT of type ${type} is no SET`, async (t) => {
    const text = await sign({}, { typ: type })
    t.like(await readSecurityEvent(text, stream, now), { err: 'invalid_request' })
  })
}

test('RFC 8935 §2.4: a bad signature and a refused algorithm have their codes, and say nothing of the SET', async (t) => {
  const text = await sign()
  const dot = text.lastIndexOf('.')
  const none = Buffer.from('{"alg":"none","typ":"secevent+jwt"}').toString('base64url')
  const unsigned = `${none}.${text.split('.')[1]}.`
  const description = 'the signature is not valid'
  const failed = { err: 'authentication_failed', description } as const
  const flipped = `${text.slice(0, dot + 1)}${text[dot + 1] === 'A' ? 'B' : 'A'}${text.slice(dot + 2)}`
  for (const bad of [flipped, await sign({}, {}, stranger)])
    t.deepEqual(await readSecurityEvent(bad, stream, now), failed)
  t.like(await readSecurityEvent(unsigned, stream, now), { err: 'invalid_key' })
  for (const bad of ['', 'a.b.c', `${text}=`, `${text} `, text.slice(0, dot), 'x'.repeat(65_537)])
    t.like(await readSecurityEvent(bad, stream, now), { err: 'invalid_request' })
})

test('a SET under a key that is not known yet, or while there are none, is to be sent again', async (t) => {
  t.is(await readSecurityEvent(await sign({}, {}, unknown), stream, now), 'unavailable')
  const none = { find: () => 'unavailable' as const, isCurrent: () => false }
  t.is(await outcome({}, { keys: none }), 'unavailable')
})

test('a key that is withdrawn while it verifies signs nothing', async (t) => {
  const withdrawn = { find: keys.find, isCurrent: () => false }
  t.is(await outcome({}, { keys: withdrawn }), 'unavailable')
})

const mine = { issuer: idp, before: happened + 1 }
for (const [title, sub_id, expected] of [
  ['iss_sub', jane, [{ ...mine, subject: 'jane' }]],
  ['jwt_id', { format: 'jwt_id', iss: idp, jti: 'token-1' }, [{ issuer: idp, jti: 'token-1' }]],
  [
    'a SPIFFE ID as uri',
    { format: 'uri', uri: 'spiffe://m.example/a' },
    [{ ...mine, subject: 'spiffe://m.example/a' }],
  ],
  [
    'opaque',
    { format: 'opaque', id: 'x' },
    [
      { ...mine, session: 'x' },
      { ...mine, subject: 'x' },
    ],
  ],
  [
    'aliases',
    { format: 'aliases', identifiers: [jane, { format: 'email', email: 'jane@example.com' }] },
    [{ ...mine, subject: 'jane' }],
  ],
  ['a user', { format: 'complex', user: jane }, [{ ...mine, subject: 'jane' }]],
  [
    'an opaque user',
    { format: 'complex', user: { format: 'opaque', id: 'u' } },
    [{ ...mine, subject: 'u' }],
  ],
  [
    'a session',
    { format: 'complex', session: { format: 'opaque', id: 's' } },
    [{ ...mine, session: 's' }],
  ],
  [
    'a session with its issuer',
    { format: 'complex', session: { format: 'iss_sub', iss: idp, sub: 's' } },
    [{ ...mine, session: 's' }],
  ],
  [
    'a user and a session, each of them',
    { format: 'complex', user: jane, session: { format: 'opaque', id: 's' } },
    [
      { ...mine, subject: 'jane' },
      { ...mine, session: 's' },
    ],
  ],
  [
    'a user on one device of a tenant: more than was meant, not less',
    {
      format: 'complex',
      user: jane,
      device: { format: 'opaque', id: 'd' },
      tenant: { format: 'opaque', id: 't' },
    },
    [{ ...mine, subject: 'jane' }],
  ],
  [
    'a user of an application: not everybody’s tokens of that application',
    { format: 'complex', user: jane, application: { format: 'opaque', id: 'app' } },
    [{ ...mine, subject: 'jane' }],
  ],
  [
    'an application',
    { format: 'complex', application: { format: 'uri', uri: 'spiffe://m.example/a' } },
    [{ ...mine, subject: 'spiffe://m.example/a' }],
  ],
] as const) {
  test(`RFC 9493 §3, SSF 1.0: ${title} is revoked`, async (t) => {
    t.deepEqual(await outcome({ sub_id }), expected)
  })
}

for (const [title, sub_id] of [
  ['an email address', { format: 'email', email: 'jane@example.com' }],
  ['a phone number', { format: 'phone_number', phone_number: '+4912345' }],
  ['an unknown format', { format: 'urn:example', id: 'x' }],
  ['a device alone', { format: 'complex', device: { format: 'opaque', id: 'd' } }],
  ['nothing complex', { format: 'complex' }],
  ['no format', { iss: idp, sub: 'jane' }],
  ['a format that is a number', { format: 1, iss: idp, sub: 'jane' }],
  ['iss_sub without sub', { format: 'iss_sub', iss: idp }],
  ['iss_sub without iss', { format: 'iss_sub', sub: 'jane' }],
  ['iss_sub with iss null', { format: 'iss_sub', iss: null, sub: 'jane' }],
  ['iss_sub with an empty sub', { format: 'iss_sub', iss: idp, sub: '' }],
  ['jwt_id without iss', { format: 'jwt_id', jti: 'a' }],
  ['jwt_id without jti', { format: 'jwt_id', iss: idp }],
  ['opaque without id', { format: 'opaque' }],
  ['opaque with a number', { format: 'opaque', id: 7 }],
  ['opaque with an id of 2049', { format: 'opaque', id: 'x'.repeat(2049) }],
  [
    'aliases in aliases',
    { format: 'aliases', identifiers: [{ format: 'aliases', identifiers: [jane] }] },
  ],
  ['no aliases', { format: 'aliases', identifiers: [] }],
  ['nine aliases', { format: 'aliases', identifiers: Array(9).fill(jane) }],
  ['a complex alias', { format: 'aliases', identifiers: [{ format: 'complex', user: jane }] }],
  ['a user that is text', { format: 'complex', user: 'jane' }],
  ['a complex user', { format: 'complex', user: { format: 'complex', user: jane } }],
  [
    'a good user and a broken session',
    { format: 'complex', user: jane, session: { format: 'opaque' } },
  ],
] as const) {
  test(`RFC 8935 §2.4: with ${title} nothing could be revoked, so it is not acknowledged`, async (t) => {
    t.is(await outcome({ sub_id }), 'invalid_request')
  })
}

test('a transmitter revokes tokens of its own issuers alone (RFC 8935 §2.4, access_denied)', async (t) => {
  const foreign = { format: 'iss_sub', iss: 'https://other.example', sub: 'jane' }
  t.is(await outcome({ sub_id: foreign }), 'access_denied')
  t.is(await outcome({ sub_id: { ...foreign, format: 'jwt_id', jti: 'a' } }), 'access_denied')
  t.is(await outcome({ sub_id: { format: 'complex', user: foreign } }), 'access_denied')
  t.is(await outcome({ sub_id: { ...jane, iss: idp.slice(0, -1) } }), 'access_denied')
  t.is(await outcome({}, { tokenIssuers: new Set() }), 'access_denied')
  const aliases = { format: 'aliases', identifiers: [foreign, jane] }
  t.deepEqual(await outcome({ sub_id: aliases }), [{ ...mine, subject: 'jane' }])
})

test('a subject that names no issuer is revoked for each issuer of the stream', async (t) => {
  const tokenIssuers = new Set(['https://a.example', 'https://b.example'])
  const sub_id = { format: 'uri', uri: 'spiffe://m.example/a' }
  t.deepEqual(
    await outcome({ sub_id }, { tokenIssuers }),
    [...tokenIssuers].map((issuer) => ({ ...mine, issuer, subject: 'spiffe://m.example/a' })),
  )
})

for (const [type, event, revokes] of [
  ['session-revoked', {}, true],
  ['token-claims-change', { claims: { role: 'ro-admin' } }, true],
  ['credential-change', { change_type: 'revoke', credential_type: 'x509' }, true],
  ['credential-change', { change_type: 'delete', credential_type: 'fido2-roaming' }, true],
  ['credential-change', { change_type: 'update', credential_type: 'password' }, true],
  ['credential-change', { change_type: 'update' }, true],
  ['credential-change', { change_type: 'update', credential_type: 'x509' }, false],
  ['credential-change', { change_type: 'create', credential_type: 'password' }, false],
  ['assurance-level-change', {}, false],
  ['device-compliance-change', {}, false],
  ['session-established', {}, false],
  ['never-heard-of', {}, false],
  ['session-revoked/', {}, false],
] as const) {
  const title = `${type} ${JSON.stringify(event)}`
  test(`CAEP 1.0 §3: ${title} ${revokes ? 'revokes' : 'is acknowledged and does nothing'}`, async (t) => {
    const events = { [`${caep}${type}`]: event }
    const expected = revokes ? [{ issuer: idp, subject: 'jane', before: now + 1 }] : []
    t.deepEqual(await outcome({ events }), expected)
  })
}

test('CAEP 1.0 §3.3: a credential-change without a known change_type is refused', async (t) => {
  for (const change_type of [undefined, 'REVOKE', 'replace', null, 1])
    t.is(
      await outcome({ events: { [`${caep}credential-change`]: { change_type } } }),
      'invalid_request',
    )
})

test('RFC 8417 §2.2: several events of one SET are all heeded, and one that is broken refuses it', async (t) => {
  const changed = `${caep}token-claims-change`
  t.deepEqual(
    await outcome({ events: { [session]: { event_timestamp: 7 }, 'urn:x': {}, [changed]: {} } }),
    [
      { issuer: idp, subject: 'jane', before: 8 },
      { issuer: idp, subject: 'jane', before: now + 1 },
    ],
  )
  const broken = { [session]: {}, [`${caep}credential-change`]: {} }
  t.is(await outcome({ events: broken }), 'invalid_request')
})

test('SSF 1.0 §8.1.4: a verification event is told apart and revokes nothing', async (t) => {
  const type = 'https://schemas.openid.net/secevent/ssf/event-type/verification'
  const sub_id = { format: 'opaque', id: 'stream-1' }
  const of = (event: object) => read({ sub_id, events: { [type]: event } })
  const expected = { id: 'set-1', issuedAt: now, revocations: [] }
  t.deepEqual(await of({ state: 'abc' }), { ...expected, verification: { state: 'abc' } })
  t.deepEqual(await of({}), { ...expected, verification: { state: undefined } })
})
