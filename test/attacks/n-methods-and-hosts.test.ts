import test from 'ava'
import {
  assertControls,
  canonicalOnly,
  needsToken,
  without,
  withToken,
} from '../support/paths-world.ts'

test(
  'N244-N247: the controls: public is open, the rest is allowed with a bound token only',
  assertControls,
)

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
