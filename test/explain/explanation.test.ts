import test from 'ava'
import { type Reason, reasons } from '../../src/decision/reasons.ts'
import { explain } from '../../src/explain/explanation.ts'
import { type DecisionLine, readDecisionLine } from '../../src/explain/line.ts'
import { endOf, stepNames, stepOfReason } from '../../src/explain/steps.ts'
import { tellSpan } from '../../src/explain/times.ts'
import { walk } from '../../src/explain/way.ts'
import { parsePolicy } from '../../src/policy/parse.ts'

const orders = 'spiffe://mesh.example/ns/shop/sa/orders'
const thief = 'spiffe://mesh.example/ns/web/sa/blog'
const time = Date.parse('2026-11-23T06:40:33Z') / 1000

/** A line as `serve` writes it of an allow by x5t#S256. */
const allowed = {
  v: 1,
  time: '2026-11-23T06:40:33.000Z',
  type: 'decision',
  decision_id: 'd-1',
  decision: 'allow',
  enforced: true,
  mode: 'enforce',
  reason: null,
  detail: null,
  route: 'pay',
  policy_revision: 'aaaa',
  request: { id: '1', method: 'POST', host: 'payments', path: '/v1/payments' },
  presenter: { spiffe_id: orders, x5t_s256: 'thumb', evidence: 'certificate' },
  peer: orders,
  forwards: [],
  actors: [],
  token: {
    issuer: 'corp',
    subject: orders,
    jti_hash: null,
    kid: 'key-1',
    confirmation: ['x5t#S256'],
    expires_at: time + 288,
    issued_at: time - 12,
  },
  method: 'x5t#S256',
  withheld: null,
  cache: 'hit',
  duration_us: 90,
  trace_id: null,
  replica: 'r',
}
type Changes = { readonly [member: string]: unknown }

const lineOf = (changes: Changes = {}): DecisionLine => readDecisionLine({ ...allowed, ...changes })
const denied = (reason: Reason, changes: Changes = {}): DecisionLine =>
  lineOf({ decision: 'deny', reason, method: null, ...changes })

function policyOf(text: string) {
  const parsed = parsePolicy(text)
  if (!parsed.ok) throw new Error(parsed.problems[0]?.message)
  return { document: parsed.policy, revision: 'bbbb' }
}

const policyText = `apiVersion: meshbind/v1alpha1
kind: BindingPolicy
metadata: { name: shop }
spec:
  trustDomains: [mesh.example]
  issuers:
    corp:
      issuer: https://idp.example
      audiences: [https://a.example]
      keys: { file: jwks.json }
      identity: { claim: sub }
  routes:
    - name: pay
      require:
        issuers: [corp]
        bindings: ["x5t#S256"]
        callers: [${orders}]
`
const policy = policyOf(policyText)
const explainAlone = (line: DecisionLine) => explain({ line, policy: undefined, judgedHere: false })
const statesOf = (line: DecisionLine) =>
  Object.fromEntries(explainAlone(line).steps.map(({ step, state }) => [step, state]))
const wordsOf = (line: DecisionLine, name: string) =>
  explainAlone(line)
    .steps.find(({ step }) => step === name)
    ?.words.join('\n') ?? ''

test('every reason of the table fails at one step of the way, with its title there and its advice', (t) => {
  t.deepEqual(Object.keys(stepOfReason).sort(), Object.keys(reasons).sort())
  for (const reason of Object.keys(reasons) as Reason[]) {
    const { steps, failure, decision, told_envoy } = explainAlone(denied(reason))
    t.deepEqual([decision, told_envoy], ['deny', 'deny'], reason)
    t.deepEqual(
      steps.map(({ step }) => step),
      [...stepNames],
    )
    const at = steps.find(({ step }) => step === endOf(denied(reason) as never).failed)
    t.is(at?.state, 'failed', reason)
    t.is(at?.words[0], `${reason}: ${reasons[reason].title}`)
    t.is(failure?.advice, reasons[reason].advice)
    t.is(steps.at(-1)?.state, 'failed', reason)
    const failed = steps.filter(({ state }) => state === 'failed').map(({ step }) => step)
    t.true(failed.length <= 2, `${reason}: ${failed}`)
  }
})

