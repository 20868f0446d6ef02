import { execFile } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { Server, ServerCredentials } from '@grpc/grpc-js'
import test from 'ava'
import { isRefusal } from '../../src/decision/decision.ts'
import { encodeCheckJson } from '../../src/wire/check-json.ts'
import { decodeCheckRequest } from '../../src/wire/decode.ts'
import { authorizationService } from '../../src/wire/proto.ts'
import { createTestIssuer } from '../support/issuer.ts'
import { startMeshbind } from '../support/meshbind.ts'
import { createAuthority } from '../support/pki.ts'
import { basePolicy } from '../support/world.ts'

const main = fileURLToPath(new URL('../../src/main.ts', import.meta.url))
const directory = mkdtempSync(join(tmpdir(), 'meshbind-check-'))

const issuer = await createTestIssuer()
const authority = await createAuthority()
const orders = await authority.issue({ spiffeId: 'spiffe://mesh.example/ns/shop/sa/orders' })
const thief = await authority.issue({ spiffeId: 'spiffe://mesh.example/ns/web/sa/blog' })
const token = await issuer.sign({ cnf: { 'x5t#S256': orders.x5tS256 } })
const write = (name: string, text: string) => {
  writeFileSync(join(directory, name), text)
  return name
}
test.after.always(() => rmSync(directory, { recursive: true, force: true }))

interface Ended {
  /** null where it had to be killed because it did not end. */
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

function check(...args: readonly string[]): Promise<Ended> {
  const options = { cwd: directory, timeout: 60_000, killSignal: 'SIGKILL' as const }
  return new Promise((resolve) => {
    const child = execFile(
      process.execPath,
      [main, 'check', ...args],
      options,
      (error, stdout, stderr) =>
        resolve({ code: error?.killed ? null : child.exitCode, stdout, stderr }),
    )
    child.stdin?.end()
  })
}

const question = ({ spiffeId, envoyText }: typeof orders, path = '/v1/payments') =>
  JSON.stringify({
    attributes: {
      source: { principal: spiffeId, certificate: envoyText },
      request: {
        http: {
          method: 'POST',
          path,
          host: 'payments.mesh.example',
          headers: { authorization: `Bearer ${token}`, 'x-meshbind-presenter': 'forged' },
        },
      },
    },
  })

/** A busy machine must not decide how a test ends. */
const patient = ['--timeout', '30s']

write('owner.json', question(orders))
write('thief.json', question(thief))

test('contract §1: one real Check against a running server: 0 allowed, 1 denied, with what Envoy is told', async (t) => {
  write('policy.yaml', basePolicy)
  write('jwks.json', JSON.stringify(issuer.jwks))
  const socket = `unix:${join(directory, 'authz.sock')}`
  const meshbind = await startMeshbind([
    '--policy',
    join(directory, 'policy.yaml'),
    '--listen',
    '127.0.0.1:0',
    socket,
    '--admin',
    'off',
    '--deadline',
    '30s',
  ])
  t.teardown(() => meshbind.stop())
  const secrets = [
    ...token.split('.'),
    ...[orders, thief].flatMap(({ envoyText }) => envoyText.match(/[A-Za-z0-9]{40,}/g) ?? []),
  ]
  for (const target of [`127.0.0.1:${meshbind.port}`, `localhost:${meshbind.port}`, socket]) {
    const owner = await check('--target', target, ...patient, 'owner.json')
    t.deepEqual([owner.code, owner.stderr], [0, ''])
    t.regex(owner.stdout, /^ALLOWED\n/)
    t.regex(owner.stdout, /taken off: x-meshbind-presenter\n/)
    t.regex(owner.stdout, /route: bound\n/)
    const stolen = await check('--target', target, ...patient, 'thief.json')
    t.is(stolen.code, 1)
    t.regex(stolen.stdout, /^DENIED {2}HTTP 401, gRPC code 16 {2}binding_mismatch\n/)
    t.regex(stolen.stdout, /to the client: www-authenticate: Bearer realm="shop"/)
    for (const secret of secrets) t.false((owner.stdout + stolen.stdout).includes(secret))
  }
  const json = await check('--target', socket, ...patient, 'thief.json', '--output', 'json')
  const { allowed, http, metadata } = JSON.parse(json.stdout)
  t.deepEqual([allowed, http, metadata.reason], [false, 401, 'binding_mismatch'])
})

test('check --expect: a verdict is what the asker is told, a reason is what is recorded, in mode audit too', async (t) => {
  write('jwks.json', JSON.stringify(issuer.jwks))
  const asked: readonly (readonly [
    mode: string,
    file: string,
    expected: string,
    code: number,
    said: string,
  ])[] = [
    ['enforce', 'owner.json', 'allow', 0, ''],
    ['enforce', 'thief.json', 'deny', 0, ''],
    ['enforce', 'thief.json', 'binding_mismatch', 0, ''],
    [
      'enforce',
      'thief.json',
      'allow',
      1,
      'expected allow, and the answer is deny, reason binding_mismatch, in mode enforce\n',
    ],
    [
      'enforce',
      'thief.json',
      'binding_rotated',
      1,
      'expected binding_rotated, and the answer is deny, reason binding_mismatch, in mode enforce\n',
    ],
    [
      'enforce',
      'owner.json',
      'binding_mismatch',
      1,
      'expected binding_mismatch, and the answer is allow, without a reason, in mode enforce\n',
    ],
    ['audit', 'thief.json', 'allow', 0, ''],
    ['audit', 'thief.json', 'binding_mismatch', 0, ''],
    [
      'audit',
      'thief.json',
      'deny',
      1,
      'expected deny, and the answer is allow, reason binding_mismatch, in mode audit\n',
    ],
  ]
  for (const mode of ['enforce', 'audit']) {
    const policy = write(`${mode}.yaml`, basePolicy.replace('spec:', `spec:\n  mode: ${mode}`))
    const addresses = ['--listen', '127.0.0.1:0', '--admin', 'off', '--deadline', '30s']
    const meshbind = await startMeshbind(['--policy', join(directory, policy), ...addresses])
    t.teardown(() => meshbind.stop())
    const target = ['--target', `127.0.0.1:${meshbind.port}`, ...patient]
    for (const [, file, expected, code, said] of asked.filter(([of]) => of === mode)) {
      const ended = await check(...target, file, '--expect', expected)
      t.deepEqual([ended.code, ended.stderr], [code, said], `${mode} ${file} ${expected}`)
      t.regex(ended.stdout, /^(?:ALLOWED\b|DENIED )/, 'the answer is shown as without it')
    }
  }
})

test('--example is a CheckRequest that is taken as it is, and asks nobody', async (t) => {
  const { code, stdout, stderr } = await check('--example')
  t.deepEqual([code, stderr], [0, ''])
  const request = decodeCheckRequest(encodeCheckJson(JSON.parse(stdout)))
  t.false(isRefusal(request))
  t.like(request, { method: 'POST', path: '/v1/payments', authorization: { kind: 'one' } })
})

test('a server that answers with the token itself is not repeated', async (t) => {
  const server = new Server()
  // ok_response { headers { header { key: 'authorization', value: 'Bearer canary' } } }, written by hand.
  const text = (field: number, bytes: Buffer) =>
    Buffer.concat([Buffer.from([(field << 3) | 2, bytes.length]), bytes])
  const header = Buffer.concat([
    text(1, Buffer.from('Authorization')),
    text(2, Buffer.from('Bearer canary')),
  ])
  const answer = text(3, text(2, text(1, header)))
  server.addService(authorizationService, {
    Check: (_: unknown, callback: (error: null, bytes: Buffer) => void) => callback(null, answer),
  })
  const port = await new Promise<number>((resolve) =>
    server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (_, bound) =>
      resolve(bound),
    ),
  )
  t.teardown(() => server.forceShutdown())
  for (const output of ['text', 'json']) {
    const target = `127.0.0.1:${port}`
    const ended = await check('--target', target, ...patient, 'owner.json', '--output', output)
    t.is(ended.code, 0)
    t.regex(ended.stdout, /Authorization.*\(not shown\)/s)
    t.false(ended.stdout.includes('canary'))
    const otherwise = await check('--target', target, ...patient, 'owner.json', '--expect', 'deny')
    t.is(otherwise.code, 1)
    t.is(otherwise.stderr, 'expected deny, and the answer is allow, without a reason\n')
  }
})

