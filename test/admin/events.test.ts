import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises'
import http, { type IncomingHttpHeaders, type RequestOptions } from 'node:http'
import https from 'node:https'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test, { type ExecutionContext } from 'ava'
import { type EventOutcome, type EventsOptions, startEvents } from '../../src/admin/events.ts'
import type { TlsFiles } from '../../src/tls-files.ts'
import { createKeySource } from '../../src/token/key-source.ts'
import { type EventRevocation, readSecurityEvent } from '../../src/token/security-event.ts'
import { createTestIssuer } from '../support/issuer.ts'
import { type Authority, createAuthority, type Leaf } from '../support/pki.ts'

const now = 1_800_000_000
const transmitter = await createTestIssuer('https://idp.example', { now: () => now })
const keys = createKeySource({
  load: async () => ({ bytes: Buffer.from(JSON.stringify(transmitter.jwks)) }),
  algorithms: ['ES256'],
  clock: () => now,
  refreshSeconds: 300,
})
await keys.tried
const authority = await createAuthority()

const stream = {
  issuer: transmitter.issuer,
  audience: 'https://meshbind.mesh.example',
  tokenIssuers: new Set([transmitter.issuer]),
  keys,
  clockSkewSeconds: 30,
}
const corp = { read: (text: string) => readSecurityEvent(text, stream, now) }
const sessionRevoked = 'https://schemas.openid.net/secevent/caep/event-type/session-revoked'
const set = await transmitter.sign(
  {
    aud: stream.audience,
    sub: undefined,
    exp: undefined,
    sub_id: { format: 'iss_sub', iss: transmitter.issuer, sub: 'jane' },
    events: { [sessionRevoked]: {} },
  },
  { typ: 'secevent+jwt' },
)
test.after.always(() => keys.close())

const revocation = { issuer: transmitter.issuer, subject: 'jane', before: now + 1 }

interface Answer {
  readonly status: number
  readonly headers: IncomingHttpHeaders
  readonly body: string
}

type Options = EventsOptions<EventRevocation>

async function startTestEvents(t: ExecutionContext, options: Partial<Options> = {}) {
  const stored: EventRevocation[] = []
  const outcomes: EventOutcome[] = []
  const problems: string[] = []
  const server = await startEvents<EventRevocation>({
    address: '127.0.0.1:0',
    tls: undefined,
    streams: () => new Map([['corp', corp]]),
    persist: async (revocations) => {
      stored.push(...revocations)
      return 'stored'
    },
    onEvent: (outcome) => outcomes.push(outcome),
    onTlsProblem: (message) => message !== undefined && problems.push(message),
    ...options,
  })
  t.teardown(() => server.close())
  return { ...server, port: Number(server.address.split(':')[1]), stored, outcomes, problems }
}

function send(
  port: number,
  body: string,
  options: https.RequestOptions & { readonly secure?: boolean } = {},
): Promise<Answer> {
  const client = options.secure === true ? https : http
  const settings: RequestOptions = {
    host: '127.0.0.1',
    port,
    path: '/events/corp',
    method: 'POST',
    agent: false,
    ...options,
    headers: { 'content-type': 'application/secevent+jwt', ...options.headers },
  }
  return new Promise((resolve, reject) => {
    const request = client.request(settings, (response) => {
      const chunks: Buffer[] = []
      response.on('data', (chunk: Buffer) => chunks.push(chunk))
      response.once('error', reject)
      response.once('end', () =>
        resolve({
          status: response.statusCode ?? 0,
          headers: response.headers,
          body: Buffer.concat(chunks).toString(),
        }),
      )
    })
    request.once('error', reject)
    request.end(body)
  })
}

test('RFC 8935 §2.2: a SET is stored, then acknowledged with 202 and an empty body', async (t) => {
  const { port, stored, outcomes } = await startTestEvents(t)
  const { status, body, headers } = await send(port, set)
  t.is(status, 202)
  t.is(body, '')
  t.is(headers['content-type'], undefined)
  t.deepEqual(stored, [revocation])
  t.deepEqual(outcomes, [{ stream: 'corp', result: 'accepted', revocations: 1 }])
})

test('RFC 8935 §2.2: a SET that comes again is answered as the first time', async (t) => {
  const { port, stored } = await startTestEvents(t)
  for (const _ of [1, 2]) t.is((await send(port, set)).status, 202)
  t.deepEqual(stored, [revocation, revocation])
})

test('RFC 8935 §2.3: an error has a code, a description in English, and nothing of the SET', async (t) => {
  const { port, stored, outcomes } = await startTestEvents(t)
  const secret = 'c2VjcmV0LXZhbHVl'
  const { status, headers, body } = await send(port, `${secret}.${secret}.${secret}`)
  t.is(status, 400)
  t.is(headers['content-type'], 'application/json')
  t.is(headers['content-language'], 'en')
  t.is(headers['cache-control'], 'no-store')
  t.deepEqual(JSON.parse(body), {
    err: 'invalid_request',
    description: 'the body is not a signed JWT of type secevent+jwt',
  })
  t.deepEqual(stored, [])
  const expected = { stream: 'corp', result: 'refused', err: 'invalid_request', revocations: 0 }
  t.deepEqual(outcomes, [expected] as EventOutcome[])
})

