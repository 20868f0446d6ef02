/** Attack group A, 24, 25 and 27: JSON that two readers could read differently, signed by the issuer itself. */

import { webcrypto } from 'node:crypto'
import test, { type ExecutionContext } from 'ava'
import { parseStrictJson } from '../../src/strict-json.ts'
import { createWorld, type Question, type Verdict } from '../support/world.ts'

const world = await createWorld()

async function refused(
  t: ExecutionContext,
  token: string,
  reason: string,
  question: Question = {},
): Promise<Verdict> {
  const verdict = await world.ask({ token, ...question })
  t.false(verdict.allowed)
  t.is(verdict.reason, reason, verdict.detail)
  const told = JSON.stringify(verdict.response) + verdict.line
  const secrets = [token, ...token.split('.')].filter((text) => text.length > 12)
  t.false(
    secrets.some((text) => told.includes(text)),
    'the answer and the log never echo the token',
  )
  return verdict
}

const soundHeader = '{"alg":"ES256","kid":"key-1","typ":"at+jwt"}'
const soundClaims = (more: object = {}) => ({
  iss: 'https://idp.example',
  aud: 'https://payments.mesh.example',
  sub: 'client',
  iat: world.now(),
  exp: world.now() + 300,
  cnf: { 'x5t#S256': world.orders.x5tS256 },
  ...more,
})

/** Signed by the issuer's own key, whatever the two texts are. */
async function craft(payload: string, header = soundHeader): Promise<string> {
  const input = [header, payload].map((text) => Buffer.from(text).toString('base64url')).join('.')
  const algorithm = { name: 'ECDSA', hash: 'SHA-256' }
  const key = world.issuer.privateKey as webcrypto.CryptoKey
  const signature = await webcrypto.subtle.sign(algorithm, key, Buffer.from(input))
  return `${input}.${Buffer.from(signature).toString('base64url')}`
}

/** The sound claims with more text before the closing brace, or another text in their place. */
const appended = (text: string) => `${JSON.stringify(soundClaims()).slice(0, -1)},${text}}`

test('control: the claims that the attacks below alter are allowed (RFC 7519 §7.2)', async (t) => {
  t.true((await world.ask({ token: await craft(JSON.stringify(soundClaims())) })).allowed)
  t.true((await world.ask({ token: await craft(appended('"extra":1')) })).allowed)
  t.true((await world.ask({ token: await craft(` ${appended('"e":[{}]')}\r\n`) })).allowed)
})

for (const payload of ['[]', '"text"', '1', 'null', 'true', '', ' ', '{', '{}{}', "{'sub':1}"]) {
  test(`A24: the payload ${JSON.stringify(payload)} is no JWT Claims Set (RFC 7519 §7.2)`, async (t) => {
    await refused(t, await craft(payload), 'token_malformed')
    await refused(t, await craft(JSON.stringify(soundClaims()), payload), 'token_malformed')
  })
}

for (const text of [
  '',
  '// comment',
  '/* comment */"a":1',
  '"a":01',
  '"a":+1',
  '"a":NaN',
  '"a":0x10',
  'a:1',
  '"a":undefined',
  '"a":"\\x41"',
]) {
  test(`A24: "${text}" after the claims is no JSON (RFC 8259 §2)`, async (t) => {
    await refused(t, await craft(appended(text)), 'token_malformed')
  })
}

for (const member of [
  '"exp":9999999999',
  '"\\u0065xp":9999999999',
  '"ex\\u0070":9999999999',
  '"sub":"other"',
  '"cnf":{}',
  '"iss":"https://idp.example"',
  '"aud":"https://payments.mesh.example"',
  '"\\u0063nf":null',
  '"extra":1,"extra":1',
  '"extra":{"a":1,"\\u0061":2}',
  '"extra":[{"a":1,"a":2}]',
  '"":1,"":2',
  '"__proto__":1,"__proto__":2',
]) {
  test(`A24: a claims set with a second ${member} is refused (RFC 7519 §4)`, async (t) => {
    await refused(t, await craft(appended(member)), 'token_malformed')
  })
}

for (const member of ['"alg":"none"', '"alg":"ES256"', '"\\u006bid":"key-2"', '"typ":"at+jwt"']) {
  test(`A24: a header with a second ${member} is refused (RFC 7515 §4)`, async (t) => {
    const header = `${soundHeader.slice(0, -1)},${member}}`
    await refused(t, await craft(JSON.stringify(soundClaims()), header), 'token_malformed')
  })
}

test('A24: equal names in different objects are no duplicates (RFC 8259 §4)', async (t) => {
  const token = await craft(appended('"a":{"sub":1,"b":{"sub":2}},"b":[{"sub":1},{"sub":2}]'))
  t.true((await world.ask({ token })).allowed)
})

const nested = (depth: number) => '['.repeat(depth) + ']'.repeat(depth)
const nestedObjects = (depth: number) => `${'{"a":'.repeat(depth)}1${'}'.repeat(depth)}`

