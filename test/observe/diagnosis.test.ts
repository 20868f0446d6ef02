import { readFileSync } from 'node:fs'
import test from 'ava'
import { parseAllDocuments } from 'yaml'
import { diagnose, type Finding } from '../../src/observe/diagnosis.ts'
import {
  createEvidenceSeen,
  type EvidenceSign,
  type EvidenceSummary,
  type PolicyNeeds,
} from '../../src/observe/evidence-seen.ts'

interface Counts {
  readonly checks?: number
  readonly certificate?: number
  readonly xfcc?: number
  readonly principal?: number
  readonly signs?: Partial<Record<EvidenceSign, number>>
  readonly refusals?: Partial<EvidenceSummary['refusals']>
}

const sound: PolicyNeeds = {
  name: 'shop',
  revision: '0123456789abcdef',
  evidence: ['certificate'],
  bindings: ['x5t#S256'],
  forwarders: [],
  presenter: true,
  certificate: false,
}

/** Ten checks unless said otherwise, over mTLS, with tokens; findings by topic. */
function findingsOf(policy: Partial<PolicyNeeds>, counts: Counts): ReadonlyMap<string, Finding> {
  const empty = createEvidenceSeen(0).summary()
  const kind = (count = 0) => ({ count, firstAt: 1, lastAt: 2 })
  const { checks = 10, certificate, xfcc, principal = checks } = counts
  const findings = diagnose({
    policy: { ...sound, ...policy },
    evidence: {
      ...empty,
      checks,
      kinds: {
        certificate: kind(certificate),
        xfcc: kind(xfcc),
        principal: kind(principal),
        none: kind(),
      },
      signs: { ...empty.signs, destination: checks, authorization: checks, ...counts.signs },
      refusals: { ...empty.refusals, ...counts.refusals },
    },
  })
  return new Map(findings.map((finding) => [finding.topic, finding]))
}

function settingsOf(finding: Finding | undefined): string {
  return finding?.settings.map(({ place, yaml }) => `${place}: ${yaml}`).join('\n') ?? ''
}

test('docs/envoy.md: with the certificate over mTLS and a token, all is well', (t) => {
  const findings = findingsOf({}, { certificate: 10 })
  t.deepEqual([...findings.keys()], ['mTLS', 'certificate', 'token'])
  t.true([...findings.values()].every(({ severity }) => severity === 'ok'))
})

test('before the first check there is one problem, and nothing is said of evidence', (t) => {
  const findings = findingsOf({}, { checks: 0 })
  t.deepEqual([...findings.keys()], ['checks'])
  t.is(findings.get('checks')?.severity, 'problem')
})

const named: readonly (readonly [
  title: string,
  topic: string,
  severity: Finding['severity'],
  policy: Partial<PolicyNeeds>,
  counts: Counts,
  setting: RegExp,
])[] = [
  [
    'mTLS without the certificate wants include_peer_certificate',
    'certificate',
    'problem',
    {},
    { signs: { principalWithoutCertificate: 10, principalAlone: 10 } },
    /include_peer_certificate: true.*EnvoyFilter/s,
  ],
  [
    'certificates from some Envoys only are a warning',
    'certificate',
    'warning',
    {},
    { certificate: 7, signs: { principalWithoutCertificate: 3, principalAlone: 3 } },
    /include_peer_certificate: true/,
  ],
  [
    'plaintext wants TLS, and PeerAuthentication STRICT',
    'mTLS',
    'problem',
    {},
    { principal: 0, signs: { destination: 0 } },
    /require_client_certificate: true.*mode: STRICT/s,
  ],
  [
    'TLS without client certificates wants require_client_certificate',
    'mTLS',
    'problem',
    {},
    { principal: 0 },
    /trusted_ca/,
  ],
  [
    'a route with jwk and XFCC without Cert wants the certificate',
    'certificate',
    'problem',
    { evidence: ['xfcc'], bindings: ['jwk'], certificate: true },
    { xfcc: 10, signs: { principalWithoutCertificate: 10 } },
    /include_peer_certificate: true.*setCurrentClientCertDetails: \{ cert: true \}/s,
  ],
  [
    'XFCC that never comes wants forward_client_cert_details',
    'xfcc',
    'problem',
    { evidence: ['xfcc'] },
    { signs: { principalWithoutCertificate: 10, principalAlone: 10 } },
    /forward_client_cert_details: APPEND_FORWARD/,
  ],
  [
    'XFCC that never comes behind a certificate is a warning',
    'xfcc',
    'warning',
    { evidence: ['certificate', 'xfcc'] },
    { certificate: 10 },
    /APPEND_FORWARD/,
  ],
  [
    'XFCC that never comes is a problem where forwarders are listed',
    'xfcc',
    'problem',
    { evidence: ['certificate', 'xfcc'], forwarders: ['spiffe://mesh.example/ns/edge/sa/gateway'] },
    { certificate: 10 },
    /APPEND_FORWARD/,
  ],
  [
    'XFCC without a principal was not written by this Envoy',
    'xfcc',
    'problem',
    { evidence: ['certificate', 'xfcc'] },
    { certificate: 8, principal: 8, xfcc: 10, signs: { xfccWithoutPrincipal: 2 } },
    /APPEND_FORWARD.*STRICT/s,
  ],
  [
    'XFCC without URI wants uri: true',
    'xfcc',
    'problem',
    { evidence: ['certificate', 'xfcc'] },
    { certificate: 10, xfcc: 10, signs: { xfccWithoutUri: 10 } },
    /uri: true/,
  ],
  [
    'forward_broken wants SANITIZE_SET at the gateway and APPEND_FORWARD at the sidecar',
    'forwarders',
    'problem',
    { evidence: ['certificate', 'xfcc'], forwarders: ['spiffe://mesh.example/ns/edge/sa/gateway'] },
    { certificate: 10, xfcc: 10, refusals: { forward_broken: 4 } },
    /of the gateway: .*SANITIZE_SET.*of the sidecar: .*APPEND_FORWARD.*gatewayTopology/s,
  ],
  [
    'evidence_conflict is a warning, because a client can cause it',
    'conflicts',
    'warning',
    { evidence: ['certificate', 'xfcc'] },
    { certificate: 10, xfcc: 10, refusals: { evidence_conflict: 1 } },
    /APPEND_FORWARD/,
  ],
  [
    'principals of another kind want the mesh CA alone',
    'names',
    'problem',
    {},
    { certificate: 10, signs: { principalNotSpiffe: 10 } },
    /trusted_ca/,
  ],
  [
    'a waypoint without XFCC wants the annotation',
    'waypoint',
    'problem',
    { evidence: ['waypoint'], bindings: ['spiffe'] },
    { principal: 0, signs: { destination: 0 } },
    /ambient\.istio\.io\/xfcc-include-client-identity: "true"/,
  ],
  [
    'protected routes and never a token point at allowed_headers',
    'token',
    'problem',
    {},
    { certificate: 10, signs: { authorization: 0 }, refusals: { credential_missing: 10 } },
    /allowed_headers/,
  ],
  [
    'no token yet, and none missed, is a warning',
    'token',
    'warning',
    {},
    { certificate: 10, signs: { authorization: 0 } },
    /allowed_headers/,
  ],
  [
    'routes that take dpop alone and never a proof point at allowed_headers',
    'token',
    'problem',
    { bindings: ['dpop'], presenter: false },
    {},
    /allowed_headers/,
  ],
]
for (const [title, topic, severity, policy, counts, setting] of named) {
  test(`docs/hops.md, docs/envoy.md: ${title}`, (t) => {
    const finding = findingsOf(policy, counts).get(topic)
    t.is(finding?.severity, severity)
    t.regex(settingsOf(finding), setting)
    t.truthy(finding?.advice)
  })
}