const usage: readonly (readonly [args: string, code: number, said: RegExp])[] = [
  ['owner.json', 2, /--target is missing/],
  ['--target 127.0.0.1:1', 2, /a CheckRequest is missing/],
  ['--target nonsense owner.json', 2, /write host:port/],
  ['--target 127.0.0.1:1 none.json', 2, /none\.json: there is no such file/],
  ['--target 127.0.0.1:1 --timeout 2 owner.json', 2, /is no duration/],
  ['--target 127.0.0.1:1 --tls-cert a owner.json', 2, /go together/],
  ['--target 127.0.0.1:1 --tls-name a owner.json', 2, /need --tls-ca/],
  ['--target 127.0.0.1:1 --tls-ca none.pem owner.json', 2, /none\.pem: there is no such file/],
  [
    '--target 127.0.0.1:1 --expect binding_mismach owner.json',
    2,
    /--expect: `binding_mismach` is no reason; did you mean binding_mismatch\?/,
  ],
  ['--target 127.0.0.1:1 --expect Allow owner.json', 2, /did you mean allow\?/],
  [
    '--target 127.0.0.1:1 --expect toString owner.json',
    2,
    /write allow, deny, or a reason of docs\/reasons\.md/,
  ],
  ['--target unix:/nowhere/authz.sock owner.json --expect deny', 3, /nothing listens there/],
  ['--target dns:///localhost:1 owner.json', 2, /write host:port/],
  ['--target unix:/nowhere/authz.sock owner.json', 3, /nothing listens there/],
]
for (const [args, code, said] of usage) {
  test(`contract §1: check ${args} ends with ${code} and says what is wrong`, async (t) => {
    const ended = await check(...args.split(' '))
    t.deepEqual([ended.code, ended.stdout], [code, ''])
    t.regex(ended.stderr, said)
    t.false(ended.stderr.includes(token.slice(0, 40)))
  })
}
