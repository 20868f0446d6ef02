/** What a policy says of evidence, forwarders, bundles, DPoP and rotation: every problem with its place, words and advice. */

import test from 'ava'
import { parsePolicy } from '../../src/policy/parse.ts'
import { edit, placeOf, twoIssuers } from '../support/policy-text.ts'

const gateway = 'spiffe://mesh.example/ns/istio-system/sa/gateway'
const edge = 'spiffe://mesh.example/ns/istio-system/sa/edge'
const rule = '{ issuers: [corp], bindings: [jwk] }'
const domains = 'trustDomains: [mesh.example]\n'

/** `line:column severity message` and the advice of everything that is said. */
function said(text: string): (readonly [string, string])[] {
  const result = parsePolicy(text)
  return (result.ok ? result.warnings : result.problems).map(
    ({ line, column, severity, message, advice }) =>
      [`${line}:${column} ${severity} ${message}`, advice] as const,
  )
}

interface Parts {
  /** Lines of `spec`. */
  readonly spec?: readonly string[]
  readonly trustDomains?: string
  /** In place of the route's `require`. */
  readonly require?: string
}

function policyOf({ spec = [], trustDomains = 'mesh.example', require = rule }: Parts): string {
  const lines = spec.map((line) => `  ${line}\n`).join('')
  const text = edit(twoIssuers, domains, `trustDomains: [${trustDomains}]\n${lines}`)
  return require === rule ? text : edit(text, rule, require)
}

interface Broken extends Parts {
  /** The piece of the text that is pointed at; it is its first place. */
  readonly at: string
  readonly says: string
  readonly advice?: string
  readonly severity?: 'error' | 'warning'
}

interface Rule {
  readonly title: string
  readonly broken: readonly Broken[]
  /** Good neighbours: not a word is said of them. */
  readonly fine: readonly Parts[]
}

const peer = (more: string): Parts => ({ spec: [`peer: { ${more} }`] })
const spiffeRule = '{ issuers: [corp], bindings: [spiffe] }'
const thumbprintRule = '{ issuers: [corp], bindings: ["x5t#S256"] }'
const dpopRule = '{ issuers: [corp], bindings: [dpop] }'
const rotating = (rotation: string, bindings = '"x5t#S256"', issuers = 'corp') =>
  `{ issuers: [${issuers}], bindings: [${bindings}], rotation: ${rotation} }`
const narrowing = (origins: string) =>
  `{ issuers: [corp], bindings: [dpop], dpop: { origins: [${origins}] } }`
const dpop = (more: string) => [`dpop: { ${more} }`]
const one = dpop('origins: [https://a.example]')
const two = dpop('origins: [https://a.example, https://b.example]')

const aForwarder = 'must be a SPIFFE ID with a path: one workload, no pattern'
const anOrigin = 'must be an origin: scheme and authority'
const originAdvice = 'Write https://api.example, or https://api.example:8443, without a path.'
const first = (bindings: string, source: string) =>
  `${bindings} can never be confirmed while \`${source}\` is the first evidence`
const principalAdvice =
  'Put certificate first in spec.peer.evidence, and include_peer_certificate: true in the Envoy filter; or list xfcc first.'
const waypointAdvice =
  'A waypoint shows no certificate: bind to the identity, with `spiffe`, or to a key, with `dpop`.'
const identityAdvice = 'Say where its tokens carry the SPIFFE ID: identity: { claim: sub }.'

