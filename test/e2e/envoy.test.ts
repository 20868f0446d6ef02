import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import anyTest, { type TestFn } from 'ava'
import { type AuthorizationServer, startServer } from '../../src/wire/server.ts'
import { canRunEnvoy, type Rig, startRig } from '../support/e2e.ts'
import type { Claims } from '../support/issuer.ts'
import { judgeBy } from '../support/judge.ts'
import { type Answer, type Call, call, secret } from '../support/mesh.ts'
import type { Leaf } from '../support/pki.ts'
import { thiefId } from '../support/world.ts'

const test = anyTest as TestFn<{ rig: Rig; broken: AuthorizationServer[] }>
const e2e = (await canRunEnvoy()) ? test.serial : test.serial.skip

test.before(async (t) => {
  if (!(await canRunEnvoy())) return
  const lenient = { failure_mode_allow: true }
  const rig = await startRig((socket, port, directory) => ({
    enforced: { authz: socket },
    tcp: { authz: port },
    joined: { authz: socket, filter: { encode_raw_headers: false } },
    blind: { authz: socket, filter: { include_peer_certificate: false } },
    optional: { authz: socket, requireClientCertificate: false },
    throwing: { authz: join(directory, 'throwing.sock'), filter: lenient },
    hanging: { authz: join(directory, 'hanging.sock'), filter: lenient },
  }))
  const broken = (name: string, decide: () => Promise<never>) =>
    startServer({
      addresses: [`unix:${join(rig.directory, name)}`],
      tls: undefined,
      judge: judgeBy(decide),
      onDecision: () => {},
      onError: () => {},
      onTlsProblem: () => {},
      deadlineMs: 100,
      maxInFlight: 16,
      clock: { now: Date.now, monotonic: () => performance.now() },
    })
  const throwing = await broken('throwing.sock', () => {
    throw new Error('a bug')
  })
  const hanging = await broken('hanging.sock', () => new Promise(() => {}))
  t.context = { rig, broken: [throwing, hanging] }
})

test.after.always(async (t) => {
  for (const server of t.context.broken ?? []) await server.drain(50)
  await t.context.rig?.close()
})

/** A token bound to the leaf, fit for every route of the policy but for what `claims` changes. */
function tokenFor(rig: Rig, leaf: Leaf, claims: Claims = {}): Promise<string> {
  return rig.issuer.sign({
    cnf: { 'x5t#S256': leaf.x5tS256 },
    scope: 'admin.write',
    tenant: 'acme',
    ...claims,
  })
}

type Request = Partial<Omit<Call, 'authority' | 'port'>> & {
  readonly listener?: string
  readonly token?: string
}

function send(
  { envoy, authority, orders }: Rig,
  { listener = 'enforced', token, headers, ...rest }: Request,
): Promise<Answer> {
  const authorization = token === undefined ? {} : { authorization: `Bearer ${token}` }
  const port = envoy.portOf(listener)
  return call({
    as: orders,
    path: '/v1/payments',
    ...rest,
    port,
    authority,
    headers: { ...authorization, ...headers },
  })
}

for (const listener of ['enforced', 'tcp', 'joined', 'optional']) {
  e2e(`RFC 8705 §3: the owner passes and a thief does not (listener ${listener})`, async (t) => {
    const { rig } = t.context
    const token = await tokenFor(rig, rig.orders)
    const owner = await send(rig, { listener, token })
    t.is(owner.status, 200)
    t.is(owner.body, secret)
    const stolen = await send(rig, { listener, token, as: rig.thief })
    t.is(stolen.status, 401)
    t.is(stolen.reason, 'binding_mismatch')
    t.not(stolen.body, secret)
  })
}

e2e(
  'contract §4: a refusal reaches the client with its status, challenge, type and decision id',
  async (t) => {
    const { rig } = t.context
    const answer = await send(rig, { token: await tokenFor(rig, rig.orders), as: rig.thief })
    t.is(answer.headers['content-type'], 'application/problem+json')
    t.is(answer.headers['cache-control'], 'no-store')
    t.is(
      answer.headers['www-authenticate'],
      'Bearer realm="shop", error="invalid_token", error_description="The token is bound to another workload"',
    )
    const body = JSON.parse(answer.body)
    t.is(body.decision_id, answer.headers['x-meshbind-decision-id'])
    const line = await rig.meshbind.waitFor((entry) => entry['decision_id'] === body.decision_id)
    t.like(line, { reason: 'binding_mismatch', presenter: { spiffe_id: thiefId } })
  },
)

const refusals: readonly (readonly [
  status: number,
  reason: string,
  challenge: RegExp | undefined,
  claims: Claims,
  path?: string,
])[] = [
  [401, 'binding_missing', /error="invalid_token"/, { cnf: undefined }],
  [401, 'token_expired', /error="invalid_token"/, { iat: 1_700_000_000, exp: 1_700_000_300 }],
  [401, 'audience_mismatch', /error="invalid_token"/, { aud: 'https://other.example' }],
  [401, 'issuer_unknown', /error="invalid_token"/, { iss: 'https://idp.example/' }],
  [
    403,
    'scope_insufficient',
    /error="insufficient_scope".*scope="admin.write"/,
    { scope: 'admin.read' },
    '/admin',
  ],
  [403, 'claim_refused', undefined, { tenant: 'other' }, '/admin'],
  [403, 'route_unmatched', undefined, {}, '/nowhere'],
  [403, 'path_not_canonical', undefined, {}, '/public/../v1/payments'],
  [403, 'path_not_canonical', undefined, {}, '//v1/payments'],
]

