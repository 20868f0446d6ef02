/** What comes of a decision in each mode (policy.md, Modes; contract §4): what Envoy is told, and what is recorded. */

import test from 'ava'
import { giveUp } from '../src/answer.ts'
import { type Decision, refuse } from '../src/decision/decision.ts'
import { encodeCheckResponse } from '../src/wire/encode.ts'
import { decodeCheckResponse } from './support/check-request.ts'
import { edit } from './support/policy-text.ts'
import { basePolicy, createWorld, headerOf, type Verdict, type World } from './support/world.ts'

const withSpec = (mode: string) =>
  edit(basePolicy, '  trustDomains:', `  mode: ${mode}\n  trustDomains:`)
/** The routes that protect something, each by its own mode. */
const withRoutes = (mode: string, policy = basePolicy) =>
  ['identity', 'any-binding', 'bound', 'privileged'].reduce(
    (text, name) =>
      edit(text, `    - name: ${name}\n`, `    - name: ${name}\n      mode: ${mode}\n`),
    policy,
  )
const path = '/v1/payments'
const told = ({ line }: Verdict) => JSON.parse(line)

async function worlds(policy: string): Promise<{ world: World; stolen: string; own: string }> {
  const world = await createWorld({ policy })
  return { world, stolen: await world.token(), own: await world.token() }
}

test('policy.md, Modes: audit lets a stolen token through, and records the refusal that it would have been', async (t) => {
  const { world, stolen } = await worlds(withRoutes('audit'))
  const verdict = await world.ask({ path, token: stolen, as: world.thief })
  t.true(verdict.allowed)
  t.is(verdict.response.http_response, 'ok_response')
  const { decision, enforced, mode, reason, route, presenter } = told(verdict)
  t.deepEqual(
    { decision, enforced, mode, reason, route },
    {
      decision: 'deny',
      enforced: false,
      mode: 'audit',
      reason: 'binding_mismatch',
      route: 'bound',
    },
  )
  t.is(presenter.spiffe_id, world.thief.spiffeId)
})

test('policy.md, Modes: disabled allows without looking, and says no more than that', async (t) => {
  const { world, stolen } = await worlds(withRoutes('disabled'))
  for (const question of [{ token: stolen }, {}, { token: 'not a token' }]) {
    const verdict = await world.ask({ path, ...question, as: world.thief })
    t.true(verdict.allowed)
    const { decision, enforced, mode, reason, method, presenter } = told(verdict)
    t.deepEqual(
      { decision, enforced, mode, reason, method, presenter },
      {
        decision: 'allow',
        enforced: false,
        mode: 'disabled',
        reason: null,
        method: 'none',
        presenter: null,
      },
    )
  }
})

test('policy.md: spec.mode is the default, and a route’s own mode stands against it', async (t) => {
  const loose = await worlds(withSpec('audit'))
  t.true((await loose.world.ask({ path })).allowed)
  const strict = edit(
    withSpec('audit'),
    '    - name: bound\n',
    '    - name: bound\n      mode: enforce\n',
  )
  const { world } = await worlds(strict)
  t.is((await world.ask({ path })).reason, 'credential_missing')
  t.false((await world.ask({ path })).allowed)
  t.true((await world.ask({ path: '/any' })).allowed)
})

for (const mode of ['enforce', 'audit', 'disabled']) {
  test(`contract §4: in mode ${mode} every allow takes off the headers that only meshbind may set`, async (t) => {
    const { world, own } = await worlds(withRoutes(mode))
    const headers = { 'x-meshbind-presenter': 'spiffe://evil', 'x-meshbind-role': 'admin' }
    const { response, allowed } = await world.ask({ path, token: own, headers })
    t.true(allowed)
    t.deepEqual(response.ok_response?.headers_to_remove.toSorted(), [
      'x-meshbind-presenter',
      'x-meshbind-role',
    ])
  })
}

test('contract §4: a refusal that is only recorded takes them off too, and sets nothing', async (t) => {
  const { world, stolen } = await worlds(withRoutes('audit'))
  const headers = { 'x-meshbind-presenter': 'spiffe://evil', 'x-meshbind-role': 'admin' }
  const { response } = await world.ask({ path: '/admin', token: stolen, as: world.thief, headers })
  t.deepEqual(response.ok_response?.headers_to_remove.toSorted(), [
    'x-meshbind-presenter',
    'x-meshbind-role',
  ])
  t.is(headerOf(response, 'x-meshbind-presenter'), '')
  t.is(headerOf(response, 'www-authenticate'), '')
})

test('issue: audit records everything that enforce would have changed: headers set and removed', async (t) => {
  const claims = { scope: 'admin.write', tenant: 'acme' }
  const audit = await worlds(withRoutes('audit'))
  const watched = await audit.world.ask({ path: '/admin', token: await audit.world.token(claims) })
  t.is(headerOf(watched.response, 'x-meshbind-presenter'), '')
  t.deepEqual(watched.response.ok_response?.headers_to_remove, ['x-meshbind-presenter'])
  t.deepEqual(told(watched).withheld, {
    set: ['x-meshbind-presenter'],
    remove: ['authorization', 'dpop'],
  })
  t.is(told(watched).decision, 'allow')

  const enforced = await worlds(basePolicy)
  const changed = await enforced.world.ask({
    path: '/admin',
    token: await enforced.world.token(claims),
  })
  t.is(headerOf(changed.response, 'x-meshbind-presenter'), enforced.world.orders.spiffeId)
  t.deepEqual(changed.response.ok_response?.headers_to_remove, ['authorization', 'dpop'])
  t.is(told(changed).withheld, null)
})

