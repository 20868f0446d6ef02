import test from 'ava'
import { denyOutright, isRefusal } from '../../src/decision/decision.ts'
import type { Reason } from '../../src/decision/reasons.ts'
import {
  createEvidenceSeen,
  type EvidenceSummary,
  evidenceRefusals,
  readNeeds,
} from '../../src/observe/evidence-seen.ts'
import { decodeCheckRequest } from '../../src/wire/decode.ts'
import { type CheckRequestParts, encodeCheckRequest } from '../support/check-request.ts'
import { createAuthority } from '../support/pki.ts'
import { basePolicy, createWorld, ordersId } from '../support/world.ts'
import { xfccElement } from '../support/xfcc.ts'

const leaf = await (await createAuthority()).issue({ spiffeId: ordersId })
const since = 1_700_000_000_000

/** What is counted after these questions, each a second after the one before. */
function countAll(
  questions: readonly CheckRequestParts[],
  reason: Reason = 'not_ready',
): EvidenceSummary {
  const seen = createEvidenceSeen(since)
  for (const [i, parts] of questions.entries()) {
    const request = decodeCheckRequest(encodeCheckRequest(parts))
    if (isRefusal(request)) throw new Error(request.detail)
    seen.observe({ request, decision: denyOutright(reason), time: since + 1000 * (i + 1) })
  }
  return seen.summary()
}

/** The members that are not zero, so that a test names everything that a check changed. */
function counted(counts: { readonly [name: string]: number | { readonly count: number } }): object {
  return Object.fromEntries(
    Object.entries(counts)
      .map(([name, value]) => [name, typeof value === 'number' ? value : value.count] as const)
      .filter(([, count]) => count !== 0),
  )
}

test('contract §1: each kind of evidence has its count and the time of its first and last check', (t) => {
  const { checks, kinds } = countAll([
    { principal: ordersId, certificate: leaf.envoyText },
    {},
    { principal: ordersId, headers: { 'x-forwarded-client-cert': xfccElement(leaf) } },
    { principal: ordersId, certificate: leaf.envoyText },
  ])
  t.is(checks, 4)
  t.deepEqual(kinds, {
    certificate: { count: 2, firstAt: since + 1000, lastAt: since + 4000 },
    xfcc: { count: 1, firstAt: since + 3000, lastAt: since + 3000 },
    principal: { count: 3, firstAt: since + 1000, lastAt: since + 4000 },
    none: { count: 1, firstAt: since + 2000, lastAt: since + 2000 },
  })
})

test('before the first check everything is zero, and a question that could not be read is none', (t) => {
  const seen = createEvidenceSeen(since)
  seen.observe({ request: undefined, decision: denyOutright('request_malformed'), time: since })
  const { checks, kinds, signs, refusals } = seen.summary()
  t.is(checks, 0)
  t.deepEqual([counted(kinds), counted(signs), counted(refusals)], [{}, {}, {}])
  t.is(kinds.none.firstAt, null)
})

test('a summary is a copy: later checks do not change it', (t) => {
  const seen = createEvidenceSeen(since)
  const before = seen.summary()
  const request = decodeCheckRequest(encodeCheckRequest({ token: 'x' }))
  if (isRefusal(request)) throw new Error(request.detail)
  seen.observe({ request, decision: denyOutright('credential_missing'), time: since })
  t.deepEqual(
    [before.kinds.none.count, before.signs.authorization, before.refusals.credential_missing],
    [0, 0, 0],
  )
})