test('A25: 16 levels are allowed and 17 are refused (RFC 8259 §9)', async (t) => {
  t.true((await world.ask({ token: await craft(appended(`"a":${nested(15)}`)) })).allowed)
  t.true((await world.ask({ token: await craft(appended(`"a":${nestedObjects(15)}`)) })).allowed)
  await refused(t, await craft(appended(`"a":${nested(16)}`)), 'token_malformed')
  await refused(t, await craft(appended(`"a":${nestedObjects(16)}`)), 'token_malformed')
})

for (const depth of [100, 5_000, 100_000, 1_000_000]) {
  test(`A25: ${depth} levels are refused, and the next token is allowed (RFC 8259 §9)`, async (t) => {
    await refused(t, await craft(appended(`"a":${nested(depth)}`)), 'token_malformed')
    await refused(t, await craft(appended(`"cnf":${nestedObjects(depth)}`)), 'token_malformed')
    const header = `${soundHeader.slice(0, -1)},"a":${nested(depth)}}`
    await refused(t, await craft(JSON.stringify(soundClaims()), header), 'token_malformed')
    t.is(parseStrictJson(Buffer.from(`{"a":${nested(depth)}}`)), undefined)
    t.is(parseStrictJson(Buffer.from(nestedObjects(depth))), undefined)
    t.true((await world.ask({ token: await craft(JSON.stringify(soundClaims())) })).allowed)
  })
}

function notPolluted(t: ExecutionContext): void {
  t.is(Reflect.get({}, 'admin'), undefined)
  t.is(Reflect.get({}, 'cnf'), undefined)
  t.is(Reflect.get({}, 'scope'), undefined)
}

test.serial(
  'A27: a cnf inside __proto__ or constructor binds nothing (RFC 7800 §3.1)',
  async (t) => {
    const cnf = JSON.stringify({ 'x5t#S256': world.orders.x5tS256 })
    const unbound = JSON.stringify(soundClaims({ cnf: undefined })).slice(0, -1)
    t.true((await world.ask({ token: await craft(`${unbound},"cnf":${cnf}}`) })).allowed, 'control')
    for (const member of [
      `"__proto__":{"cnf":${cnf},"admin":true}`,
      `"constructor":{"prototype":{"cnf":${cnf},"admin":true}}`,
      `"prototype":{"cnf":${cnf}}`,
      `"\\u005f_proto__":{"cnf":${cnf}}`,
    ]) {
      await refused(t, await craft(`${unbound},${member}}`), 'binding_missing')
      notPolluted(t)
    }
    for (const name of ['__proto__', 'constructor']) {
      await refused(t, await craft(`${unbound},"cnf":{"${name}":${cnf}}}`), 'binding_unsupported')
      notPolluted(t)
    }
  },
)

test.serial('A27: scope and claims inside __proto__ grant nothing (RFC 6749 §3.3)', async (t) => {
  const path = '/admin'
  const scope = 'admin.write'
  const control = await craft(JSON.stringify(soundClaims({ tenant: 'acme', scope })))
  t.true((await world.ask({ token: control, path })).allowed, 'control')
  const hidden = `"__proto__":{"scope":"${scope}","tenant":"acme","admin":true}`
  const scopeless = `${JSON.stringify(soundClaims({ tenant: 'acme' })).slice(0, -1)},${hidden}}`
  await refused(t, await craft(scopeless), 'scope_insufficient', { path })
  const tenantless = `${JSON.stringify(soundClaims({ scope })).slice(0, -1)},${hidden}}`
  await refused(t, await craft(tenantless), 'claim_refused', { path })
  notPolluted(t)
})

for (const name of ['iss', 'aud', 'sub', 'exp', 'iat']) {
  test.serial(`A27: ${name} inside __proto__ is absent (RFC 7519 §4.1)`, async (t) => {
    const { [name as 'iss']: value, ...others } = soundClaims()
    const hidden = `"__proto__":${JSON.stringify({ [name]: value })}`
    const token = await craft(`${JSON.stringify(others).slice(0, -1)},${hidden}}`)
    await refused(t, token, 'claim_invalid')
    notPolluted(t)
  })
}

test.serial('A27: header members inside __proto__ are absent (RFC 7515 §4.1)', async (t) => {
  const claims = JSON.stringify(soundClaims())
  const hidden = '{"__proto__":{"alg":"ES256","kid":"key-1","typ":"at+jwt"}}'
  await refused(t, await craft(claims, hidden), 'token_malformed')
  const typeless = '{"alg":"ES256","kid":"key-1","typ":"x","__proto__":{"typ":"at+jwt"}}'
  await refused(t, await craft(claims, typeless), 'token_type_refused')
  const extra = `${soundHeader.slice(0, -1)},"__proto__":{"crit":["x"],"admin":true}}`
  t.true((await world.ask({ token: await craft(claims, extra) })).allowed)
  notPolluted(t)
})
