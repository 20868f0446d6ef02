import test from 'ava'
import { audience } from '../support/issuer.ts'
import { createWorld, type Question } from '../support/world.ts'

/** Public rules before and after protected ones; some of each are limited to a host. */
const policy = `
apiVersion: meshbind/v1alpha1
kind: BindingPolicy
metadata: { name: shop }
spec:
  trustDomains: [mesh.example]
  issuers:
    corp: { issuer: https://idp.example, audiences: [${audience}], keys: { file: jwks.json } }
  routes:
    - name: public
      match: { hosts: [payments.mesh.example], paths: [/public/*, /healthz] }
      require: none
    - name: anyone-reads
      match: { hosts: [payments.mesh.example], methods: [GET], paths: [/docs/*] }
      require: none
    - name: open-host
      match: { hosts: [open.mesh.example, "*.open.mesh.example"] }
      require: none
    - name: admin
      match: { hosts: [payments.mesh.example], paths: [/admin, /admin/*] }
      require: { issuers: [corp], bindings: ["x5t#S256"] }
    - name: rest
      match: { hosts: [payments.mesh.example] }
      require: { issuers: [corp], bindings: ["x5t#S256"] }
`

const world = await createWorld({ policy })
const token = await world.token()

/** `allow <route>` or the reason, for a request that brings no token. */
async function without(question: Question): Promise<string> {
  const { allowed, reason, line } = await world.ask({ method: 'GET', ...question })
  return allowed ? `allow ${JSON.parse(line).route}` : reason
}

async function withToken(question: Question): Promise<string> {
  return without({ ...question, token })
}

const canonicalOnly = 'path_not_canonical'
const needsToken = 'credential_missing'

test('N244-N247: the controls: public is open, the rest is allowed with a bound token only', async (t) => {
  for (const path of ['/public/a', '/public/', '/healthz', '/healthz?x=1', '/public/a%20b'])
    t.is(await without({ path }), 'allow public', path)
  for (const path of [
    '/admin',
    '/admin/users',
    '/',
    '/publicx',
    '/public',
    '/healthz/',
    '/Public/a',
  ])
    t.is(await without({ path }), needsToken, path)
  t.is(await withToken({ path: '/admin/users' }), 'allow admin')
  t.is(await withToken({ path: '/anything' }), 'allow rest')
  t.is(await without({ path: '/any', host: 'open.mesh.example' }), 'allow open-host')
})

test('N244: no path, no method, no host: request_malformed, also for CONNECT', async (t) => {
  t.is(await without({ path: '' }), 'request_malformed')
  t.is(await without({ method: 'CONNECT', path: '' }), 'request_malformed')
  t.is(await without({ method: '' }), 'request_malformed')
  t.is(await without({ host: '', path: '/public/a' }), 'request_malformed')
  t.is(await without({ method: 'CONNECT', path: 'payments.mesh.example:443' }), canonicalOnly)
})

test('N245: a method in another spelling, unknown or overridden by a header meets no rule of another method', async (t) => {
  const path = '/docs/a'
  t.is(await without({ path, method: 'GET' }), 'allow anyone-reads')
  for (const method of ['get', 'Get', 'GET ', ' GET', 'GET\0', 'HEAD', 'POST', 'BREW', 'GETX'])
    t.is(await without({ path, method }), needsToken, JSON.stringify(method))
  const override = ['x-http-method-override', 'x-http-method', 'x-method-override', ':method']
  for (const name of override)
    t.is(await without({ path, method: 'POST', headers: { [name]: 'GET' } }), needsToken, name)
})

const rewriting = [
  ...['x-original-url', 'x-rewrite-url', 'x-envoy-original-path', 'x-forwarded-uri', ':path'],
  ...['x-original-uri', 'x-forwarded-path', 'x-forwarded-prefix', 'x-accel-redirect', 'referer'],
]
const rehosting = [
  'x-forwarded-host',
  'x-host',
  'forwarded',
  'x-original-host',
  'host',
  ':authority',
]

test('N246: headers that claim another path or host open nothing', async (t) => {
  for (const name of rewriting) {
    const headers = { [name]: '/public/a' }
    t.is(await without({ path: '/admin', headers }), needsToken, name)
    const rawHeaders = [[name, '/public/a'] as const]
    t.is(await without({ path: '/admin', rawHeaders }), needsToken, name)
  }
  for (const name of rehosting) {
    const value = name === 'forwarded' ? 'host=open.mesh.example' : 'open.mesh.example'
    t.is(await without({ path: '/admin', headers: { [name]: value } }), needsToken, name)
  }
})

test('N246: headers that claim another path or host close nothing either', async (t) => {
  for (const name of rewriting)
    t.is(
      await without({ path: '/public/a', headers: { [name]: '/../admin' } }),
      'allow public',
      name,
    )
})

test('N247: a host in any spelling of its own meets its own rules', async (t) => {
  const spellings = ['payments.mesh.example:443', 'PAYMENTS.Mesh.Example', 'payments.mesh.example.']
  for (const host of [...spellings, 'Payments.mesh.example.:8443', 'payments.mesh.example:']) {
    t.is(await without({ host, path: '/admin' }), needsToken, host)
    t.is(await withToken({ host, path: '/admin' }), 'allow admin', host)
    t.is(await without({ host, path: '/public/../admin' }), canonicalOnly, host)
    t.is(await without({ host, path: '/public/a' }), 'allow public', host)
  }
})

test('N247: two hosts, userinfo and what is no host are refused', async (t) => {
  const both = ['open.mesh.example', 'payments.mesh.example']
  const lists = [both.join(','), both.join(', '), both.join(' '), both.join('\0'), both.join('@')]
  const odd = [
    'x@open.mesh.example',
    'open.mesh.example/',
    'open.mesh.example#',
    '.open.mesh.example',
  ]
  for (const host of [...lists, ...odd, 'open.mesh.example..', 'open.mesh.example:80:80', '\ufffd'])
    t.is(await without({ host, path: '/admin' }), 'request_malformed', JSON.stringify(host))
})

test('N247: a look-alike of an open host is not open', async (t) => {
  const alike = [
    'xopen.mesh.example',
    'open.mesh.example.evil',
    'openXmesh.example',
    'mesh.example',
  ]
  for (const host of alike) t.is(await without({ host, path: '/admin' }), 'route_unmatched', host)
  t.is(await without({ host: 'a.b.open.mesh.example', path: '/' }), 'allow open-host')
})