const json = JSON.stringify([{ by: ['spiffe://a/b'], hash: 'c', cert: 'd', uri: [ordersId] }])
const signs: readonly (readonly [title: string, parts: CheckRequestParts, signs: object])[] = [
  ['plaintext has no destination', { destination: '' }, {}],
  ['TLS without a client certificate has one', {}, { destination: 1 }],
  [
    'no certificate beside the principal',
    { principal: ordersId },
    { destination: 1, principalWithoutCertificate: 1, principalAlone: 1 },
  ],
  [
    'XFCC in place of the certificate',
    { principal: ordersId, headers: { 'x-forwarded-client-cert': xfccElement(leaf) } },
    { destination: 1, principalWithoutCertificate: 1 },
  ],
  [
    'XFCC that has the certificate',
    {
      principal: ordersId,
      headers: { 'x-forwarded-client-cert': xfccElement(leaf, { cert: true }) },
    },
    { destination: 1, principalWithoutCertificate: 1, xfccWithCertificate: 1 },
  ],
  [
    'XFCC in JSON that has the certificate',
    { principal: ordersId, headers: { 'x-forwarded-client-cert': json } },
    { destination: 1, principalWithoutCertificate: 1, xfccWithCertificate: 1 },
  ],
  [
    'XFCC of an Envoy without uri: true',
    {
      principal: ordersId,
      certificate: leaf.envoyText,
      headers: { 'x-forwarded-client-cert': 'By=spiffe://a/b;Hash=c' },
    },
    { destination: 1, xfccWithoutUri: 1 },
  ],
  [
    'XFCC on plaintext',
    { destination: '', headers: { 'x-forwarded-client-cert': xfccElement(leaf) } },
    { xfccWithoutPrincipal: 1 },
  ],
  [
    'a subject as the principal',
    { principal: 'CN=orders', certificate: leaf.envoyText },
    { destination: 1, principalNotSpiffe: 1 },
  ],
  ['a token', { token: 'x' }, { destination: 1, authorization: 1 }],
  ['a proof', { headers: { dpop: 'x' } }, { destination: 1, dpop: 1 }],
]
for (const [title, parts, expected] of signs) {
  test(`docs/hops.md: ${title} is counted as ${Object.keys(expected).join(', ') || 'nothing'}`, (t) => {
    t.deepEqual(counted(countAll([parts]).signs), expected)
  })
}

test('refusals that a setting may be behind are counted by reason, others are not', (t) => {
  for (const reason of evidenceRefusals)
    t.deepEqual(counted(countAll([{}, {}], reason).refusals), { [reason]: 2 })
  t.deepEqual(counted(countAll([{}], 'token_expired').refusals), {})
})

async function needsOf(replace: (text: string) => string, trust?: object): Promise<object> {
  const { policy } = await createWorld({ policy: replace(basePolicy) })
  const { evidence, presenter, certificate, forwarders } = readNeeds({
    ...policy,
    peer: { ...policy.peer, trust },
  })
  return { evidence, presenter, certificate, forwarders }
}

const withoutJwk = (text: string) => text.replaceAll(/, ?jwk/g, '')
const withGrace = (text: string) => text.replace('maxAge: 2m', 'rotation: { grace: 10m }')

test('policy.md, Bindings: jwk, a rotation grace and trust bundles need the certificate, a thumbprint does not', async (t) => {
  const needs = { evidence: ['certificate', 'principal'], presenter: true, forwarders: [] }
  t.deepEqual(await needsOf(withoutJwk), { ...needs, certificate: false })
  t.deepEqual(await needsOf((text) => text), { ...needs, certificate: true })
  t.deepEqual(await needsOf((text) => withGrace(withoutJwk(text))), { ...needs, certificate: true })
  t.deepEqual(await needsOf(withoutJwk, {}), { ...needs, certificate: true })
})

test('policy.md, Who is the presenter: forwarders are named, with the evidence that they need', async (t) => {
  const forwarders = 'xfcc], forwarders: [spiffe://mesh.example/ns/edge/sa/gateway] }'
  t.deepEqual(await needsOf((text) => withoutJwk(text).replace('principal] }', forwarders)), {
    evidence: ['certificate', 'xfcc'],
    presenter: true,
    certificate: false,
    forwarders: ['spiffe://mesh.example/ns/edge/sa/gateway'],
  })
})

test('a policy whose routes are unprotected or disabled needs nothing', (t) => {
  const route = { mode: 'enforce', require: {}, presenterHeader: false }
  const bindings = new Set(['jwk'])
  const require = { bindings, callers: undefined, bindingRules: { rotation: undefined } }
  const policy = {
    name: 'shop',
    revision: '0',
    peer: { evidence: ['certificate'], forwarders: new Map(), trust: undefined },
    routes: [route, { mode: 'disabled', require, presenterHeader: true }],
  }
  const { bindings: needed, presenter, certificate } = readNeeds(policy)
  t.deepEqual([needed, presenter, certificate], [[], false, false])
})