test('what comes before the failure has passed, what comes after it was not reached', (t) => {
  t.deepEqual(statesOf(denied('binding_mismatch')), {
    question: 'passed',
    route: 'passed',
    credential: 'passed',
    presenter: 'passed',
    token: 'passed',
    revocation: 'passed',
    binding: 'failed',
    access: 'not reached',
    spent: 'not reached',
    decision: 'failed',
  })
})

test('check.ts: a presenter is missed by the binding or the callers, when the token has passed', (t) => {
  const nobody = { presenter: null, peer: null }
  const bound = statesOf(denied('presenter_missing', nobody))
  t.like(bound, { presenter: 'failed', token: 'passed', binding: 'not reached' })
  const called = statesOf(denied('presenter_missing', { ...nobody, method: 'dpop' }))
  t.like(called, { presenter: 'failed', binding: 'passed', access: 'not reached' })
})

test('decision 0006: a proof that may have been spent is refused after access', (t) => {
  const jkt = { token: { ...allowed.token, confirmation: ['jkt'] } }
  t.like(statesOf(denied('proof_replayed', { ...jkt, method: 'dpop' })), {
    binding: 'passed',
    access: 'passed',
    spent: 'failed',
  })
  t.is(statesOf(denied('proof_invalid', { ...jkt, method: 'dpop' }))['spent'], 'failed')
  t.is(statesOf(denied('proof_invalid', jkt))['binding'], 'failed')
  t.is(statesOf(denied('state_unavailable', jkt))['binding'], 'failed')
  const feed = { detail: 'the revocations have not been read yet' }
  t.is(statesOf(denied('state_unavailable', feed))['revocation'], 'failed')
})

test('a check without an end of its own tells no step that nobody recorded', (t) => {
  const bare = { route: null, presenter: null, token: null, policy_revision: '' }
  for (const reason of ['deadline_exceeded', 'internal_error'] as const)
    t.like(statesOf(denied(reason, bare)), { question: 'passed', route: 'not reached' })
  t.like(statesOf(denied('overloaded', { ...bare, request: null })), { question: 'failed' })
})

test('RFC 7662: of an opaque token the step tells that its issuer was asked, and where', (t) => {
  const { document } = policyOf(
    policyText.replace(
      'keys: { file: jwks.json }',
      'introspection: { url: "https://idp.example/introspect", clientId: m, clientSecretFile: s }',
    ),
  )
  const line = lineOf({ token: { ...allowed.token, kid: null } })
  const told = (policy?: typeof document) =>
    walk(line, { policy }).find(({ step }) => step === 'token')?.words[0]
  t.is(told(document), 'issuer corp, by introspection at https://idp.example/introspect')
  t.is(told(), 'issuer corp, no key name')
  t.is(told(policyOf(policyText).document), 'issuer corp, no key name')
})

test('an allow: what the route does without is not needed', (t) => {
  t.like(statesOf(lineOf()), { binding: 'passed', access: 'passed', spent: 'not needed' })
  const proof = lineOf({ method: 'dpop', token: { ...allowed.token, confirmation: ['jkt'] } })
  t.is(statesOf(proof)['spent'], 'passed')
  const open = lineOf({ method: 'none', token: null, presenter: null })
  t.like(statesOf(open), { route: 'passed', credential: 'not needed', binding: 'not needed' })
  t.regex(wordsOf(open, 'route'), /require: none/)
  const unmatched = lineOf({ method: 'none', token: null, presenter: null, route: null })
  t.regex(wordsOf(unmatched, 'route'), /unmatched: allow/)
  const unbound = lineOf({ method: 'none', token: { ...allowed.token, confirmation: [] } })
  t.is(statesOf(unbound)['binding'], 'not needed')
})

test('policy.md, Modes: audit tells Envoy to allow, disabled looks at nothing', (t) => {
  const audit = explainAlone(denied('binding_mismatch', { mode: 'audit', enforced: false }))
  t.deepEqual([audit.decision, audit.told_envoy], ['deny', 'allow'])
  t.regex(audit.notes.join(), /Envoy was told to allow/)
  t.regex(audit.steps.at(-1)?.words.join() ?? '', /recorded only/)
  const withheld = { set: ['x-meshbind-presenter'], remove: ['authorization'] }
  const changed = explainAlone(lineOf({ mode: 'audit', enforced: false, withheld }))
  t.regex(changed.notes.join(), /set x-meshbind-presenter and removed authorization/)
  const none = { method: 'none', token: null, presenter: null, enforced: false }
  const disabled = explainAlone(lineOf({ ...none, mode: 'disabled' }))
  t.regex(disabled.notes.join(), /nothing was looked at/)
  t.is(disabled.steps.find(({ step }) => step === 'token')?.state, 'not needed')
})