test('RFC 8935 §2.4: the code of the reader is handed on', async (t) => {
  const at = set.lastIndexOf('.') + 1
  const forged = set.slice(0, at) + (set[at] === 'A' ? 'B' : 'A') + set.slice(at + 1)
  const { port, stored } = await startTestEvents(t)
  const { status, body } = await send(port, forged)
  t.is(status, 400)
  t.is(JSON.parse(body).err, 'authentication_failed')
  t.deepEqual(stored, [])
})

for (const [title, options] of [
  ['cannot be stored', { persist: async () => 'unavailable' }],
  ['is stored by a store that fails', { persist: () => Promise.reject(new Error('down')) }],
  [
    'cannot be verified yet',
    { streams: () => new Map([['corp', { read: async () => 'unavailable' }]]) },
  ],
  [
    'breaks its reader',
    { streams: () => new Map([['corp', { read: () => Promise.reject(new Error('bug')) }]]) },
  ],
] as const) {
  test(`RFC 9110 §15.6.4: a SET that ${title} is to be sent again, not acknowledged`, async (t) => {
    const { port, outcomes } = await startTestEvents(t, options as Partial<Options>)
    const { status, headers, body } = await send(port, set)
    t.is(status, 503)
    t.is(headers['retry-after'], '10')
    t.is(body, '')
    t.deepEqual(outcomes, [{ stream: 'corp', result: 'unavailable', revocations: 0 }])
  })
}

test('an event that revokes nothing is acknowledged without the store', async (t) => {
  const persist = () => Promise.reject(new Error('not to be called'))
  const streams = () => new Map([['corp', { read: async () => ({ revocations: [] }) }]])
  const { port } = await startTestEvents(t, { persist, streams })
  t.is((await send(port, set)).status, 202)
})

test('contract §8: there is POST /events/<name> and nothing else', async (t) => {
  const { port, stored, outcomes } = await startTestEvents(t)
  const paths = ['/', '/events', '/events/', '/events/other', '/events/corp/', '/events/corp?a=b']
  for (const path of [...paths, '/events/CORP', '/livez', '/metrics', '//events/corp'])
    t.is((await send(port, set, { path })).status, 404, path)
  for (const method of ['GET', 'PUT', 'DELETE', 'OPTIONS']) {
    const { status, headers } = await send(port, '', { method })
    t.is(status, 405, method)
    t.is(headers.allow, 'POST')
  }
  t.deepEqual([stored, outcomes], [[], []])
})

test('RFC 8935 §2.1: the content type must be application/secevent+jwt', async (t) => {
  const { port, stored } = await startTestEvents(t)
  for (const type of ['application/jwt', 'application/json', '', 'application/secevent'])
    t.is((await send(port, set, { headers: { 'content-type': type } })).status, 400, type)
  t.deepEqual(stored, [])
  const spelled = 'Application/SecEvent+JWT; charset=utf-8'
  t.is((await send(port, set, { headers: { 'content-type': spelled } })).status, 202)
})

test('a body of 64 KiB is read whole, a byte more is not read', async (t) => {
  const read: string[] = []
  const reader = {
    async read(text: string) {
      read.push(text)
      return { revocations: [] }
    },
  }
  const { port, outcomes } = await startTestEvents(t, {
    streams: () => new Map([['corp', reader]]),
  })
  const fitting = 'a'.repeat(64 * 1024)
  t.is((await send(port, fitting)).status, 202)
  // The answer may be lost where the connection is closed upon what was sent too much.
  const status = await send(port, `${fitting}b`).then(
    (answer) => answer.status,
    () => 413,
  )
  t.is(status, 413)
  t.deepEqual(read, [fitting])
  t.is(outcomes[1]?.err, 'invalid_request')
})

test('a body that does not end within 5 s is given up, and others are answered meanwhile', async (t) => {
  const { port, stored } = await startTestEvents(t)
  const socket = connect(port, '127.0.0.1')
  t.teardown(() => socket.destroy())
  const head = 'POST /events/corp HTTP/1.1\r\nhost: a\r\ncontent-type: application/secevent+jwt\r\n'
  socket.write(`${head}content-length: ${set.length}\r\n\r\n${set.slice(0, -1)}`)
  t.is((await send(port, set)).status, 202)
  const said = await new Promise<string>((resolve) => {
    let text = ''
    socket.on('data', (chunk) => {
      text += chunk.toString()
    })
    socket.on('error', () => {})
    socket.once('close', () => resolve(text))
  })
  t.regex(said, /^HTTP\/1\.1 4\d\d /)
  t.deepEqual(stored, [revocation])
})

