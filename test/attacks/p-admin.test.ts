/**
 * Attack group P, 269 and 274: what the admin port can be asked, and what requests can make of its pages.
 *
 * cli/serve.test.ts has the six pages, three unknown paths and one POST; observe/metrics.test.ts the bound on names.
 */

import { connect } from 'node:net'
import { text } from 'node:stream/consumers'
import test, { type ExecutionContext } from 'ava'
import { createCheckClient } from '../support/check-client.ts'
import { type CheckRequestParts, encodeCheckRequest } from '../support/check-request.ts'
import { mountConfigMap } from '../support/config-map.ts'
import { createTestIssuer } from '../support/issuer.ts'
import { type RunningMeshbind, startMeshbind } from '../support/meshbind.ts'
import { createAuthority } from '../support/pki.ts'
import { basePolicy, ordersId } from '../support/world.ts'

const issuer = await createTestIssuer()
const authority = await createAuthority()
const orders = await authority.issue({ spiffeId: ordersId })
const pages = ['/', '/livez', '/readyz', '/metrics', '/policy', '/evidence']

interface Running {
  readonly meshbind: RunningMeshbind
  /** `host:port`. */
  readonly admin: string
  ask(question: CheckRequestParts): Promise<void>
  page(path: string): Promise<string>
}

async function start(t: ExecutionContext): Promise<Running> {
  const jwks = JSON.stringify(issuer.jwks)
  const map = await mountConfigMap({ 'policy.yaml': basePolicy, 'jwks.json': jwks })
  t.teardown(() => map.remove())
  const meshbind = await startMeshbind([
    ...['--policy', map.path('policy.yaml'), '--deadline', '10s'],
    ...['--listen', '127.0.0.1:0', '--admin', '127.0.0.1:0'],
  ])
  t.teardown(() => meshbind.stop())
  const admin = String((await meshbind.waitFor(({ admin }) => admin !== undefined))['admin'])
  const client = createCheckClient(meshbind.port)
  t.teardown(() => client.close())
  return {
    meshbind,
    admin,
    ask: async (question) => void (await client.ask(encodeCheckRequest(question))),
    page: async (path) => (await fetch(`http://${admin}${path}`)).text(),
  }
}

/** The answer to bytes that no client library would send. */
async function sendRaw(admin: string, bytes: string): Promise<string> {
  const [host = '', port] = admin.split(':')
  const socket = connect(Number(port), host)
  socket.end(bytes)
  return text(socket).catch(() => 'the connection was reset')
}

test.serial(
  'P274: no method but GET is taken on any page, and none changes anything',
  async (t) => {
    const { admin, page } = await start(t)
    const before = await page('/policy')
    for (const path of [...pages, '/policy/reload', '/quitquitquit', '/-/reload', '/debug/pprof'])
      for (const method of [
        'POST',
        'PUT',
        'PATCH',
        'DELETE',
        'OPTIONS',
        'HEAD',
        'PROPFIND',
        'QUERY',
      ]) {
        const answer = await sendRaw(
          admin,
          `${method} ${path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\nX-HTTP-Method-Override: GET\r\nContent-Length: 0\r\n\r\n`,
        )
        t.regex(answer, /^HTTP\/1\.1 405 /, `${method} ${path}`)
      }
    for (const first of [
      'TRACE / HTTP/1.1',
      'CONNECT a:1 HTTP/1.1',
      'get / HTTP/1.1',
      'PRI * HTTP/2.0',
    ])
      t.notRegex(
        await sendRaw(admin, `${first}\r\nHost: a\r\nConnection: close\r\n\r\n`),
        /^HTTP\/1\.1 2/,
        first,
      )
    t.is(await page('/policy'), before)
  },
)

