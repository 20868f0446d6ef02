import { channel } from 'node:diagnostics_channel'
import dns from 'node:dns'
import { createServer, type RequestListener, type Server } from 'node:http'
import https from 'node:https'
import { syncBuiltinESMExports } from 'node:module'
import { type AddressInfo, createServer as createTcpServer, type Socket } from 'node:net'
import test, { type ExecutionContext } from 'ava'
import { fetchDiscoveredKeys } from '../../src/token/discovery.ts'
import { type FetchOptions, fetchDocument } from '../../src/token/fetch.ts'
import { serveJson } from '../support/issuer.ts'
import { createAuthority } from '../support/pki.ts'

/** Every address that this process has tried to connect to. */
const attempted: string[] = []
channel('net.client.socket').subscribe((message) => {
  const { socket } = message as { socket: Socket }
  socket.on('connectionAttempt', (address: string) => attempted.push(address))
})

async function listen(t: ExecutionContext, server: Server | https.Server): Promise<string> {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => {
    server.close()
    server.closeAllConnections()
  })
  const scheme = server instanceof https.Server ? 'https' : 'http'
  return `${scheme}://127.0.0.1:${(server.address() as AddressInfo).port}`
}

async function fetchFrom(
  t: ExecutionContext,
  answer: RequestListener,
  options: FetchOptions = {},
): Promise<string> {
  const url = await listen(t, createServer(answer))
  return resultOf(url, options)
}

/** The body, or the message of the failure. */
async function resultOf(url: string, options: FetchOptions = {}): Promise<string> {
  return fetchDocument(new URL(url), options).then(
    ({ bytes }) => `got ${Buffer.from(bytes).toString()}`,
    (error: Error) => error.message,
  )
}

test('L207: a document from loopback over http is fetched whole, with its max-age', async (t) => {
  const url = await listen(
    t,
    createServer((_, response) => {
      response.setHeader('cache-control', 'public, Max-Age=120, must-revalidate')
      response.write('{"ke')
      response.end('ys":[]}')
    }),
  )
  const { bytes, maxAgeSeconds } = await fetchDocument(new URL(url))
  t.is(Buffer.from(bytes).toString(), '{"keys":[]}')
  t.is(maxAgeSeconds, 120)
})

test('L214: only max-age itself is read from Cache-Control', async (t) => {
  const cases = {
    's-maxage=5': undefined,
    'no-store': undefined,
    'max-age=-1': undefined,
    'max-age=0': 0,
  }
  for (const [header, expected] of Object.entries(cases)) {
    const url = await listen(
      t,
      createServer((_, response) => response.setHeader('cache-control', header).end('{}')),
    )
    t.is((await fetchDocument(new URL(url))).maxAgeSeconds, expected, header)
  }
})

for (const status of [301, 302, 303, 307, 308]) {
  test(`L208: a redirect (${status}) is not followed`, async (t) => {
    const target = await serveJson(() => ({ keys: [] }))
    t.teardown(() => target.close())
    const message = await fetchFrom(t, (_, response) => {
      response.writeHead(status, { location: target.url }).end()
    })
    t.is(message, `answered ${status}; 200 is needed, redirects are not followed`)
    t.deepEqual(target.paths, [])
  })
}

for (const status of [204, 206, 304, 401, 404, 500, 503]) {
  test(`L207: an answer ${status} is a failure, whatever its body`, async (t) => {
    const message = await fetchFrom(t, (_, response) => {
      response.writeHead(status).end(status === 204 || status === 304 ? undefined : '{"keys":[]}')
    })
    t.is(message, `answered ${status}; 200 is needed, redirects are not followed`)
  })
}

test('L207: 10 MB are not read to their end', async (t) => {
  let sent = 0
  const message = await fetchFrom(t, (_, response) => {
    response.writeHead(200, { 'content-type': 'application/json' })
    const chunk = Buffer.alloc(64 * 1024, ' ')
    const more = () => {
      while (sent < 100_000_000 && !response.destroyed) {
        sent += chunk.length
        if (!response.write(chunk)) return response.once('drain', more)
      }
      return response.end()
    }
    more()
  })
  t.is(message, 'the document is over 524288 bytes')
  t.true(sent < 100_000_000, String(sent))
})

test('L207: the bound is exact, also where the last bytes come with the end', async (t) => {
  const body = (size: number) => (_: unknown, response: Parameters<RequestListener>[1]) => {
    response.write(' '.repeat(size - 1))
    response.end(' ')
  }
  t.is((await fetchFrom(t, body(100), { maxBytes: 100 })).length, 'got '.length + 100)
  t.is(await fetchFrom(t, body(101), { maxBytes: 100 }), 'the document is over 100 bytes')
})

test('L206: a slow head, a slow body and a body in drops all end at the time limit', async (t) => {
  const options = { timeoutMs: 200 }
  const expected = 'no answer within 200 ms'
  t.is(await fetchFrom(t, () => {}, options), expected)
  t.is(await fetchFrom(t, (_, response) => void response.write('{'), options), expected)
  const drops: RequestListener = (_, response) => {
    const timer = setInterval(() => response.write(' '), 20)
    response.once('close', () => clearInterval(timer))
  }
  t.is(await fetchFrom(t, drops, options), expected)
})

test('L207: an answer that is cut off is a failure, with and without content-length', async (t) => {
  const cut = (headers: object) => (_: unknown, response: Parameters<RequestListener>[1]) => {
    response.writeHead(200, { ...headers })
    response.write('{"keys":[]}', () => response.destroy())
  }
  for (const headers of [{}, { 'content-length': '100' }])
    t.regex(await fetchFrom(t, cut(headers)), /^(ECONNRESET|aborted|the answer was cut off)$/)
  t.regex(await fetchFrom(t, (request) => request.socket.end('junk\r\n\r\n')), /^HPE_/)
  t.regex(await fetchFrom(t, (request) => request.socket.destroy()), /^ECONNRESET$/)
})

