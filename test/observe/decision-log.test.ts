import { readFileSync } from 'node:fs'
import test from 'ava'
import { denyOutright } from '../../src/decision/decision.ts'
import { decisionLine, isLogged } from '../../src/observe/decision-log.ts'
import { createWorld, thiefId } from '../support/world.ts'

interface Schema {
  readonly type?: string | readonly string[]
  readonly const?: unknown
  readonly enum?: readonly unknown[]
  readonly required?: readonly string[]
  readonly properties?: { readonly [name: string]: Schema }
  readonly items?: Schema
}

const schema: Schema = JSON.parse(
  readFileSync(new URL('../../docs/decision-log.schema.json', import.meta.url), 'utf8'),
)

function typeOf(value: unknown): string {
  if (value === null) return 'null'
  if (Array.isArray(value)) return 'array'
  return Number.isInteger(value) ? 'integer' : typeof value
}

/** The few keywords that the published schema uses; a keyword that it does not know would be caught by the last test. */
function violations(value: unknown, rule: Schema, at = '$'): string[] {
  if (rule.const !== undefined && value !== rule.const) return [`${at} is not ${rule.const}`]
  if (rule.enum !== undefined && !rule.enum.includes(value))
    return [`${at} is none of ${rule.enum}`]
  if (rule.type !== undefined && ![rule.type].flat().includes(typeOf(value)))
    return [`${at} is ${typeOf(value)}`]
  if (Array.isArray(value))
    return value.flatMap((item, i) => violations(item, rule.items ?? {}, `${at}[${i}]`))
  if (rule.properties === undefined || typeof value !== 'object' || value === null) return []
  const known = rule.properties
  const missing = (rule.required ?? [])
    .filter((name) => !Object.hasOwn(value, name))
    .map((name) => `${at}.${name} is missing`)
  return [
    ...missing,
    ...Object.entries(value).flatMap(([name, item]) =>
      known[name] === undefined
        ? [`${at}.${name} is unknown`]
        : violations(item, known[name], `${at}.${name}`),
    ),
  ]
}

test('contract §6: lines of every kind of decision fit the published schema', async (t) => {
  const world = await createWorld()
  const verdicts = [
    await world.ask({ token: await world.token() }),
    await world.ask({ token: await world.token(), as: world.thief }),
    await world.ask({ path: '/public/x' }),
    await world.ask({ as: null }),
    await world.ask({ path: '/nowhere' }),
    await world.askBytes(Buffer.from('no question')),
  ]
  t.deepEqual(
    verdicts.map(({ reason }) => reason),
    ['', 'binding_mismatch', '', 'credential_missing', 'route_unmatched', 'request_malformed'],
  )
  for (const { line } of verdicts) {
    t.false(line.includes('\n'))
    t.deepEqual(violations(JSON.parse(line), schema), [], line)
  }
})

test('contract §6: the line of a stolen token names the thief, the owner and the reason', async (t) => {
  const world = await createWorld()
  const { line } = await world.ask({
    token: await world.token({ jti: 'abc' }),
    as: world.thief,
    path: '/v1/payments?q=1',
  })
  t.like(JSON.parse(line), {
    decision: 'deny',
    reason: 'binding_mismatch',
    route: 'bound',
    request: { path: '/v1/payments' },
    presenter: { spiffe_id: thiefId, x5t_s256: world.thief.x5tS256, evidence: 'certificate' },
    token: { issuer: 'corp', jti_hash: 'ungWv48Bz-pBQUDeXa4iI7', confirmation: ['x5t#S256'] },
    trace_id: '4bf92f3577b34da6a3ce929d0e0e4736',
  })
})

test('catalogue 266: no part of a token, certificate, query or header is in a line', async (t) => {
  const world = await createWorld()
  const token = await world.token({ jti: 'canary-jti' })
  const headers = { cookie: 'canary-cookie', 'x-api-key': 'canary-key' }
  for (const as of [world.orders, world.thief]) {
    const { line } = await world.ask({ token, as, headers, path: '/v1/payments?key=canary-query' })
    const secrets = [
      ...token.split('.'),
      ...(as.envoyText.match(/[A-Za-z0-9]{40,}/g) ?? []),
      'canary',
    ]
    for (const secret of secrets) t.false(line.includes(secret), secret.slice(0, 20))
  }
})

test('catalogue 267, 268: hostile texts stay one JSON line of bounded length', async (t) => {
  const world = await createWorld()
  const hostile = 'a\r\n{"type":"decision"}\u2028\u001b[31m"'
  const token = await world.token({ sub: `${hostile}${'x'.repeat(1500)}` })
  const { line } = await world.ask({ token, id: hostile, host: `h${'o'.repeat(5000)}` })
  t.true(line.length < 6000)
  t.is(line.split('\n').length, 1)
  t.is(JSON.parse(line).request.id, hostile)
})

test('contract §3: the decision log modes', (t) => {
  const deny = denyOutright('overloaded')
  const allow = { ...deny, verdict: 'allow' } as unknown as Parameters<typeof isLogged>[1]
  const logged = (mode: Parameters<typeof isLogged>[0]) =>
    [0, 1, 2].map((count) => isLogged(mode, allow, count))
  t.deepEqual(logged({ kind: 'all' }), [true, true, true])
  t.deepEqual(logged({ kind: 'deny' }), [false, false, false])
  t.deepEqual(logged({ kind: 'sample', every: 2 }), [true, false, true])
  t.true(isLogged({ kind: 'sample', every: 2 }, deny, 1))
  t.false(isLogged({ kind: 'off' }, deny, 0))
  t.is(
    JSON.parse(
      decisionLine({
        id: 'x',
        decision: deny,
        request: undefined,
        time: 0,
        durationMicroseconds: 3,
      }),
    ).duration_us,
    3,
  )
})

test('the published schema uses no keyword that the check above passes over', (t) => {
  const known = new Set([
    '$schema',
    'title',
    'description',
    'format',
    'additionalProperties',
    'type',
    'const',
    'enum',
    'required',
    'properties',
    'items',
  ])
  const walk = (rule: Schema): void => {
    for (const keyword of Object.keys(rule)) t.true(known.has(keyword), keyword)
    for (const inner of Object.values(rule.properties ?? {})) walk(inner)
    if (rule.items !== undefined) walk(rule.items)
  }
  walk(schema)
})
