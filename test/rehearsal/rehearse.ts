/** The kit's rehearsal: a policy and its tests as texts, run in memory. */

import { readPolicies } from '../../src/policy/manifest.ts'
import { findTestLines, readTest } from '../../src/rehearsal/document.ts'
import { findTestProblems } from '../../src/rehearsal/meaning.ts'
import type { FileResult } from '../../src/rehearsal/result.ts'
import { runTestFile } from '../../src/rehearsal/run.ts'

export const ordersId = 'spiffe://mesh.example/ns/shop/sa/orders'

/** One route for everything. `spec` stands beside it, `require` inside it; both in flow style. */
export function policyText(require: string, spec = '', issuer = ''): string {
  return `
apiVersion: meshbind/v1alpha1
kind: BindingPolicy
metadata: { name: shop }
spec:
  trustDomains: [mesh.example]
${spec.replace(/^(?=.)/gm, '  ')}
  issuers:
    corp: { issuer: https://idp.example, audiences: [https://a.example], keys: { file: no-such-file.json }, identity: { claim: sub }${issuer} }
  routes:
    - { name: all, require: { issuers: [corp], ${require} } }
`
}

/** Peers, tokens and one test for each line: `NAME | EXPECT | the rest of the test`, with GET / unless it says otherwise. */
export function testText(fixtures: string, ...tests: readonly string[]): string {
  const items = tests.map((line) => {
    const [name = '', expect = '', rest = ''] = line.split('|').map((part) => part.trim())
    const request = rest.includes('request:')
      ? ''
      : ', request: { method: GET, host: a.example, path: / }'
    return `  - { name: ${name}, expect: ${expect}${request}${rest === '' ? '' : `, ${rest}`} }`
  })
  return `
apiVersion: meshbind/v1alpha1
kind: PolicyTest
policy: policy.yaml
now: 2026-01-01T12:00:00Z
${fixtures}
tests:
${items.join('\n')}
`
}

export async function rehearse(policySource: string, testSource: string): Promise<FileResult> {
  const [policyFile] = readPolicies(policySource)
  const parsed = policyFile?.result
  if (policyFile === undefined || parsed === undefined) throw new Error('no policy')
  if (!parsed.ok) throw new Error(JSON.stringify(parsed.problems))
  const reading = readTest(testSource, findTestProblems)
  if (!reading.ok) throw new Error(JSON.stringify(reading.problems))
  return runTestFile({
    file: 'shop.test.yaml',
    test: reading.value,
    lines: findTestLines(testSource, reading.value),
    policyFile: 'policy.yaml',
    policy: parsed.policy,
    policyText: policyFile.text,
  })
}

/** `name: what came` of every test that failed; none is the aim. */
export function failures({ tests }: FileResult): string[] {
  return tests
    .filter(({ passed }) => !passed)
    .map(({ name, got }) => `${name}: ${got.reason ?? got.verdict} ${got.detail}`.trim())
}
