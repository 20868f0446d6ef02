import test from 'ava'
import { reportGithub } from '../../src/rehearsal/report-github.ts'
import { reportJson } from '../../src/rehearsal/report-json.ts'
import { escapeXml, reportJunit } from '../../src/rehearsal/report-junit.ts'
import { reportText } from '../../src/rehearsal/report-text.ts'
import type { Outcome, Results } from '../../src/rehearsal/result.ts'

const got: Outcome = {
  verdict: 'allow',
  reason: undefined,
  detail: '',
  advice: '',
  route: 'payments',
  mode: 'enforce',
  method: 'x5t#S256',
  presenter: 'spiffe://mesh.example/ns/shop/sa/orders',
}
const refused: Outcome = {
  ...got,
  verdict: 'deny',
  reason: 'proof_invalid',
  detail: 'htm',
  advice: 'Look at it.',
  mode: 'audit',
}
const results: Results = {
  files: [
    {
      file: 'a,b/shop.test.yaml',
      policyFile: 'a,b/policy.yaml',
      policyName: 'shop',
      revision: '0123456789abcdef',
      tests: [
        {
          name: 'passes',
          line: 7,
          passed: true,
          expected: { verdict: 'allow', reason: undefined },
          got,
        },
        {
          name: 'is watched',
          line: 9,
          passed: true,
          expected: { verdict: 'deny', reason: 'proof_invalid' },
          got: refused,
        },
        {
          name: '50%: <a> & "b"',
          line: 12,
          passed: false,
          expected: { verdict: 'deny', reason: 'proof_missing' },
          got: refused,
        },
      ],
      routes: [{ name: 'payments', mode: 'audit', unprotected: false, allowed: 1, denied: 2 }],
    },
  ],
  gaps: [
    { policyFile: 'a,b/policy.yaml', route: 'refunds', kind: 'untouched' },
    { policyFile: 'a,b/policy.yaml', route: 'receipts', kind: 'never_allowed' },
  ],
  coverageRequired: false,
}
const required: Results = { ...results, coverageRequired: true }

test('text: a line for each test; expected, got, route, detail, advice and place of a failed one', (t) => {
  t.deepEqual(reportText(results, (_, text) => text).split('\n'), [
    'a,b/shop.test.yaml  policy shop, a,b/policy.yaml, revision 0123456789abcdef',
    '  ✓ passes  allow by x5t#S256',
    '  ✓ is watched  deny: proof_invalid, not enforced: mode audit',
    '  ✗ 50%: <a> & "b"',
    '      expected   deny: proof_missing',
    '      got        deny: proof_invalid',
    '      route      payments (mode audit)',
    '      presenter  spiffe://mesh.example/ns/shop/sa/orders',
    '      detail     htm',
    '      advice     Look at it.',
    '      at         a,b/shop.test.yaml:12',
    '',
    'warning: a,b/policy.yaml: no test reaches the route `refunds`',
    'warning: a,b/policy.yaml: no test is allowed on the route `receipts`',
    '',
    '2 passed, 1 failed',
    '',
  ])
})

test('text: coverage that is required is an error, and only that of routes that no test reaches', (t) => {
  const text = reportText(required, (_, part) => part)
  t.true(text.includes('\nerror: a,b/policy.yaml: no test reaches the route `refunds`\n'))
  t.true(text.includes('\nwarning: a,b/policy.yaml: no test is allowed on the route `receipts`\n'))
})

test('json: the same as data', (t) => {
  const report = JSON.parse(reportJson(results))
  t.like(report, { v: 1, passed: 2, failed: 1 })
  t.deepEqual(report.files[0].tests[2], {
    name: '50%: <a> & "b"',
    line: 12,
    passed: false,
    expected: { decision: 'deny', reason: 'proof_missing' },
    got: {
      decision: 'deny',
      enforced: false,
      mode: 'audit',
      reason: 'proof_invalid',
      detail: 'htm',
      route: 'payments',
      method: 'x5t#S256',
      presenter: 'spiffe://mesh.example/ns/shop/sa/orders',
    },
  })
  t.deepEqual(report.gaps[0], { policy: 'a,b/policy.yaml', route: 'refunds', kind: 'untouched' })
})

test('junit: counts, escaped names, and the failure in words', (t) => {
  const xml = reportJunit(results)
  t.true(xml.includes('<testsuites name="meshbind policy test" tests="3" failures="1">'))
  t.true(
    xml.includes(
      '<testcase name="passes" classname="a,b/shop.test.yaml" file="a,b/shop.test.yaml" line="7"/>',
    ),
  )
  t.true(xml.includes('name="50%: &lt;a&gt; &amp; &quot;b&quot;"'))
  t.true(
    xml.includes(
      '<failure message="expected deny: proof_missing, got deny: proof_invalid">expected: deny: proof_missing\n',
    ),
  )
  t.false(xml.includes('refunds'))
})

test('junit: required coverage is a suite of its own', (t) => {
  const xml = reportJunit(required)
  t.true(xml.includes(' tests="4" failures="2">'))
  t.true(xml.includes('<testsuite name="coverage" tests="1" failures="1">'))
  t.true(xml.includes('<failure message="no test reaches the route `refunds`"/>'))
})

test('XML 1.0 §2.2: every character comes out as one that XML may hold, and none opens a tag or ends a value', (t) => {
  const legal = /^(?:[\t\n\r\x20-\ud7ff\ue000-\ufffd]|[\u{10000}-\u{10ffff}])*$/u
  for (let code = 0; code <= 0xffff; code++) {
    const escaped = escapeXml(String.fromCharCode(code))
    if (!legal.test(escaped) || /[<>"]|&(?!(?:amp|lt|gt|quot);)/.test(escaped)) t.fail(String(code))
  }
  t.is(escapeXml('ä😀'), 'ä😀')
})

test('github: an annotation at each failed test and gap, escaped as actions/toolkit does', (t) => {
  t.deepEqual(reportGithub(results).split('\n'), [
    '::error file=a%2Cb/shop.test.yaml,line=12,title=50%25%3A <a> & "b"%3A deny%3A proof_invalid::expected: deny: proof_missing%0Agot: deny: proof_invalid%0Aroute: payments (mode audit)%0Apresenter: spiffe://mesh.example/ns/shop/sa/orders%0Adetail: htm%0Aadvice: Look at it.',
    '::warning file=a%2Cb/policy.yaml,title=policy coverage::no test reaches the route `refunds`',
    '::warning file=a%2Cb/policy.yaml,title=policy coverage::no test is allowed on the route `receipts`',
    '2 passed, 1 failed',
    '',
  ])
  t.true(reportGithub(required).includes('::error file=a%2Cb/policy.yaml,title=policy coverage::'))
})
