import { execFile } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import test, { type ExecutionContext } from 'ava'
import { createDpopClient } from '../support/dpop.ts'
import { audience, createTestIssuer } from '../support/issuer.ts'
import { createAuthority, type Leaf } from '../support/pki.ts'

const main = fileURLToPath(new URL('../../src/main.ts', import.meta.url))
const ordersId = 'spiffe://mesh.example/ns/shop/sa/orders'

const policyText = `apiVersion: meshbind/v1alpha1
kind: BindingPolicy
metadata: { name: shop }
spec:
  trustDomains: [mesh.example]
  peer: { evidence: [certificate, principal] }
  issuers:
    corp:
      issuer: https://idp.example
      audiences: [${audience}]
      keys: { file: jwks.json }
      identity: { claim: sub }
  dpop: { origins: [https://payments.example] }
  routes:
    - name: open
      match: { paths: [/healthz] }
      require: none
    - name: watched
      match: { paths: [/watched] }
      mode: audit
      require: { issuers: [corp], bindings: ["x5t#S256"] }
    - name: pay
      match: { paths: [/v1/payments] }
      require: { issuers: [corp], bindings: ["x5t#S256", dpop] }
`

const directory = mkdtempSync(join(tmpdir(), 'meshbind-explain-'))
const write = (name: string, text: string) => writeFileSync(join(directory, name), text)

const issuer = await createTestIssuer()
const authority = await createAuthority()
const orders = await authority.issue({ spiffeId: ordersId })
const thief = await authority.issue({ spiffeId: 'spiffe://mesh.example/ns/web/sa/blog' })
const token = await issuer.sign({ cnf: { 'x5t#S256': orders.x5tS256 } })
const policy = ['--policy', 'policy.yaml']
write('policy.yaml', policyText)
write('jwks.json', JSON.stringify(issuer.jwks))
test.after.always(() => rmSync(directory, { recursive: true, force: true }))