for (const [status, reason, challenge, claims, path] of refusals) {
  e2e(
    `contract §5: ${reason} is seen by the client as ${status}${path === undefined ? '' : ` at ${path}`}`,
    async (t) => {
      const { rig } = t.context
      const answer = await send(rig, {
        token: await tokenFor(rig, rig.orders, claims),
        ...(path === undefined ? {} : { path }),
      })
      t.is(answer.status, status)
      t.is(answer.reason, reason)
      if (challenge === undefined) t.is(answer.headers['www-authenticate'], undefined)
      else t.regex(String(answer.headers['www-authenticate']), challenge)
    },
  )
}

e2e('RFC 6750 §3.1: no credential is a bare challenge, two are an invalid request', async (t) => {
  const { rig } = t.context
  const missing = await send(rig, {})
  t.is(missing.status, 401)
  t.is(missing.headers['www-authenticate'], 'Bearer realm="shop"')
  const token = await tokenFor(rig, rig.orders)
  for (const listener of ['enforced', 'joined']) {
    const two = await send(rig, {
      listener,
      headers: { authorization: [`Bearer ${token}`, 'Bearer other'] },
    })
    t.is(two.status, 400)
    t.is(two.reason, 'credential_ambiguous')
  }
})

e2e(
  'contract §4: the upstream gets the presenter that meshbind saw, not the client’s word, and no token where it is removed',
  async (t) => {
    const { rig } = t.context
    const forged = { 'x-meshbind-presenter': thiefId, 'x-meshbind-other': 'forged' }
    const token = await tokenFor(rig, rig.orders)
    t.is((await send(rig, { token, path: '/admin', headers: forged })).status, 200)
    const privileged = rig.backend.seen.at(-1)?.headers
    t.is(privileged?.['x-meshbind-presenter'], rig.orders.spiffeId)
    t.is(privileged?.['x-meshbind-other'], undefined)
    t.is(privileged?.['authorization'], undefined)
    t.is((await send(rig, { path: '/public/page', headers: forged })).status, 200)
    const open = rig.backend.seen.at(-1)?.headers
    t.is(open?.['x-meshbind-presenter'], undefined)
    t.is(open?.['x-meshbind-other'], undefined)
  },
)

e2e(
  'policy.md, presenter 2: a TLS session resumed after the certificate’s notAfter is refused',
  async (t) => {
    const { rig } = t.context
    const notAfter = new Date(Date.now() + 5000)
    const brief = await rig.authority.issue({ spiffeId: rig.orders.spiffeId, notAfter })
    const token = await tokenFor(rig, brief)
    let session: Buffer | undefined
    const onSession = (ticket: Buffer) => {
      session = ticket
    }
    t.is((await send(rig, { as: brief, token, onSession })).status, 200)
    if (session === undefined) return t.fail('Envoy gave no session to resume')
    const before = await send(rig, { as: undefined, token, session })
    t.is(
      before.status,
      200,
      'the resumed session carries the identity while the certificate is valid',
    )
    await sleep(notAfter.getTime() + 1100 - Date.now())
    const after = await send(rig, { as: undefined, token, session })
    t.is(after.status, 401)
    t.is(after.reason, 'presenter_expired')
    return undefined
  },
)

e2e(
  'without evidence nothing is believed: no client certificate, or a filter that does not send it',
  async (t) => {
    const { rig } = t.context
    const token = await tokenFor(rig, rig.orders)
    const anonymous = await send(rig, { listener: 'optional', token, as: undefined })
    t.is(anonymous.reason, 'presenter_missing')
    const blind = await send(rig, { listener: 'blind', token })
    t.is(blind.status, 401)
    t.is(blind.reason, 'presenter_missing')
  },
)

e2e(
  'architecture §9: behind failure_mode_allow a check that throws or hangs is still denied',
  async (t) => {
    const { rig } = t.context
    const token = await tokenFor(rig, rig.orders)
    const thrown = await send(rig, { listener: 'throwing', token })
    t.is(thrown.status, 500)
    t.is(thrown.reason, 'internal_error')
    const hung = await send(rig, { listener: 'hanging', token })
    t.is(hung.status, 503)
    t.is(hung.reason, 'deadline_exceeded')
  },
)

e2e(
  'contract §4: every answer so far was valid under validate_mutations, and none was an error to Envoy',
  async (t) => {
    const stats = await t.context.rig.envoy.stats(
      'ext_authz\\.(invalid|error|failure_mode_allowed)$',
    )
    const seen = [...stats].filter(([name]) => /http\.\w+\.ext_authz\./.test(name))
    t.true(seen.length > 0)
    for (const [name, value] of seen) t.is(value, 0, name)
  },
)

e2e('contract §6: the log names every refusal and holds no token', async (t) => {
  const { rig } = t.context
  const token = await tokenFor(rig, rig.orders, { jti: 'canary-jti-5a1f' })
  await send(rig, {
    token,
    as: rig.thief,
    path: '/v1/payments?secret=canary-query-77',
    headers: { cookie: 'canary-cookie' },
  })
  await rig.meshbind.waitFor((line) => line['reason'] === 'binding_mismatch')
  const output = rig.meshbind.output()
  for (const canary of [
    ...token.split('.'),
    'canary-jti-5a1f',
    'canary-query-77',
    'canary-cookie',
    'BEGIN',
  ]) {
    t.false(output.includes(canary), canary.slice(0, 12))
  }
})

e2e(
  'contract §3: meshbind ends with exit code 0 at SIGTERM, and Envoy refuses while it is gone',
  async (t) => {
    const { rig } = t.context
    const token = await tokenFor(rig, rig.orders)
    t.is(await rig.meshbind.stop(), 0)
    const answer = await send(rig, { token })
    t.is(answer.status, 403)
    t.is(answer.reason, '')
  },
)