test('the token’s life is told as of the decision', (t) => {
  t.regex(wordsOf(lineOf(), 'token'), /expires 2026-11-23T06:45:21Z: 4 min 48 s left/)
  const late = lineOf({ token: { ...allowed.token, expires_at: time - 7 } })
  t.regex(wordsOf(late, 'token'), /expired 7 s before, which clockSkew allowed/)
  t.deepEqual([0, 59, 60, 3601, 90_061].map(tellSpan), ['0 s', '59 s', '1 min', '1 h', '1 d 1 h'])
})

test('rotation and theft are told apart in words, with what the policy grants', (t) => {
  const presenter = { ...allowed.presenter, spiffe_id: thief }
  const line = denied('binding_mismatch', { presenter })
  const theft = explain({ line, policy, judgedHere: false })
  t.true(theft.notes[0]?.includes(`issued to ${orders}, and ${thief} presented it`))
  t.regex(theft.notes[1] ?? '', /this is another workload/)
  t.regex(explainAlone(line).notes[1] ?? '', /would be `binding_rotated`, if the policy/)
  const without = policyOf(policyText.replace('      identity: { claim: sub }\n', ''))
  const unknown = explain({ line, policy: without, judgedHere: false })
  t.regex(unknown.notes[1] ?? '', /has no `identity` in the policy/)

  const rotated = denied('binding_rotated')
  t.regex(explain({ line: rotated, policy, judgedHere: false }).notes.join(), /grants no grace/)
  const grace = policyOf(`${policyText}        rotation: { grace: 10m }\n`)
  t.regex(explain({ line: rotated, policy: grace, judgedHere: false }).notes.join(), /grace of 10m/)
})

test('the policy is shown as written where the reason hangs on it, beside the revision that decided', (t) => {
  const view = explain({ line: denied('caller_refused'), policy, judgedHere: false }).policy
  t.deepEqual(view, {
    name: 'shop',
    revision: 'bbbb',
    decided_under: 'aaaa',
    look_at: [{ path: 'spec.routes[pay].require.callers', value: [orders] }],
  })
  const keysOf = (line: DecisionLine) =>
    explain({ line, policy, judgedHere: false }).policy?.look_at.map(({ path }) => path)
  t.deepEqual(keysOf(denied('audience_mismatch', { token: null })), [
    'spec.issuers.corp.audiences',
    'spec.routes[pay].require.audiences',
  ])
  t.deepEqual(keysOf(denied('route_unmatched', { route: null })), [
    'spec.routes[pay].match',
    'spec.unmatched',
  ])
  t.deepEqual(keysOf(lineOf()), [])
  const hostile = { ...allowed.token, issuer: 'constructor' }
  t.notThrows(() => keysOf(denied('binding_mismatch', { token: hostile })))
})

test('contract §6: a line of another shape is refused by the name of its member, and not by its value', (t) => {
  const canary = 'canary-value'
  const wrong: { readonly [member: string]: unknown } = {
    v: 2,
    type: 'app',
    time: canary,
    decision: canary,
    enforced: canary,
    mode: canary,
    reason: canary,
    detail: 1,
    route: 'x'.repeat(5000),
    policy_revision: null,
    request: [],
    presenter: canary,
    peer: 1,
    forwards: [1],
    token: canary,
    method: 1,
    withheld: canary,
    duration_us: 1.5,
  }
  for (const [member, value] of Object.entries(wrong)) {
    const { message } = t.throws(() => lineOf({ [member]: value })) ?? { message: '' }
    t.true(message.includes(`\`${member}\``), message)
    t.false(message.includes(canary), message)
  }
  const token = { ...allowed.token, expires_at: 'soon' }
  t.throws(() => lineOf({ token }), { message: /`token\.expires_at` must be a whole number/ })
  t.throws(() => lineOf({ reason: 'token_expired' }), { message: /stands on a deny/ })
  t.throws(() => lineOf({ forwards: Array(65).fill('x') }), { message: /`forwards`/ })
  const { withheld: _, ...before } = allowed
  t.notThrows(() => readDecisionLine({ ...before, member_of_a_later_version: 1 }))
})