interface Ended {
  /** null where it had to be killed because it did not end. */
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

function explain(input: string | object, ...args: readonly string[]): Promise<Ended> {
  const options = { cwd: directory, timeout: 60_000, killSignal: 'SIGKILL' as const }
  return new Promise((resolve) => {
    const child = execFile(
      process.execPath,
      [main, 'explain', '-', ...args],
      options,
      (error, stdout, stderr) =>
        resolve({ code: error?.killed ? null : child.exitCode, stdout, stderr }),
    )
    child.stdin?.on('error', () => {})
    child.stdin?.end(typeof input === 'string' ? input : JSON.stringify(input))
  })
}

interface Parts {
  readonly as?: Leaf
  readonly path?: string
  readonly headers?: { readonly [name: string]: string }
}

const question = ({ as = orders, path = '/v1/payments', headers = {} }: Parts = {}) => ({
  attributes: {
    source: { principal: as.spiffeId, certificate: as.envoyText },
    request: {
      http: {
        id: '1',
        method: 'POST',
        path,
        host: 'payments.example',
        headers: { authorization: `Bearer ${token}`, ...headers },
      },
    },
  },
})

/** No part of a token, a proof or a certificate, on either stream. */
function keepsSecrets(t: ExecutionContext, { stdout, stderr }: Ended, ...more: string[]): void {
  const bodies = [orders, thief].flatMap(
    ({ envoyText }) => envoyText.match(/[A-Za-z0-9]{40,}/g) ?? [],
  )
  for (const secret of [...token.split('.'), ...bodies, ...more])
    t.false((stdout + stderr).includes(secret), secret.slice(0, 16))
}

test('contract §1: a CheckRequest that the policy allows: every step ticked, exit 0', async (t) => {
  const ended = await explain(question(), ...policy)
  t.deepEqual([ended.code, ended.stderr], [0, ''])
  t.regex(ended.stdout, /^ALLOWED /)
  t.regex(ended.stdout, /✓ binding +x5t#S256: the token names the certificate of the presenter/)
  t.regex(ended.stdout, /policy +shop, revision [0-9a-f]{16}: the one that decided/)
  t.false(ended.stdout.includes('✗'))
  keepsSecrets(t, ended)
})

test('contract §1: a stolen token: crossed at the binding, with the advice, exit 1', async (t) => {
  const ended = await explain(question({ as: thief }), ...policy)
  t.is(ended.code, 1)
  t.regex(ended.stdout, /^DENIED {2}binding_mismatch /)
  t.regex(ended.stdout, /✓ token .*\n.*\n.*min.*left/)
  t.regex(ended.stdout, /✗ binding +binding_mismatch: The token is bound to another workload/)
  t.regex(ended.stdout, /· access +not reached/)
  t.regex(ended.stdout, /advice +THEFT/)
  t.regex(ended.stdout, /spec\.routes\[pay\]\.require\.bindings: \["x5t#S256","dpop"\]/)
  keepsSecrets(t, ended)
})

test('--output json is for programs: the same steps, machine-readable', async (t) => {
  const ended = await explain(question({ as: thief }), ...policy, '--output', 'json')
  t.is(ended.code, 1)
  const { decision, failure, steps } = JSON.parse(ended.stdout)
  t.like({ decision, ...failure }, { decision: 'deny', reason: 'binding_mismatch' })
  t.like(steps[6], { step: 'binding', state: 'failed' })
  keepsSecrets(t, ended)
})

test('--at judges at another time: how long the token has been dead is told, though it was refused', async (t) => {
  const at = new Date(Date.now() + 3_600_000).toISOString()
  const longLived = await authority.issue({
    spiffeId: ordersId,
    notAfter: new Date(Date.now() + 36_000_000),
  })
  const ended = await explain(question({ as: longLived }), ...policy, '--at', at)
  t.is(ended.code, 1)
  t.regex(ended.stdout, /✗ token +token_expired/)
  t.regex(ended.stdout, /unverified, the token says of itself:/)
  t.regex(ended.stdout, /exp \S+Z, 5\d min( \d+ s)? ago/)
  keepsSecrets(t, ended)
  for (const wrong of ['tomorrow', '2026-11-23', '1e9'])
    t.is((await explain(question(), ...policy, '--at', wrong)).code, 2, wrong)
})

test('policy.md, Modes: in audit the refusal is shown as recorded only, and the answer is still no', async (t) => {
  const ended = await explain(question({ as: thief, path: '/watched' }), ...policy)
  t.is(ended.code, 1)
  t.regex(ended.stdout, /^DENIED \(recorded only\) {2}binding_mismatch/)
  t.regex(ended.stdout, /Envoy was told to allow/)
})

test('a proof is judged as if it had never been used, however old this process is', async (t) => {
  const now = Math.floor(Date.now() / 1000)
  const client = await createDpopClient({ now: () => now })
  const bound = await issuer.sign({ cnf: { jkt: client.jkt } })
  const dpop = await client.proof(bound)
  const input = question({ headers: { authorization: `DPoP ${bound}`, dpop } })
  for (let i = 0; i < 2; i++) {
    const ended = await explain(input, ...policy, '--at', String(now))
    t.is(ended.code, 0, ended.stdout)
    t.regex(ended.stdout, /spent +not known here/)
    keepsSecrets(t, ended, ...dpop.split('.'), ...bound.split('.'))
  }
})

test('what serve logs, explain reads: a decision line, with and without the policy', async (t) => {
  const judged = await explain(question({ as: thief }), ...policy, '--output', 'json')
  const { policy: view } = JSON.parse(judged.stdout)
  const line = {
    v: 1,
    time: '2026-11-23T06:40:33.000Z',
    type: 'decision',
    decision_id: 'd-1',
    decision: 'deny',
    enforced: true,
    mode: 'enforce',
    reason: 'caller_refused',
    detail: null,
    route: 'pay',
    policy_revision: view.revision,
    request: { id: '1', method: 'GET', host: 'a\u001b[31mb', path: '/' },
    presenter: null,
    peer: null,
    forwards: [],
    actors: [],
    token: null,
    method: 'dpop',
    cache: null,
    duration_us: 1,
    trace_id: null,
    replica: 'r',
  }
  const alone = await explain(line)
  t.is(alone.code, 1)
  t.regex(alone.stdout, /decision d-1/)
  t.true(
    alone.stdout.includes('GET a\\u{1b}[31mb/'),
    'a terminal must not obey what a request said',
  )
  t.regex((await explain(line, ...policy)).stdout, /require\.callers: not set/)
  const other = { ...line, policy_revision: 'ffff' }
  t.regex((await explain(other, ...policy)).stdout, /ANOTHER than decided \(ffff\)/)
  t.is((await explain(line, '--at', '1')).code, 2)
  t.regex(
    (await explain(`${JSON.stringify(line)}\n${JSON.stringify(line)}`)).stderr,
    /more than one/,
  )
})

const canary = 'eyJjYW5hcnkiOiJ0b2tlbiJ9'
const bad: readonly (readonly [what: string, input: string, said: RegExp])[] = [
  ['nothing', '', /is empty/],
  ['no JSON', `{"attributes": ${canary}}`, /is not JSON/],
  ['a key twice', `{"attributes":{},"attributes":{"x":"${canary}"}}`, /without duplicate keys/],
  ['a list', `["${canary}"]`, /one JSON object/],
  ['an object of another kind', `{"${canary}":1}`, /neither a decision log line .* --example/],
  ['a CheckRequest with an unknown field', `{"attributes":{"${canary}.x":1}}`, /no such field/],
  ['an application message', `{"decision_id":"${canary}","type":"app","v":1}`, /`type` must be/],
]
for (const [what, input, said] of bad) {
  test(`contract §1: ${what} is bad input, exit 2, and is not repeated`, async (t) => {
    const { code, stdout, stderr } = await explain(input, ...policy)
    t.deepEqual([code, stdout], [2, ''])
    t.regex(stderr, said)
    t.false(stderr.includes(canary))
  })
}

test('contract §1: a CheckRequest needs a policy, and a valid one', async (t) => {
  const without = await explain(question())
  t.is(without.code, 2)
  t.regex(without.stderr, /give it with --policy/)
  write('broken.yaml', policyText.replace('audiences', 'audience'))
  const broken = await explain(question(), '--policy', 'broken.yaml')
  t.is(broken.code, 2)
  t.regex(broken.stderr, /broken\.yaml:\d+:\d+: error: unknown key `audience`/)
})

test('keys that cannot be read are told on standard error, and the decision is what a server would make', async (t) => {
  write('keyless.yaml', policyText.replace('jwks.json', 'none.json'))
  const { code, stdout, stderr } = await explain(question(), '--policy', 'keyless.yaml')
  t.is(code, 1)
  t.regex(stderr, /issuer corp: keys could not be read: .*none\.json/)
  t.regex(stdout, /✗ token +keys_unavailable/)
})