test('L208: https needs a certificate that the given CA vouches for, and the right name', async (t) => {
  const [authority, other] = [await createAuthority(), await createAuthority()]
  const serve = async (name: string, type: 'dns' | 'ip') => {
    const { pem, keyPem } = await authority.issue({ names: [{ type, value: name }] })
    return listen(
      t,
      https.createServer({ cert: pem, key: keyPem }, (_, response) => response.end('{}')),
    )
  }
  const [named, misnamed] = [await serve('127.0.0.1', 'ip'), await serve('idp.example', 'dns')]
  const ca = authority.certificatePem
  t.is(await resultOf(named, { ca }), 'got {}')
  t.regex(await resultOf(named), /^(UNABLE_TO|SELF_SIGNED|DEPTH_ZERO)/)
  t.regex(await resultOf(named, { ca: other.certificatePem }), /^(UNABLE_TO|CERT_SIGN|SELF_SIGNED)/)
  t.is(await resultOf(misnamed, { ca }), 'ERR_TLS_CERT_ALTNAME_INVALID')
})

const linkLocal = 'the URL must not be a link-local address'
const loopbackOnly = 'the URL must be https (http is for loopback alone)'
const forbidden: { readonly [url: string]: string } = {
  'http://169.254.169.254/latest': linkLocal,
  'https://169.254.169.254/': linkLocal,
  'https://169.254.0.1:8443/': linkLocal,
  'https://2852039166/': linkLocal,
  'https://0xa9.0xfe.0xa9.0xfe/': linkLocal,
  'https://0251.0376.0251.0376/': linkLocal,
  'https://169.254.43518/': linkLocal,
  'https://169.254.169.254./': linkLocal,
  'https://[::ffff:169.254.169.254]/': linkLocal,
  'https://[::ffff:a9fe:a9fe]/': linkLocal,
  'https://[fe80::a9fe:a9fe]/': linkLocal,
  'https://[febf::1]/': linkLocal,
  'http://10.0.0.1/': loopbackOnly,
  'http://0.0.0.0/': loopbackOnly,
  'http://[::]/': loopbackOnly,
  'http://[::ffff:10.0.0.1]/': loopbackOnly,
}

/** Runs with names resolved to these addresses, and gives what was connected to meanwhile. */
async function connections(
  addresses: readonly string[],
  run: () => Promise<void>,
): Promise<string[]> {
  const original = dns.lookup
  const answer = addresses.map((address) => ({ address, family: address.includes(':') ? 6 : 4 }))
  const lookup = (_name: string, _options: object, done: (error: null, found: object) => void) =>
    process.nextTick(done, null, answer)
  Object.assign(dns, { lookup })
  syncBuiltinESMExports()
  const before = attempted.length
  try {
    await run()
  } finally {
    Object.assign(dns, { lookup: original })
    syncBuiltinESMExports()
  }
  return attempted.slice(before)
}

test.serial(
  'L208: metadata and other forbidden addresses are never connected to, in any spelling',
  async (t) => {
    const seen = await connections([], async () => {
      for (const [url, problem] of Object.entries(forbidden))
        t.is(await resultOf(url), problem, url)
    })
    t.deepEqual(seen, [])
  },
)

test.serial(
  'L208: a name is judged by what it resolves to, and nothing else is connected to',
  async (t) => {
    const noAddress = 'the name resolves to no address that may be used'
    const inward = ['169.254.169.254', 'fe80::1', '::ffff:169.254.169.254']
    for (const address of inward) {
      const seen = await connections([address], async () => {
        t.is(await resultOf('https://metadata.example/'), noAddress)
        t.is(await resultOf('http://metadata.example/'), noAddress)
      })
      t.deepEqual(seen, [], address)
    }
    const seen = await connections(['10.1.2.3', '8.8.8.8'], async () => {
      t.is(await resultOf('http://private.example/'), noAddress)
    })
    t.deepEqual(seen, [])
  },
)

test.serial(
  'L208: of several addresses only those that may be used are tried (DNS rebinding)',
  async (t) => {
    const url = (
      await listen(
        t,
        createServer((_, response) => response.end('{}')),
      )
    ).replace('127.0.0.1', 'idp.example')
    const seen = await connections(['169.254.169.254', '127.0.0.1', 'fe80::1'], async () => {
      t.is(await resultOf(url), 'got {}')
    })
    t.deepEqual(seen, ['127.0.0.1'])
  },
)

test.serial(
  'L209: discovery is not sent to a metadata address by the issuer’s own name',
  async (t) => {
    const seen = await connections(['169.254.169.254'], async () => {
      await t.throwsAsync(fetchDiscoveredKeys('https://idp.example'), { message: /no address/ })
    })
    t.deepEqual(seen, [])
  },
)

test('L207: an answer that is neither a response nor an error ends the read (101 Switching Protocols)', async (t) => {
  const server = createTcpServer((socket) => {
    socket.on('error', () => {})
    socket.once('data', () => {
      socket.write('HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n')
    })
  }).listen(0, '127.0.0.1')
  await new Promise((resolve) => server.once('listening', resolve))
  t.teardown(() => server.close())
  const { port } = server.address() as AddressInfo
  await t.throwsAsync(fetchDocument(new URL(`http://127.0.0.1:${port}/jwks`), { timeoutMs: 2000 }))
})