const rules: readonly Rule[] = [
  {
    title: 'evidence is listed once',
    broken: [
      {
        ...peer('evidence: [certificate, certificate ]'),
        at: 'certificate ]',
        says: '`certificate` is listed twice',
      },
      {
        ...peer('evidence: [certificate, xfcc, principal, xfcc ]'),
        at: 'xfcc ]',
        says: '`xfcc` is listed twice',
      },
    ],
    fine: [
      peer('evidence: [certificate, xfcc, principal]'),
      peer('evidence: [xfcc, certificate, principal]'),
    ],
  },
  {
    title: '`waypoint` stands alone in the list (Who is the presenter, 1)',
    broken: ['certificate, waypoint', 'waypoint, xfcc', 'certificate, xfcc, waypoint'].map(
      (list) => ({
        ...peer(`evidence: [${list}]`),
        require: spiffeRule,
        at:
          '[certificate, w|[waypoint,|[certificate, x'
            .split('|')
            .find((piece) => `[${list}]`.startsWith(piece)) ?? '',
        says: '`waypoint` stands alone',
        advice:
          'A waypoint’s Envoy names neither certificate nor principal. Serve sidecars and waypoints with policies of their own.',
      }),
    ),
    fine: [{ ...peer('evidence: [waypoint]'), require: spiffeRule }],
  },
  {
    title: 'forwarders need XFCC (peer.forwarders)',
    broken: [
      peer(`forwarders: [${gateway}]`),
      peer(`evidence: [certificate, principal], forwarders: [${gateway}]`),
      { ...peer(`evidence: [waypoint], forwarders: [${gateway}]`), require: spiffeRule },
    ].map((parts) => ({
      ...parts,
      at: 'forwarders',
      says: 'needs `xfcc` in spec.peer.evidence',
      advice: 'A forwarder names the workload that it saw in x-forwarded-client-cert.',
    })),
    fine: [
      peer(`evidence: [xfcc], forwarders: [${gateway}]`),
      peer(`evidence: [certificate, xfcc], forwarders: [${gateway}]`),
    ],
  },
  {
    title: 'maxForwards goes with forwarders (peer.maxForwards)',
    broken: [
      {
        ...peer('evidence: [certificate, xfcc], maxForwards: 2'),
        at: 'maxForwards',
        says: 'goes with `forwarders`',
      },
    ],
    fine: [peer(`evidence: [xfcc], forwarders: [${gateway}], maxForwards: 2`)],
  },
  {
    title: 'a forwarder is one workload of a listed trust domain (peer.forwarders)',
    broken: [
      ...['spiffe://mesh.example', 'spiffe://mesh.example/ns/../gw'].map((id) => ({
        ...peer(`evidence: [xfcc], forwarders: ["${id}"]`),
        at: `"${id}"`,
        says: aForwarder,
      })),
      {
        ...peer(`evidence: [xfcc], forwarders: [${gateway}, "spiffe://mesh.example"]`),
        at: '"spiffe://mesh.example"',
        says: aForwarder,
      },
      {
        ...peer('evidence: [xfcc], forwarders: [{ id: spiffe://mesh.example, presents: true }]'),
        at: '{ id: spiffe',
        says: aForwarder,
      },
      {
        ...peer('evidence: [xfcc], forwarders: [spiffe://evil.example/gw]'),
        at: 'spiffe://evil',
        says: 'is of a trust domain that is not in spec.trustDomains',
      },
    ],
    fine: [
      peer(`evidence: [xfcc], forwarders: [${gateway}, { id: ${edge}, presents: true }]`),
      {
        ...peer('evidence: [xfcc], forwarders: [spiffe://b.example/gw]'),
        trustDomains: 'mesh.example, b.example',
      },
    ],
  },
  {
    title: 'a forwarder is listed once, in one form',
    broken: [
      {
        ...peer(`evidence: [xfcc], forwarders: [${edge}, ${gateway}, "${edge}"]`),
        at: `"${edge}"`,
        says: 'is listed twice',
      },
      {
        ...peer(`evidence: [xfcc], forwarders: [${gateway}, { id: ${gateway}, presents: true }]`),
        at: '{ id: spiffe',
        says: 'is listed twice',
      },
    ],
    fine: [peer(`evidence: [xfcc], forwarders: [${edge}, ${gateway}]`)],
  },
  {
    title: 'bundles need the certificate (peer.trustBundles)',
    broken: [
      {
        ...peer('evidence: [principal], trustBundles: { mesh.example: { file: a.pem } }'),
        require: spiffeRule,
        at: '{ mesh.example:',
        says: 'needs the certificate: list `certificate`, or `xfcc` with `Cert`, in spec.peer.evidence',
      },
      {
        ...peer('evidence: [waypoint], trustBundles: { mesh.example: { file: a.pem } }'),
        require: spiffeRule,
        at: '{ mesh.example:',
        says: 'needs the certificate: list `certificate`, or `xfcc` with `Cert`, in spec.peer.evidence',
      },
    ],
    fine: [
      peer('trustBundles: { mesh.example: { file: a.pem } }'),
      peer('evidence: [xfcc], trustBundles: { mesh.example: { file: a.pem } }'),
      peer('evidence: [certificate, principal], trustBundles: { mesh.example: { file: a.pem } }'),
    ],
  },
  {
    title: 'bundles are of the listed trust domains, one for each (peer.trustBundles)',
    broken: [
      {
        ...peer(
          'trustBundles: { mesh.example: { file: a.pem }, other.example: { file: "b.pem" } }',
        ),
        at: '{ file: "b.pem"',
        says: 'is not in spec.trustDomains, so it is never used',
      },
      {
        ...peer('trustBundles: { mesh.example: { file: a.pem } }'),
        trustDomains: 'mesh.example, b.example',
        at: '{ mesh.example:',
        says: 'has no bundle for `b.example`',
        advice: 'Every trust domain needs one: peers without a bundle could not be verified here.',
      },
      {
        ...peer('trustBundles: { mesh.example: { file: a.pem } }'),
        trustDomains: 'mesh.example, constructor',
        at: '{ mesh.example:',
        says: 'has no bundle for `constructor`',
        advice: 'Every trust domain needs one: peers without a bundle could not be verified here.',
      },
    ],
    fine: [
      {
        ...peer('trustBundles: { mesh.example: { file: a.pem }, b.example: { file: a.pem } }'),
        trustDomains: 'mesh.example, b.example',
      },
    ],
  },
  {
    title: 'a binding to a certificate is possible under the first evidence',
    broken: [
      {
        ...peer('evidence: [principal, certificate]'),
        at: '[jwk]',
        says: first('jwk', 'principal'),
        advice: principalAdvice,
      },
      {
        ...peer('evidence: [principal, xfcc]'),
        require: '{ issuers: [corp], bindings: ["x5t#S256", spiffe, jwk] }',
        at: '["x5t#S256"',
        says: first('x5t#S256 and jwk', 'principal'),
        advice: principalAdvice,
      },
      {
        ...peer('evidence: [waypoint]'),
        require: thumbprintRule,
        at: '["x5t#S256"',
        says: first('x5t#S256', 'waypoint'),
        advice: waypointAdvice,
      },
    ],
    fine: [
      peer('evidence: [certificate, principal]'),
      { ...peer('evidence: [xfcc, principal]'), require: thumbprintRule },
      { ...peer('evidence: [principal]'), require: spiffeRule },
      { ...peer('evidence: [waypoint]'), require: spiffeRule },
      { spec: ['peer: { evidence: [waypoint] }', ...one], require: dpopRule },
      { spec: ['peer: { evidence: [principal] }', ...one], require: dpopRule },
    ],
  },
  {
    title: '`dpop` needs the section that says what clients see (dpop)',
    broken: [
      {
        require: '{ issuers: [corp], bindings: [jwk, dpop] }',
        at: 'dpop] }',
        says: '`dpop` needs `spec.dpop`',
        advice: 'Write spec.dpop: { origins: [https://api.example] }: what clients see.',
      },
    ],
    fine: [{ spec: one, require: dpopRule }, { spec: one }],
  },
  {
    title: 'an origin is scheme and authority, and nothing more (dpop.origins)',
    broken: [
      ...[
        'a.example',
        'https://',
        'https://a.example/v1',
        'https://a.example//',
        'https://a.example?x',
        'https://a.example/#',
        'https://user@a.example',
        'ftp://a.example',
        'https:/a.example',
        'https:a.example',
        ' https://a.example',
        'https://a.example:port',
        'https://*.example',
        'https://ä.example',
        '//a.example',
        '/',
      ].map((text) => ({
        spec: dpop(`origins: ["${text}"]`),
        require: dpopRule,
        at: `"${text}"]`,
        says: anOrigin,
        advice: originAdvice,
      })),
      {
        spec: dpop('origins: ["http://a.example"]'),
        require: dpopRule,
        at: '"http://a.example"',
        says: 'must be https (http is for loopback alone)',
      },
      {
        spec: dpop('origins: ["http://192.0.2.1"]'),
        require: dpopRule,
        at: '"http://192.0.2.1"',
        says: 'must be https (http is for loopback alone)',
      },
    ],
    fine: [
      'https://a.example',
      'https://a.example/',
      'https://a.example:8443',
      'HTTPS://A.example:443',
      'https://[2001:db8::1]:8443',
      'http://127.0.0.1:8080',
      'http://localhost:8080',
      'http://[::1]',
    ].map((text) => ({ spec: dpop(`origins: ["${text}"]`), require: dpopRule })),
  },
  {
    title: 'a proof lives an hour at most (dpop.maxAge)',
    broken: ['61m', '2h', '3601s'].map((age) => ({
      spec: dpop(`origins: [https://a.example], maxAge: ${age}`),
      require: dpopRule,
      at: age,
      says: 'must be at most 1h',
      advice: 'A proof is made for one request: RFC 9449 §11.1 speaks of seconds to minutes.',
    })),
    fine: ['1h', '60m', '3600s', '1s'].map((age) => ({
      spec: dpop(`origins: [https://a.example], maxAge: ${age}`),
      require: dpopRule,
    })),
  },
  {
    title: 'several origins without narrowing draw a warning (Proofs and replay)',
    broken: [
      {
        spec: two,
        require: '{ issuers: [corp], bindings: [jwk, dpop] }',
        at: 'dpop] }',
        says: 'a proof for any of the origins in spec.dpop is taken here',
        advice: 'Name the ones of this route: dpop: { origins: […] }.',
        severity: 'warning',
      },
    ],
    fine: [
      { spec: two, require: narrowing('https://a.example') },
      { spec: two, require: narrowing('https://a.example, https://b.example') },
      { spec: two },
    ],
  },
  {
    title: 'a route narrows the origins, it cannot add to them (require.dpop)',
    broken: [
      {
        spec: two,
        require: narrowing('https://b.example, "https://c.example"'),
        at: '"https://c.example"',
        says: 'is not in spec.dpop.origins: a route narrows them',
      },
      {
        spec: one,
        require: narrowing('"https://a.example:8443"'),
        at: '"https://a.example:8443"',
        says: 'is not in spec.dpop.origins: a route narrows them',
      },
      {
        spec: one,
        require: narrowing('"https://a.example/v1"'),
        at: '"https://a.example/v1"',
        says: anOrigin,
        advice: originAdvice,
      },
      {
        require: '{ issuers: [corp], bindings: [jwk], dpop: { origins: [https://a.example] } }',
        at: '{ origins: [https://a.example] } }',
        says: 'narrows `spec.dpop`, which is not there',
      },
    ],
    fine: [
      { spec: one, require: narrowing('"HTTPS://A.EXAMPLE:443/"') },
      { spec: dpop('origins: ["https://A.example:443"]'), require: narrowing('https://a.example') },
    ],
  },
  {
    title: 'rotation is about x5t#S256 (Rotation)',
    broken: [
      {
        require: rotating('{ grace: 10m }', 'jwk, spiffe'),
        at: '{ grace:',
        says: 'is about `x5t#S256`, which the route does not list',
      },
    ],
    fine: [
      { require: rotating('{ grace: 10m }') },
      { require: rotating('{ grace: 10m, backdate: 5m }', 'jwk, "x5t#S256"') },
    ],
  },
  {
    title: 'rotation needs a certificate that tells when it was issued (Rotation)',
    broken: [
      {
        ...peer('evidence: [xfcc]'),
        require: rotating('{ grace: 10m }'),
        at: '{ grace:',
        says: 'has no effect unless XFCC carries `Cert`: a `Hash` does not tell when the certificate was issued',
        severity: 'warning',
      },
    ],
    fine: [
      { ...peer('evidence: [certificate, xfcc]'), require: rotating('{ grace: 10m }') },
      { ...peer('evidence: [xfcc, certificate]'), require: rotating('{ grace: 10m }') },
    ],
  },
  {
    title: 'a grace is a day at most (Rotation)',
    broken: ['25h', '1441m'].map((grace) => ({
      require: rotating(`{ grace: ${grace} }`),
      at: grace,
      says: 'must be at most 24h',
      advice: 'Shorten the lifetime of tokens instead.',
    })),
    fine: ['24h', '1440m', '1s'].map((grace) => ({ require: rotating(`{ grace: ${grace} }`) })),
  },
  {
    title: 'rotation needs the identity of every issuer (issuers.*.identity)',
    broken: [
      {
        require: rotating('{ grace: 10m }', '"x5t#S256"', 'corp, plain'),
        at: '{ grace:',
        says: 'needs the `identity` of issuer `plain`',
        advice: identityAdvice,
      },
    ],
    fine: [{ require: rotating('{ grace: 10m }') }],
  },
]