test('policy.md, Modes: route_unmatched follows spec.mode', async (t) => {
  const path = '/nowhere'
  const enforce = await worlds(withRoutes('audit'))
  t.false((await enforce.world.ask({ path })).allowed)
  const audit = await worlds(withSpec('audit'))
  const watched = await audit.world.ask({ path })
  t.true(watched.allowed)
  t.is(told(watched).reason, 'route_unmatched')
  const disabled = await worlds(withSpec('disabled'))
  const unseen = await disabled.world.ask({ path })
  t.true(unseen.allowed)
  t.is(told(unseen).reason, null)
})

test('policy.md, Modes: another spelling of a path is enforced unless all that could serve the host, and spec.mode, do not enforce', async (t) => {
  const path = '/v1/../nowhere'
  const everyRoute = withRoutes(
    'audit',
    edit(
      withSpec('audit'),
      '{ paths: [/public/*, /healthz] }\n',
      '{ paths: [/public/*, /healthz] }\n      mode: audit\n',
    ),
  )
  const cases: readonly (readonly [policy: string, allowed: boolean])[] = [
    [basePolicy, false],
    [everyRoute, true],
    // A path of no route would pass in another spelling: what no route matches is enforced here.
    [withRoutes('audit'), false],
    [
      edit(
        everyRoute,
        '    - name: bound\n      mode: audit\n',
        '    - name: bound\n      mode: enforce\n',
      ),
      false,
    ],
  ]
  for (const [policy, allowed] of cases) {
    const { world } = await worlds(policy)
    const verdict = await world.ask({ path })
    t.is(verdict.allowed, allowed)
    t.is(told(verdict).reason, 'path_not_canonical')
    t.is(told(verdict).enforced, !allowed)
  }
})

test('policy.md, Paths and hosts: a route of another host that enforces does not make the path rule one of this host', async (t) => {
  const audit = withRoutes('audit', withSpec('audit'))
  const policy = `${edit(audit, '    - name: public\n', '    - name: public\n      mode: audit\n')}    - name: elsewhere
      mode: enforce
      match: { hosts: [other.example] }
      require: { issuers: [corp], bindings: [jwk] }
`
  const { world } = await worlds(policy)
  const path = '/v1//payments'
  t.true((await world.ask({ path, host: 'payments.example' })).allowed)
  t.false((await world.ask({ path, host: 'other.example' })).allowed)
  t.false((await world.ask({ path, host: 'OTHER.example.:443' })).allowed)
})

test('policy.md, Modes: what is no question is enforced unless every route and spec.mode do not enforce', async (t) => {
  const bytes = Buffer.from('not protobuf at all')
  const loose = edit(
    withSpec('audit'),
    '    - name: public\n',
    '    - name: public\n      mode: disabled\n',
  )
  for (const [policy, allowed] of [
    [basePolicy, false],
    [withRoutes('audit'), false],
    [loose, true],
    [edit(loose, '    - name: bound\n', '    - name: bound\n      mode: enforce\n'), false],
  ] as const) {
    const { world } = await worlds(policy)
    const verdict = await world.askBytes(bytes)
    t.is(verdict.allowed, allowed)
    t.is(told(verdict).reason, 'request_malformed')
    if (allowed)
      t.deepEqual(verdict.response.ok_response?.headers_to_remove.toSorted(), [
        'x-meshbind-presenter',
        'x-meshbind_presenter',
        'x_meshbind-presenter',
        'x_meshbind_presenter',
      ])
  }
})

/** What becomes of a check that is given up. */
async function givenUp(
  policy: string,
  path: string,
  reason: 'deadline_exceeded' | 'internal_error',
) {
  const { world } = await worlds(policy)
  const request = world.requestOf({ path })
  const decision: Decision = giveUp(
    world.policy,
    world.tools.proofs.nonces,
    refuse(reason),
    request,
    world.now(),
  )
  const { status } = decodeCheckResponse(encodeCheckResponse(decision, 'decision-1'))
  return { allowed: status?.code === 0, decision }
}

for (const reason of ['deadline_exceeded', 'internal_error'] as const) {
  test(`policy.md, Modes: audit covers ${reason} too, on its own routes`, async (t) => {
    const policy = edit(basePolicy, '    - name: bound\n', '    - name: bound\n      mode: audit\n')
    const watched = await givenUp(policy, path, reason)
    t.true(watched.allowed)
    t.like(watched.decision, { verdict: 'deny', reason, mode: 'audit', enforced: false })
    t.like(watched.decision.findings, { route: 'bound' })
    t.false((await givenUp(policy, '/any', reason)).allowed)
    t.false((await givenUp(basePolicy, path, reason)).allowed)
    t.false((await givenUp(policy, '/v1//payments', reason)).allowed)
  })
}

test('policy.md, Proofs: with `nonce: required` an answer of mode audit carries a fresh nonce, or nobody could ever pass', async (t) => {
  const policy = `${withRoutes('audit')}    - name: proofs
      mode: audit
      match: { paths: [/proofs] }
      require: { issuers: [corp], bindings: [dpop] }
  dpop: { origins: [https://payments.example], nonce: required }
`
  const { world } = await worlds(policy)
  const { response, allowed } = await world.ask({ path: '/proofs' })
  t.true(allowed)
  const added = response.ok_response?.response_headers_to_add ?? []
  t.regex(
    added.find(({ header }) => header.key === 'dpop-nonce')?.header.value ?? '',
    /^[\w-]{20,}$/,
  )
})
