import test, { type ExecutionContext } from 'ava'
import { fetchDiscoveredKeys } from '../../src/token/discovery.ts'
import { type JsonServer, serveJson } from '../support/issuer.ts'

const wellKnown = '/.well-known/openid-configuration'
const jwks = { keys: [{ kid: 'k1' }] }

/** An issuer whose metadata is what `metadata` makes of the server's own address. */
async function discover(
  t: ExecutionContext,
  metadata: (url: string) => unknown,
  suffix = '',
): Promise<{ result: string; server: JsonServer }> {
  const server = await serveJson((path) => {
    if (path === `${suffix.replace(/\/$/, '')}${wellKnown}`) return metadata(server.url)
    return path === '/jwks' ? jwks : undefined
  })
  t.teardown(() => server.close())
  const result = await fetchDiscoveredKeys(`${server.url}${suffix}`).then(
    ({ bytes }) => Buffer.from(bytes).toString(),
    (error: Error) => error.message,
  )
  return { result, server }
}

test('L209: the set is fetched from the jwks_uri of the metadata of the issuer itself', async (t) => {
  for (const suffix of ['', '/', '/realms/shop']) {
    const { result, server } = await discover(
      t,
      (url) => ({ issuer: `${url}${suffix}`, jwks_uri: `${url}/jwks` }),
      suffix,
    )
    t.is(result, JSON.stringify(jwks), suffix)
    t.deepEqual(server.paths, [`${suffix.replace(/\/$/, '')}${wellKnown}`, '/jwks'])
  }
})

test('L209: metadata that names another issuer is refused, byte for byte', async (t) => {
  const others = ['https://evil.example', `URL/`, 'URL/x', 'HTTP', '', undefined, null, ['URL']]
  for (const other of others) {
    const { result, server } = await discover(t, (url) => ({
      issuer: JSON.parse(JSON.stringify(other ?? null).replace('URL', url)),
      jwks_uri: `${url}/jwks`,
    }))
    t.is(result, 'the discovery document names another issuer', JSON.stringify(other))
    t.deepEqual(server.paths, [wellKnown])
  }
})

test('L209: a jwks_uri of another origin is refused and never asked', async (t) => {
  const other = await serveJson(() => jwks)
  t.teardown(() => other.close())
  const uris = (url: string) => [
    `${other.url}/jwks`,
    `${url.replace('http:', 'https:')}/jwks`,
    `${url.replace('127.0.0.1', 'localhost')}/jwks`,
    `${url.replace('127.0.0.1', '127.0.0.2')}/jwks`,
    'http://169.254.169.254/jwks',
    'https://169.254.169.254/jwks',
    'file:///etc/passwd',
    'data:application/json,{}',
    `//${new URL(other.url).host}/jwks`,
    `http://${new URL(url).host}@${new URL(other.url).host}/jwks`,
  ]
  for (let i = 0; i < uris('http://127.0.0.1:1').length; i++) {
    const { result, server } = await discover(t, (url) => ({ issuer: url, jwks_uri: uris(url)[i] }))
    t.regex(result, /^(jwks_uri is of another origin|the discovery document has no jwks_uri)/)
    t.deepEqual(server.paths, [wellKnown])
  }
  t.deepEqual(other.paths, [])
})

test('L209: metadata without a jwks_uri, and what is no strict JSON, is refused', async (t) => {
  for (const jwksUri of [undefined, '', 7, null, 'jwks', '/jwks', ['x']]) {
    const { result } = await discover(t, (url) => ({ issuer: url, jwks_uri: jwksUri }))
    t.is(result, 'the discovery document has no jwks_uri', JSON.stringify(jwksUri))
  }
  const texts = ['<html>', '[]', 'null', '{"issuer":"a","issuer":"b"}', '{"issuer":1e400}', '{']
  for (const text of texts)
    t.is((await discover(t, () => text)).result, 'the discovery document is not strict JSON', text)
})

test('L209: members with the names of the object prototype are not metadata', async (t) => {
  const { result } = await discover(
    t,
    (url) => `{"__proto__":{"issuer":"${url}","jwks_uri":"${url}/jwks"}}`,
  )
  t.is(result, 'the discovery document names another issuer')
})

test('L209: missing metadata is a failure', async (t) => {
  t.regex((await discover(t, () => undefined)).result, /^answered 404/)
})