for (const { title, broken, fine } of rules) {
  test(`policy.md: ${title}`, (t) => {
    t.true(broken.length > 0 && fine.length > 0)
    for (const { at, says, advice = '', severity = 'error', ...parts } of broken) {
      const text = policyOf(parts)
      t.deepEqual(said(text), [[`${placeOf(text, at)} ${severity} ${says}`, advice]], text)
      t.is(parsePolicy(text).ok, severity === 'warning')
    }
    for (const parts of fine) t.deepEqual(said(policyOf(parts)), [], policyOf(parts))
  })
}

test('policy.md Rotation: without any evidence that shows a certificate both problems are told', (t) => {
  const text = policyOf({ ...peer('evidence: [principal]'), require: rotating('{ grace: 10m }') })
  t.deepEqual(said(text), [
    [`${placeOf(text, '["x5t#S256"')} error ${first('x5t#S256', 'principal')}`, principalAdvice],
    [
      `${placeOf(text, '{ grace:')} error needs evidence \`certificate\``,
      'A certificate tells when it was issued; a principal does not.',
    ],
  ])
})

test('policy.md dpop: an empty list, an unknown algorithm, HS* and none are refused by the schema', (t) => {
  for (const section of [
    'origins: []',
    'origins: [https://a.example], algorithms: []',
    'origins: [https://a.example], algorithms: [HS256]',
    'origins: [https://a.example], algorithms: [none]',
    'origins: [https://a.example], nonce: always',
    'maxAge: 60s',
  ]) {
    t.false(parsePolicy(policyOf({ spec: dpop(section), require: dpopRule })).ok, section)
  }
})

test('policy.md peer: the bounds of maxForwards, and what is no trust domain, are the schema’s', (t) => {
  const forwarders = `evidence: [xfcc], forwarders: [${gateway}]`
  for (const more of ['maxForwards: 0', 'maxForwards: 17', 'maxForwards: 1.5'])
    t.false(parsePolicy(policyOf(peer(`${forwarders}, ${more}`))).ok, more)
  t.true(parsePolicy(policyOf(peer(`${forwarders}, maxForwards: 16`))).ok)
  t.false(parsePolicy(policyOf(peer('trustBundles: { MESH.example: { file: a } }'))).ok)
  t.false(parsePolicy(policyOf(peer(`evidence: [xfcc], forwarders: [orders]`))).ok)
  t.false(
    parsePolicy(policyOf(peer('evidence: [xfcc], forwarders: ["spiffe://mesh.example/*"]'))).ok,
  )
})