test('a client that leaves in the middle ends nothing', async (t) => {
  const { port, stored } = await startTestEvents(t)
  const socket = connect(port, '127.0.0.1')
  const head = 'POST /events/corp HTTP/1.1\r\nhost: a\r\ncontent-type: application/secevent+jwt\r\n'
  await new Promise<void>((resolve) =>
    socket.write(`${head}content-length: 9999\r\n\r\nabc`, () => resolve()),
  )
  socket.resetAndDestroy()
  t.is((await send(port, set)).status, 202)
  t.deepEqual(stored, [revocation])
})

test('the streams are those of the policy as it is now', async (t) => {
  let streams = new Map([['corp', corp]])
  const { port } = await startTestEvents(t, { streams: () => streams })
  t.is((await send(port, set)).status, 202)
  streams = new Map([['partner', corp]])
  t.is((await send(port, set)).status, 404)
  t.is((await send(port, set, { path: '/events/partner' })).status, 202)
})

test('a listener that throws costs the answer and not the process', async (t) => {
  const onEvent = () => {
    throw new Error('the log is full')
  }
  const { port, stored } = await startTestEvents(t, { onEvent })
  await t.throwsAsync(send(port, set))
  await t.throwsAsync(send(port, set))
  t.deepEqual(stored, [revocation, revocation])
})

test('an address that is taken is named in the error', async (t) => {
  const { address } = await startTestEvents(t)
  const error = await t.throwsAsync(startTestEvents(t, { address }))
  t.regex(error?.message ?? '', new RegExp(`^cannot listen on ${address}`))
})

async function writeTlsFiles(
  t: ExecutionContext,
  leaf: Leaf,
  clients?: Authority,
): Promise<TlsFiles> {
  const directory = await mkdtemp(join(tmpdir(), 'meshbind-events-'))
  t.teardown(() => rm(directory, { recursive: true, force: true }))
  const file = (name: string) => join(directory, name)
  await writeFile(file('cert.pem'), leaf.pem)
  await writeFile(file('key.pem'), leaf.keyPem)
  await chmod(file('key.pem'), 0o600)
  const clientCa = clients === undefined ? undefined : file('ca.pem')
  if (clientCa !== undefined) await writeFile(clientCa, clients?.certificatePem ?? '')
  return { certificate: file('cert.pem'), key: file('key.pem'), clientCa }
}

const issueServer = () => authority.issue({ names: [{ type: 'ip', value: '127.0.0.1' }] })
const trusting = { secure: true, ca: authority.certificatePem }

test('with TLS files the listener speaks TLS and nothing else', async (t) => {
  const tls = await writeTlsFiles(t, await issueServer())
  const { port } = await startTestEvents(t, { tls })
  t.is((await send(port, set, trusting)).status, 202)
  await t.throwsAsync(send(port, set))
  await t.throwsAsync(
    send(port, set, { ...trusting, maxVersion: 'TLSv1.1', minVersion: 'TLSv1.1' }),
  )
})

test('with a client CA only a client that it certified is heard', async (t) => {
  const tls = await writeTlsFiles(t, await issueServer(), authority)
  const { port, stored } = await startTestEvents(t, { tls })
  const known = await authority.issue({})
  const foreign = await (await createAuthority()).issue({})
  await t.throwsAsync(send(port, set, trusting))
  await t.throwsAsync(send(port, set, { ...trusting, cert: foreign.pem, key: foreign.keyPem }))
  t.deepEqual(stored, [])
  t.is((await send(port, set, { ...trusting, cert: known.pem, key: known.keyPem })).status, 202)
})

test('a certificate that is renewed on disk is in use soon, a broken one is passed over', async (t) => {
  const tls = await writeTlsFiles(t, await issueServer())
  const { port, problems } = await startTestEvents(t, { tls })
  const until = async (done: () => Promise<boolean> | boolean) => {
    while (!(await done())) await new Promise((resolve) => setTimeout(resolve, 100))
  }
  await writeFile(tls.certificate, 'half a file')
  await until(() => problems.length > 0)
  t.is((await send(port, set, trusting)).status, 202)
  const renewed = await createAuthority('next.example')
  const leaf = await renewed.issue({ names: [{ type: 'ip', value: '127.0.0.1' }] })
  await writeFile(tls.key, leaf.keyPem)
  await writeFile(tls.certificate, leaf.pem)
  const fresh = { secure: true, ca: renewed.certificatePem }
  await until(() =>
    send(port, set, fresh).then(
      () => true,
      () => false,
    ),
  )
  await t.throwsAsync(send(port, set, trusting))
})

test('TLS files that cannot be used at the start are an error', async (t) => {
  const tls = await writeTlsFiles(t, await issueServer())
  await t.throwsAsync(startTestEvents(t, { tls: { ...tls, key: tls.certificate } }))
  await t.throwsAsync(startTestEvents(t, { tls: { ...tls, key: `${tls.key}.none` } }))
})
