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

const broken = (at: string, says: string, parts: Parts, more: Partial<Broken> = {}): Broken => ({
  ...parts,
  at,
  says,
  ...more,
})
const route = (require: string, spec: readonly string[] = []): Parts => ({ spec, require })
const bundle = 'trustBundles: { mesh.example: { file: a.pem } }'
const bundleAdvice =
  'Every trust domain needs one: peers without a bundle could not be verified here.'
const needsCertificate =
  'needs the certificate: list `certificate`, or `xfcc` with `Cert`, in spec.peer.evidence'
const notNarrower = 'is not in spec.dpop.origins: a route narrows them'
const loopbackOnly = 'must be https (http is for loopback alone)'

const rules: readonly Rule[] = [
  {
    title: 'a forwarder that presents for itself draws a warning (Who is the presenter, 3)',
    broken: [
      broken(
        'true }]',
        'lets every client that shows no certificate to this forwarder pass as the forwarder itself',
        peer(`evidence: [xfcc], forwarders: [{ id: ${gateway}, presents: true }]`),
        {
          advice:
            'Leave it out unless the forwarder makes calls of its own, and then demand client certificates of all others.',
          severity: 'warning',
        },
      ),
    ],
    fine: [peer(`evidence: [xfcc], forwarders: [{ id: ${gateway} }]`)],
  },
  {
    title: 'evidence is listed once',
    broken: [
      broken(
        'certificate ]',
        '`certificate` is listed twice',
        peer('evidence: [certificate, certificate ]'),
      ),
      broken(
        'xfcc ]',
        '`xfcc` is listed twice',
        peer('evidence: [certificate, xfcc, principal, xfcc ]'),
      ),
    ],
    fine: [
      peer('evidence: [certificate, xfcc, principal]'),
      peer('evidence: [xfcc, certificate, principal]'),
    ],
  },
  {
    title: '`waypoint` stands alone in the list (Who is the presenter, 1)',
    broken: ['[certificate, waypoint]', '[waypoint, xfcc]', '[certificate, xfcc, waypoint]'].map(
      (list) =>
        broken(
          list,
          '`waypoint` stands alone',
          route(spiffeRule, [`peer: { evidence: ${list} }`]),
          {
            advice:
              'A waypoint’s Envoy names neither certificate nor principal. Serve sidecars and waypoints with policies of their own.',
          },
        ),
    ),
    fine: [{ ...peer('evidence: [waypoint]'), require: spiffeRule }],
  },
  {
    title: 'forwarders need XFCC (peer.forwarders)',
    broken: [
      peer(`forwarders: [${gateway}]`),
      peer(`evidence: [certificate, principal], forwarders: [${gateway}]`),
      { ...peer(`evidence: [waypoint], forwarders: [${gateway}]`), require: spiffeRule },
    ].map((parts) =>
      broken('forwarders', 'needs `xfcc` in spec.peer.evidence', parts, {
        advice: 'A forwarder names the workload that it saw in x-forwarded-client-cert.',
      }),
    ),
    fine: [
      peer(`evidence: [xfcc], forwarders: [${gateway}]`),
      peer(`evidence: [certificate, xfcc], forwarders: [${gateway}]`),
    ],
  },
  {
    title: 'maxForwards goes with forwarders (peer.maxForwards)',
    broken: [
      broken(
        'maxForwards',
        'goes with `forwarders`',
        peer('evidence: [certificate, xfcc], maxForwards: 2'),
      ),
    ],
    fine: [peer(`evidence: [xfcc], forwarders: [${gateway}], maxForwards: 2`)],
  },
  {
    title: 'a forwarder is one workload of a listed trust domain (peer.forwarders)',
    broken: [
      broken(
        '"spiffe:',
        aForwarder,
        peer('evidence: [xfcc], forwarders: ["spiffe://mesh.example"]'),
      ),
      broken(
        '"spiffe:',
        aForwarder,
        peer('evidence: [xfcc], forwarders: ["spiffe://mesh.example/ns/../gw"]'),
      ),
      broken(
        '"spiffe://mesh.example"',
        aForwarder,
        peer(`evidence: [xfcc], forwarders: [${gateway}, "spiffe://mesh.example"]`),
      ),
      broken(
        '{ id: spiffe',
        aForwarder,
        peer('evidence: [xfcc], forwarders: [{ id: spiffe://mesh.example, presents: false }]'),
      ),
      broken(
        'spiffe://evil',
        'is of a trust domain that is not in spec.trustDomains',
        peer('evidence: [xfcc], forwarders: [spiffe://evil.example/gw]'),
      ),
    ],
    fine: [
      peer(`evidence: [xfcc], forwarders: [${gateway}, { id: ${edge}, presents: false }]`),
      {
        ...peer('evidence: [xfcc], forwarders: [spiffe://b.example/gw]'),
        trustDomains: 'mesh.example, b.example',
      },
    ],
  },
  {
    title: 'a forwarder is listed once, in one form',
    broken: [
      broken(
        `"${edge}"`,
        'is listed twice',
        peer(`evidence: [xfcc], forwarders: [${edge}, ${gateway}, "${edge}"]`),
      ),
      broken(
        '{ id: spiffe',
        'is listed twice',
        peer(`evidence: [xfcc], forwarders: [${gateway}, { id: ${gateway}, presents: false }]`),
      ),
    ],
    fine: [peer(`evidence: [xfcc], forwarders: [${edge}, ${gateway}]`)],
  },
  {
    title: 'bundles need the certificate (peer.trustBundles)',
    broken: ['principal', 'waypoint'].map((source) =>
      broken(
        '{ mesh.example:',
        needsCertificate,
        route(spiffeRule, [`peer: { evidence: [${source}], ${bundle} }`]),
      ),
    ),
    fine: [
      peer(bundle),
      peer(`evidence: [xfcc], ${bundle}`),
      peer(`evidence: [certificate, principal], ${bundle}`),
    ],
  },
  {
    title: 'bundles are of the listed trust domains, one for each (peer.trustBundles)',
    broken: [
      broken(
        '{ file: "b.pem"',
        'is not in spec.trustDomains, so it is never used',
        peer('trustBundles: { mesh.example: { file: a.pem }, other.example: { file: "b.pem" } }'),
      ),
      ...['b.example', 'constructor'].map((domain) =>
        broken(
          '{ mesh.example:',
          `has no bundle for \`${domain}\``,
          { ...peer(bundle), trustDomains: `mesh.example, ${domain}` },
          { advice: bundleAdvice },
        ),
      ),
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
      broken('[jwk]', first('jwk', 'principal'), peer('evidence: [principal, certificate]'), {
        advice: principalAdvice,
      }),
      broken(
        '["x5t#S256"',
        first('x5t#S256 and jwk', 'principal'),
        route('{ issuers: [corp], bindings: ["x5t#S256", spiffe, jwk] }', [
          'peer: { evidence: [principal, xfcc] }',
        ]),
        { advice: principalAdvice },
      ),
      broken(
        '["x5t#S256"',
        first('x5t#S256', 'waypoint'),
        route(thumbprintRule, ['peer: { evidence: [waypoint] }']),
        { advice: waypointAdvice },
      ),
    ],
    fine: [
      peer('evidence: [certificate, principal]'),
      route(thumbprintRule, ['peer: { evidence: [xfcc, principal] }']),
      route(spiffeRule, ['peer: { evidence: [principal] }']),
      route(spiffeRule, ['peer: { evidence: [waypoint] }']),
      route(dpopRule, ['peer: { evidence: [waypoint] }', ...one]),
      route(dpopRule, ['peer: { evidence: [principal] }', ...one]),
    ],
  },
  {
    title: '`dpop` needs the section that says what clients see (dpop)',
    broken: [
      broken(
        'dpop] }',
        '`dpop` needs `spec.dpop`',
        route('{ issuers: [corp], bindings: [jwk, dpop] }'),
        { advice: 'Write spec.dpop: { origins: [https://api.example] }: what clients see.' },
      ),
    ],
    fine: [route(dpopRule, one), { spec: one }],
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
        'https://a.example:65536',
        'https://a.example:0443',
        'https://a..example',
        'https://[::g]',
        'https://*.example',
        'https://ä.example',
        '//a.example',
        '/',
      ].map((text) =>
        broken(`"${text}"]`, anOrigin, route(dpopRule, dpop(`origins: ["${text}"]`)), {
          advice: originAdvice,
        }),
      ),
      ...['http://a.example', 'http://192.0.2.1'].map((text) =>
        broken(`"${text}"]`, loopbackOnly, route(dpopRule, dpop(`origins: ["${text}"]`))),
      ),
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
    ].map((text) => route(dpopRule, dpop(`origins: ["${text}"]`))),
  },
  {
    title: 'a proof lives an hour at most (dpop.maxAge)',
    broken: ['61m', '2h', '3601s'].map((age) =>
      broken(
        age,
        'must be at most 1h',
        route(dpopRule, dpop(`origins: [https://a.example], maxAge: ${age}`)),
        { advice: 'A proof is made for one request: RFC 9449 §11.1 speaks of seconds to minutes.' },
      ),
    ),
    fine: ['1h', '60m', '3600s', '1s'].map((age) =>
      route(dpopRule, dpop(`origins: [https://a.example], maxAge: ${age}`)),
    ),
  },
  {
    title: 'several origins without narrowing draw a warning (Proofs and replay)',
    broken: [
      broken(
        'dpop] }',
        'a proof for any of the origins in spec.dpop is taken here',
        route('{ issuers: [corp], bindings: [jwk, dpop] }', two),
        { advice: 'Name the ones of this route: dpop: { origins: […] }.', severity: 'warning' },
      ),
    ],
    fine: [
      route(narrowing('https://a.example'), two),
      route(narrowing('https://a.example, https://b.example'), two),
      { spec: two },
    ],
  },
  {
    title: 'a route narrows the origins, it cannot add to them (require.dpop)',
    broken: [
      broken(
        '"https://c.example"',
        notNarrower,
        route(narrowing('https://b.example, "https://c.example"'), two),
      ),
      broken(
        '"https://a.example:8443"',
        notNarrower,
        route(narrowing('"https://a.example:8443"'), one),
      ),
      broken('"https://a.example/v1"', anOrigin, route(narrowing('"https://a.example/v1"'), one), {
        advice: originAdvice,
      }),
      broken(
        '{ origins: [https://a.example] } }',
        'narrows `spec.dpop`, which is not there',
        route('{ issuers: [corp], bindings: [jwk], dpop: { origins: [https://a.example] } }'),
      ),
    ],
    fine: [
      route(narrowing('"HTTPS://A.EXAMPLE:443/"'), one),
      route(narrowing('https://a.example'), dpop('origins: ["https://A.example:443"]')),
    ],
  },
  {
    title: 'rotation is about x5t#S256 (Rotation)',
    broken: [
      broken(
        '{ grace:',
        'is about `x5t#S256`, which the route does not list',
        route(rotating('{ grace: 10m }', 'jwk, spiffe')),
      ),
    ],
    fine: [
      route(rotating('{ grace: 10m }')),
      route(rotating('{ grace: 10m, backdate: 5m }', 'jwk, "x5t#S256"')),
    ],
  },
  {
    title: 'rotation needs a certificate that tells when it was issued (Rotation)',
    broken: [
      broken(
        '{ grace:',
        'has no effect unless XFCC carries `Cert`: a `Hash` does not tell when the certificate was issued',
        route(rotating('{ grace: 10m }'), ['peer: { evidence: [xfcc] }']),
        { severity: 'warning' },
      ),
    ],
    fine: ['certificate, xfcc', 'xfcc, certificate'].map((list) =>
      route(rotating('{ grace: 10m }'), [`peer: { evidence: [${list}] }`]),
    ),
  },
  {
    title: 'a grace is a day at most (Rotation)',
    broken: ['25h', '1441m'].map((grace) =>
      broken(grace, 'must be at most 24h', route(rotating(`{ grace: ${grace} }`)), {
        advice: 'Shorten the lifetime of tokens instead.',
      }),
    ),
    fine: ['24h', '1440m', '1s'].map((grace) => route(rotating(`{ grace: ${grace} }`))),
  },
  {
    title: 'rotation needs the identity of every issuer (issuers.*.identity)',
    broken: [
      broken(
        '{ grace:',
        'needs the `identity` of issuer `plain`',
        route(rotating('{ grace: 10m }', '"x5t#S256"', 'corp, plain')),
        { advice: identityAdvice },
      ),
    ],
    fine: [route(rotating('{ grace: 10m }'))],
  },
]

for (const { title, broken: problems, fine } of rules) {
  test(`policy.md: ${title}`, (t) => {
    t.true(problems.length > 0 && fine.length > 0)
    for (const { at, says, advice = '', severity = 'error', ...parts } of problems) {
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
