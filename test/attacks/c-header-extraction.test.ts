/** Attack group C, 48-60: which header is the credential, and that there is only one. */

import test, { type ExecutionContext } from 'ava'
import fc from 'fast-check'
import { encodeCheckRequest } from '../support/check-request.ts'
import { createWorld, ordersId, thiefId, type Verdict } from '../support/world.ts'

const world = await createWorld()
const good = await world.token()
const bad = await world.token({ sub: thiefId, cnf: { 'x5t#S256': world.thief.x5tS256 } })

const bareChallenge = 'Bearer realm="shop"'

function check(t: ExecutionContext, verdict: Verdict, reason: string, note = ''): void {
  t.is(verdict.allowed, reason === '', note)
  t.is(verdict.reason, reason, note)
  const told = JSON.stringify(verdict.response) + verdict.line
  const secrets = [good, bad, ...good.split('.'), ...bad.split('.')]
  t.false(
    secrets.some((text) => told.includes(text)),
    'the answer and the log never echo a token',
  )
}

/** One `authorization` in the headers map. */
const askWith = (authorization: string) => world.ask({ headers: { authorization } })

test('control: the token is allowed in both maps, the other one is not (RFC 6750 §2.1)', async (t) => {
  check(t, await askWith(`Bearer ${good}`), '')
  check(t, await world.ask({ rawHeaders: [['authorization', `Bearer ${good}`]] }), '')
  check(t, await askWith(`Bearer ${bad}`), 'binding_mismatch')
})

test('C48: no Authorization is answered with a bare challenge (RFC 6750 §3.1)', async (t) => {
  for (const verdict of [await world.ask(), await world.ask({ rawHeaders: [] })]) {
    check(t, verdict, 'credential_missing')
    t.is(verdict.http, 401)
    t.is(verdict.challenge, bareChallenge)
  }
})

for (const scheme of ['bearer', 'BEARER', 'Bearer', 'bEARER']) {
  test(`C49: the scheme ${scheme} is Bearer (RFC 9110 §11.1)`, async (t) => {
    check(t, await world.ask({ token: good, scheme }), '')
    check(t, await world.ask({ token: bad, scheme }), 'binding_mismatch')
  })
}

test('C50: spaces after the scheme are one separator (RFC 9110 §11.4)', async (t) => {
  check(t, await askWith(`Bearer  ${good}`), '')
  check(t, await askWith(`Bearer      ${good}`), '')
})

for (const [title, value] of Object.entries({
  'a tab for the space': `Bearer\t${good}`,
  'a space and a tab': `Bearer \t${good}`,
  'a space in front': ` Bearer ${good}`,
  'a space behind': `Bearer ${good} `,
  'a newline behind': `Bearer ${good}\n`,
  'a no-break space': `Bearer\u00a0${good}`,
  'a colon': `Bearer:${good}`,
  'an equals sign': `Bearer=${good}`,
  quotes: `Bearer "${good}"`,
  'a parameter': `Bearer token=${good}`,
  'a second token': `Bearer ${good} ${good}`,
  'the scheme twice': `Bearer Bearer ${good}`,
  'a NUL behind': `Bearer ${good}\0`,
})) {
  test(`C50: ${title} makes the credential malformed (RFC 6750 §2.1)`, async (t) => {
    const verdict = await askWith(value)
    check(t, verdict, 'credential_malformed')
    t.is(verdict.http, 400)
    t.true(verdict.challenge.includes('error="invalid_request"'))
  })
}

for (const value of ['Bearer', 'Bearer ', 'bearer   ', 'DPoP', 'DPoP ', '']) {
  test(`C51: "${value}" without a token is malformed (RFC 6750 §3.1)`, async (t) => {
    check(t, await askWith(value), 'credential_malformed')
  })
}