test.serial(
  'P274: GET finds the six pages and nothing that changes, dumps or profiles',
  async (t) => {
    const { admin, page } = await start(t)
    const before = await page('/policy')
    const paths = [
      ...['/quitquitquit', '/shutdown', '/-/reload', '/-/quit', '/reload', '/policy/reload'],
      ...[
        '/debug/pprof/',
        '/heapdump',
        '/json/list',
        '/config_dump',
        '/env',
        '/logging?level=debug',
      ],
      ...[
        '/events',
        '/events/corp',
        '/revoke',
        '/rollout',
        '/favicon.ico',
        '/..%2fpolicy',
        '//policy',
      ],
      ...['/policy.yaml', '/jwks.json', '/%2e%2e/policy.yaml', '/policy%00', '/constructor'],
    ]
    for (const path of paths) {
      const answer = await sendRaw(
        admin,
        `GET ${path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n`,
      )
      t.regex(answer, /^HTTP\/1\.1 404 /, path)
    }
    t.is(await page('/policy'), before)
  },
)

test.serial(
  'P274: every page says that it is not to be kept, framed or guessed at, and names no key',
  async (t) => {
    const { admin } = await start(t)
    for (const path of pages) {
      const answer = await fetch(`http://${admin}${path}`)
      t.is(answer.status, 200, path)
      t.is(answer.headers.get('cache-control'), 'no-store')
      t.is(answer.headers.get('x-content-type-options'), 'nosniff')
      t.is(answer.headers.get('access-control-allow-origin'), null)
      const body = await answer.text()
      for (const part of [issuer.publicJwk.x, issuer.publicJwk.y, 'jwks.json', 'BEGIN '])
        t.false(body.includes(String(part)), path)
    }
  },
)

/** The series of an exposition without their values; each line of it must be of the format's grammar. */
function seriesOf(t: ExecutionContext, exposition: string): string[] {
  const sample =
    /^([a-zA-Z_:][\w:]*(?:\{(?:[a-zA-Z_]\w*="(?:[^"\\\n]|\\["\\n])*",?)*\})?) (?:[-+]?[\d.eE+-]+|[-+]Inf|NaN)$/
  const lines = exposition.split('\n').filter((line) => line !== '' && !line.startsWith('# '))
  return lines.map((line) => {
    t.regex(line, sample)
    return sample.exec(line)?.[1] ?? ''
  })
}

test.serial(
  'P269: thousands of issuers, keys, subjects, hosts, paths and methods add no series',
  async (t) => {
    t.timeout(110_000)
    const { ask, page } = await start(t)
    const peer = { certificate: orders.envoyText, principal: orders.spiffeId }
    const token = (claims: object, header: object = {}) =>
      issuer.sign({ cnf: { 'x5t#S256': orders.x5tS256 }, ...claims }, { ...header })
    const flood = async (n: number) => {
      const wild = `n${n}"\\\n{}<script>`
      await ask({ ...peer, token: await token({ iss: `https://${n}.example` }) })
      await ask({ ...peer, token: await token({}, { kid: wild }) })
      await ask({ ...peer, token: await token({ sub: wild, jti: wild }) })
      await ask({ ...peer, token: await token({ aud: wild }) })
      await ask({ host: `h${n}.example`, path: `/v1/payments/${n}`, method: `M${n}`, id: wild })
      await ask({ path: `/${wild}` })
      await ask({ path: `/none/${n}` })
      await ask({ path: '/public/a', headers: { [`x-meshbind-${n}`]: 'a', 'x-other': wild } })
      await ask({ principal: `spiffe://mesh.example/ns/${n}/sa/a`, path: '/identity' })
      await ask({ principal: wild, path: '/identity' })
    }
    await flood(0)
    const before = seriesOf(t, await page('/metrics'))
    for (let n = 1; n < 500; n += 10)
      await Promise.all(Array.from({ length: 10 }, (_, i) => flood(n + i)))
    const after = seriesOf(t, await page('/metrics'))
    const own = (series: readonly string[]) =>
      series.filter((name) => /^(meshbind|grpc)_/.test(name))
    t.deepEqual(own(after).toSorted(), own(before).toSorted())
    t.true(own(after).length > 50)
    const count = after.filter((name) => name.startsWith('nodejs_') || name.startsWith('process_'))
    t.true(count.length < 200)
    const report = await page('/')
    t.notRegex(report, /<script|<img|n1"/)
    t.true(report.length < 200_000)
    t.true((await page('/evidence')).length < 10_000)
  },
)
