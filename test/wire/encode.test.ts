import test from 'ava'
import {
  type Allow,
  bearerOnly,
  type Deny,
  denyOutright,
  type Grounds,
} from '../../src/decision/decision.ts'
import { type Reason, reasons } from '../../src/decision/reasons.ts'
import { encodeCheckResponse } from '../../src/wire/encode.ts'
import { decodeCheckResponse } from '../support/check-request.ts'
import { headerOf } from '../support/world.ts'

const names = Object.keys(reasons) as Reason[]

const allow: Allow = {
  verdict: 'allow',
  grounds: {} as Grounds,
  setHeaders: [['x-meshbind-presenter', 'spiffe://mesh.example/ns/shop/sa/orders']],
  removeHeaders: ['authorization', 'x-meshbind-forged'],
  mode: 'enforce',
  enforced: true,
  policyRevision: 'abc',
  findings: { route: 'payments', method: 'x5t#S256' },
  responseHeaders: [],
  withheld: undefined,
}

for (const reason of names) {
  test(`contract §4: ${reason} is a denied_response with its own status, and never code 0`, (t) => {
    const deny: Deny = {
      ...denyOutright(reason),
      challenge: { realm: 'shop', ...bearerOnly, scopes: ['a', 'b'] },
    }
    const response = decodeCheckResponse(encodeCheckResponse(deny, 'id-1'))
    const { http, grpc, challenge, title } = reasons[reason]
    t.is(response.status?.code, grpc)
    t.not(response.status?.code, 0)
    t.is(response.http_response, 'denied_response')
    t.is(headerOf(response, 'content-type'), 'application/problem+json')
    t.is(headerOf(response, 'cache-control'), 'no-store')
    t.is(headerOf(response, 'x-meshbind-decision-id'), 'id-1')
    t.is(headerOf(response, 'www-authenticate') === '', challenge === 'none')
    t.deepEqual(JSON.parse(response.denied_response?.body ?? ''), {
      type: 'about:blank',
      title,
      status: http,
      code: reason,
      decision_id: 'id-1',
    })
  })
}

test('contract §4: an allow is code 0 with ok_response, its headers set and removed', (t) => {
  const response = decodeCheckResponse(encodeCheckResponse(allow, 'id-2'))
  t.is(response.status?.code, 0)
  t.is(response.http_response, 'ok_response')
  t.is(headerOf(response, 'x-meshbind-presenter'), 'spiffe://mesh.example/ns/shop/sa/orders')
  t.deepEqual(response.ok_response?.headers_to_remove, ['authorization', 'x-meshbind-forged'])
})

const nonce = [['dpop-nonce', 'eyJ7S_zG']] as const

test('RFC 9449 §8.2: DPoP-Nonce on an allow goes to the client, in place of the upstream’s', (t) => {
  const response = decodeCheckResponse(
    encodeCheckResponse({ ...allow, responseHeaders: nonce }, 'id-4'),
  )
  t.is(response.status?.code, 0)
  const added = response.ok_response?.response_headers_to_add ?? []
  t.like(added, [
    {
      header: { key: 'dpop-nonce', value: 'eyJ7S_zG' },
      append_action: 'OVERWRITE_IF_EXISTS_OR_ADD',
    },
  ])
  t.is(added.length, 1)
  t.is(headerOf(response, 'dpop-nonce'), '', 'not to the upstream')
  t.is(headerOf(response, 'x-meshbind-presenter'), 'spiffe://mesh.example/ns/shop/sa/orders')
  t.deepEqual(response.ok_response?.headers_to_remove, ['authorization', 'x-meshbind-forged'])
})

test('RFC 9449 §9: DPoP-Nonce on a deny stands among the headers of the answer, once', (t) => {
  const deny: Deny = {
    ...denyOutright('proof_nonce_required'),
    challenge: { realm: 'shop', ...bearerOnly, schemes: ['DPoP'], used: 'DPoP' },
    responseHeaders: nonce,
  }
  const response = decodeCheckResponse(encodeCheckResponse(deny, 'id-5'))
  t.is(headerOf(response, 'dpop-nonce'), 'eyJ7S_zG')
  t.regex(headerOf(response, 'www-authenticate'), /^DPoP .*error="use_dpop_nonce"/)
  const keys = response.denied_response?.headers.map(({ header }) => header.key) ?? []
  t.is(keys.filter((key) => key === 'dpop-nonce').length, 1)
  t.is(new Set(keys).size, keys.length)
  t.is(response.ok_response ?? null, null)
})

test('contract §4: an answer without response headers adds none', (t) => {
  const response = decodeCheckResponse(encodeCheckResponse(allow, 'id-6'))
  t.deepEqual(response.ok_response?.response_headers_to_add, [])
  const denied = decodeCheckResponse(encodeCheckResponse(denyOutright('proof_missing'), 'id-7'))
  t.is(headerOf(denied, 'dpop-nonce'), '')
})

test('contract §4: every answer carries its metadata for the access log', (t) => {
  const fields =
    decodeCheckResponse(encodeCheckResponse(allow, 'id-3')).dynamic_metadata?.fields ?? {}
  t.deepEqual(Object.keys(fields), [
    'decision_id',
    'decision',
    'enforced',
    'mode',
    'reason',
    'route',
    'policy_revision',
    'presenter',
    'peer',
    'forwards',
    'method',
  ])
  t.like(fields['decision_id'], { stringValue: 'id-3' })
  t.like(fields['enforced'], { boolValue: true })
  t.like(fields['method'], { stringValue: 'x5t#S256' })
})

test('answers do not depend on those before them, long and non-ASCII texts included', (t) => {
  const first = encodeCheckResponse(allow, 'same')
  const long = {
    ...allow,
    removeHeaders: Array.from({ length: 32 }, (_, i) => `x-meshbind-${i}-${'ü'.repeat(50)}`),
  }
  t.is(
    decodeCheckResponse(encodeCheckResponse(long, 'x')).ok_response?.headers_to_remove[31],
    long.removeHeaders[31],
  )
  t.throws(() => encodeCheckResponse({ ...allow, removeHeaders: ['x'.repeat(70_000)] }, 'x'), {
    instanceOf: RangeError,
  })
  t.deepEqual(encodeCheckResponse(allow, 'same'), first)
})