for (const [first, second] of [
  [good, bad],
  [bad, good],
  [good, good],
  [good, ''],
  ['', good],
] as const) {
  const names = [first, second].map((token) =>
    new Map([
      [good, 'good'],
      [bad, 'bad'],
    ]).get(token),
  )
  test(`C52: ${names.map((name) => name ?? 'empty')} as two headers is refused (RFC 6750 §2)`, async (t) => {
    const [one, two] = [first, second].map((token) => (token === '' ? '' : `Bearer ${token}`))
    const pairs = [one, two].map((value) => ['authorization', value ?? ''] as const)
    for (const verdict of [
      await askWith(`${one},${two}`),
      await world.ask({ rawHeaders: [['authorization', `${one},${two}`]] }),
      await world.ask({ rawHeaders: pairs }),
    ]) {
      check(t, verdict, 'credential_ambiguous')
      t.is(verdict.http, 400)
    }
  })
}

for (const value of [
  `Bearer ${good}, Bearer ${bad}`,
  `Bearer ${bad}, Bearer ${good}`,
  `Basic dTpw, Bearer ${good}`,
  `Bearer ${good}, Basic dTpw`,
  `Bearer ${good},`,
  `,Bearer ${good}`,
]) {
  const title = value.replaceAll(good, 'good').replaceAll(bad, 'bad')
  test(`C53: "${title}" in one header is refused (RFC 9110 §5.3)`, async (t) => {
    check(t, await askWith(value), 'credential_ambiguous')
  })
}

test('C54: a token in query, cookie or another header is not looked at (RFC 6750 §2)', async (t) => {
  const query = await world.ask({ path: `/v1/payments?access_token=${good}` })
  check(t, query, 'credential_missing')
  t.is(query.challenge, bareChallenge)
  for (const name of ['cookie', 'x-access-token', 'proxy-authorization', 'x-authorization']) {
    const headers = { [name]: name === 'cookie' ? `access_token=${good}` : `Bearer ${good}` }
    check(t, await world.ask({ headers }), 'credential_missing', name)
  }
})

for (const value of [
  'Basic dXNlcjpwYXNz',
  'Negotiate',
  'Negotiate YIIabc==',
  'Bearerx abc',
  'Bearer2 abc',
  'XBearer abc',
  'Token abc',
]) {
  test(`C55: "${value}" is another scheme, so no token was sent (RFC 6750 §3.1)`, async (t) => {
    const verdict = await askWith(value)
    check(t, verdict, 'credential_missing')
    t.is(verdict.challenge, bareChallenge)
  })
}

for (const name of [
  'authorization_',
  'Authorization_',
  'authorizatio',
  'authorization ',
  'x-authorization',
  'authorizatıon',
]) {
  test(`C56: the header "${name}" is not Authorization (RFC 9110 §5.1)`, async (t) => {
    check(t, await world.ask({ headers: { [name]: `Bearer ${good}` } }), 'credential_missing')
    check(t, await world.ask({ token: good, headers: { [name]: `Bearer ${bad}` } }), '')
    check(
      t,
      await world.ask({ token: bad, headers: { [name]: `Bearer ${good}` } }),
      'binding_mismatch',
    )
  })
}

test('C55: a token without a scheme reads as the name of an unknown one (RFC 9110 §11.4)', async (t) => {
  check(t, await askWith(good), 'credential_missing')
})

test('C56: x_forwarded_client_cert names no presenter (RFC 9110 §5.1)', async (t) => {
  for (const name of ['x_forwarded_client_cert', 'x-forwarded-client-cert', 'client-cert']) {
    const headers = { [name]: `Hash=00;URI=${ordersId}` }
    check(t, await world.ask({ token: good, as: world.thief, headers }), 'binding_mismatch')
    check(t, await world.ask({ token: good, as: null, headers }), 'presenter_missing')
  }
})

test('C57: Connection takes no header out of the judgement (RFC 9110 §7.6.1)', async (t) => {
  for (const connection of ['authorization', 'dpop, authorization', 'x-meshbind-presenter']) {
    const headers = { connection }
    check(t, await world.ask({ token: good, headers }), '', connection)
    check(t, await world.ask({ token: bad, headers }), 'binding_mismatch', connection)
    check(t, await world.ask({ headers }), 'credential_missing', connection)
  }
})