const well: readonly (readonly [title: string, policy: Partial<PolicyNeeds>, counts: Counts])[] = [
  [
    'Istio’s sidecars: XFCC stands in for the certificate',
    { evidence: ['certificate', 'xfcc'] },
    { xfcc: 10, signs: { principalWithoutCertificate: 10 } },
  ],
  [
    'XFCC with Cert serves jwk',
    { evidence: ['xfcc'], bindings: ['jwk'], certificate: true },
    { xfcc: 10, signs: { principalWithoutCertificate: 10, xfccWithCertificate: 10 } },
  ],
  [
    'a principal is enough for spiffe',
    { evidence: ['certificate', 'principal'], bindings: ['spiffe'] },
    { signs: { principalWithoutCertificate: 10, principalAlone: 10 } },
  ],
  [
    'DPoP clients without a certificate beside workloads',
    { bindings: ['x5t#S256', 'dpop'] },
    { certificate: 6, principal: 6, signs: { dpop: 4 } },
  ],
  [
    'no mTLS at all where only dpop is taken',
    { bindings: ['dpop'], presenter: false },
    { principal: 0, signs: { destination: 0, dpop: 10 } },
  ],
  [
    'a waypoint that writes XFCC',
    { evidence: ['waypoint'], bindings: ['spiffe'] },
    { principal: 0, xfcc: 10, signs: { destination: 0, xfccWithoutPrincipal: 10 } },
  ],
]
for (const [title, policy, counts] of well) {
  test(`docs/hops.md: nothing is missing: ${title}`, (t) => {
    const findings = [...findingsOf(policy, counts).values()]
    t.deepEqual(
      findings.filter(({ severity }) => severity !== 'ok'),
      [],
    )
    t.true(findings.length > 0)
  })
}

test('docs/hops.md: an XFCC that is in use is never called safe: how Envoy is set cannot be seen', (t) => {
  const finding = findingsOf({ evidence: ['xfcc'] }, { xfcc: 10 }).get('xfcc')
  t.regex(finding?.seen ?? '', /Safe only where Envoy runs APPEND_FORWARD or SANITIZE_SET/)
})

test('one check is told in the singular', (t) => {
  t.is(
    findingsOf({}, { checks: 1, certificate: 1 }).get('mTLS')?.seen,
    '1 of 1 check came over mTLS.',
  )
})

const page = (name: string) =>
  readFileSync(new URL(`../../docs/${name}.md`, import.meta.url), 'utf8')

test('every snippet is YAML, and every Envoy setting in it stands in the documents', (t) => {
  const documents = page('envoy') + page('hops')
  for (const [, topic, , policy, counts] of named) {
    for (const { place, yaml } of findingsOf(policy, counts).get(topic)?.settings ?? []) {
      const [document, ...others] = parseAllDocuments(yaml)
      t.deepEqual([document?.errors ?? [], others], [[], []], place)
      if (!place.startsWith('Envoy')) continue
      for (const [name] of yaml.matchAll(/\b[a-z]+(?:_[a-z]+)+(?=:)/g))
        t.true(documents.includes(name), `${place}: ${name}`)
    }
  }
})