test('C58: header names compare without case, and a twin is a second header (RFC 9110 §5.1)', async (t) => {
  const twins = (first: string, second: string) =>
    world.ask({ headers: { Authorization: `Bearer ${first}`, authorization: `Bearer ${second}` } })
  check(t, await world.ask({ headers: { AUTHORIZATION: `Bearer ${good}` } }), '')
  check(t, await world.ask({ headers: { AUTHORIZATION: `Bearer ${bad}` } }), 'binding_mismatch')
  check(t, await twins(good, bad), 'credential_ambiguous')
  check(t, await twins(bad, good), 'credential_ambiguous')
  check(t, await twins(good, good), 'credential_ambiguous')
})

/** Two serialised messages one after the other are one with the fields of both: both maps are filled. */
function askBoth(inMap: string, inRaw: string): Promise<Verdict> {
  const peer = { certificate: world.orders.envoyText, principal: ordersId }
  const map = encodeCheckRequest({ ...peer, headers: { authorization: `Bearer ${inMap}` } })
  const raw = encodeCheckRequest({ ...peer, rawHeaders: [['authorization', `Bearer ${inRaw}`]] })
  return world.askBytes(Buffer.concat([map, raw]))
}

test('C59: headers and header_map that contradict each other are refused (RFC 6750 §2)', async (t) => {
  check(t, await askBoth(good, good), '')
  check(t, await askBoth(bad, bad), 'binding_mismatch')
  check(t, await askBoth(good, bad), 'credential_ambiguous')
  check(t, await askBoth(bad, good), 'credential_ambiguous')
})

test('C60: a byte that is no UTF-8 spoils the credential and nothing else (RFC 9110 §5.5)', async (t) => {
  const credential = Buffer.concat([Buffer.from(`Bearer ${good}`), Buffer.from([0xff])])
  const sound = ['authorization', `Bearer ${good}`] as const
  check(t, await world.ask({ rawHeaders: [['authorization', credential]] }), 'credential_malformed')
  const junk = Buffer.from([0xff, 0xc0, 0x80, 0x00])
  for (const name of ['user-agent', 'x-tenant', 'traceparent', 'cookie', 'aaaaaaaaaaaaa']) {
    check(t, await world.ask({ rawHeaders: [sound, [name, junk]] }), '', name)
    check(t, await world.ask({ rawHeaders: [[name, junk]] }), 'credential_missing', name)
  }
})

/** The question with each `~~~` in it replaced by bytes that are no UTF-8. */
function askSpoiled(headers: { readonly [name: string]: string }): Promise<Verdict> {
  const peer = { certificate: world.orders.envoyText, principal: ordersId }
  const bytes = encodeCheckRequest({ ...peer, headers })
  for (let at = bytes.indexOf('~~~'); at !== -1; at = bytes.indexOf('~~~'))
    bytes.fill(0xff, at, at + 3)
  return world.askBytes(bytes)
}

test('C60: the same in the headers map, and in a name (RFC 9110 §5.1, §5.5)', async (t) => {
  const authorization = `Bearer ${good}`
  check(t, await askSpoiled({ authorization: `${authorization}~~~` }), 'credential_malformed')
  check(t, await askSpoiled({ authorization: '~~~' }), 'credential_malformed')
  check(t, await askSpoiled({ 'authorizat~~~': authorization }), 'credential_missing')
  check(t, await askSpoiled({ authorization, 'user-agent': 'a~~~b', 'x-~~~': 'c' }), '')
})

test('C60: no Authorization of any bytes throws or allows (RFC 6750 §2.1)', async (t) => {
  const bytes = fc.uint8Array({ maxLength: 64 }).map((array) => Buffer.from(array))
  const values = fc.oneof(
    bytes,
    bytes.map((tail) => Buffer.concat([Buffer.from('Bearer '), tail])),
    bytes.map((tail) => Buffer.concat([Buffer.from(`Bearer ${good}`), Buffer.from('!'), tail])),
  )
  const refusals = ['credential_missing', 'credential_malformed', 'credential_ambiguous']
  await t.notThrowsAsync(
    fc.assert(
      fc.asyncProperty(values, async (value) => {
        const verdict = await world.ask({ rawHeaders: [['authorization', value]] })
        const expected = [...refusals, 'token_malformed', 'scheme_mismatch']
        return !verdict.allowed && expected.includes(verdict.reason)
      }),
    ),
  )
})
