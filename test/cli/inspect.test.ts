import { execFile } from 'node:child_process'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test from 'ava'
import { renderToken, showJson } from '../../src/cli/inspect-text.ts'
import { inspectToken, type TokenReport } from '../../src/cli/inspect-token.ts'
import { methods } from '../../src/confirmation/methods.ts'
import { isRefusal } from '../../src/decision/decision.ts'
import { type CertificateFacts, createCertificateReader } from '../../src/evidence/certificate.ts'
import { createTestIssuer } from '../support/issuer.ts'
import { createAuthority, type Leaf } from '../support/pki.ts'
import { ordersId, thiefId } from '../support/world.ts'

const now = Math.floor(Date.now() / 1000)
const issuer = await createTestIssuer('https://idp.example', { now: () => now })
const authority = await createAuthority()
const orders = await authority.issue({ spiffeId: ordersId })
const renewed = await authority.issue({ spiffeId: ordersId })
const thief = await authority.issue({ spiffeId: thiefId })
const directory = await mkdtemp(join(tmpdir(), 'meshbind-inspect-'))
const [header = '', payload = '', signature = ''] = (await issuer.sign()).split('.')
test.after.always(() => rm(directory, { recursive: true, force: true }))

function factsOf(leaf: Leaf): CertificateFacts {
  const facts = createCertificateReader().read(leaf.envoyText)
  if (isRefusal(facts)) throw new Error(facts.detail)
  return facts
}

async function inspect(claims: object, leaf?: Leaf): Promise<TokenReport> {
  return inspectToken(await issuer.sign({ ...claims }), leaf && factsOf(leaf), now)
}

const encode = (text: string | Uint8Array) => Buffer.from(text).toString('base64url')

test('contract §1: inspect tells header, claims, time left and lifetime', async (t) => {
  const report = await inspect({ iat: now - 60, exp: now + 240, scope: 'payments.write' })
  t.like(report, {
    signature: 'not verified',
    readable: true,
    problems: [],
    header: { alg: 'ES256', kid: 'key-1', typ: 'at+jwt' },
    claims: { sub: ordersId, scope: 'payments.write' },
    issuedAt: now - 60,
    secondsLeft: 240,
    lifetimeSeconds: 300,
  })
  t.regex(renderToken(report), /expires .*, 4 min left\nlifetime {4}5 min\n/)
})

test('the text says first that the signature is not verified, and neither form has the signature', async (t) => {
  const report = await inspect({})
  const text = renderToken(report)
  t.regex(text, /^The signature was NOT verified/)
  const [, , own = ''] = (await issuer.sign()).split('.')
  const ofToken = inspectToken(`${header}.${payload}.${own}`, undefined, now)
  t.false((renderToken(ofToken) + showJson(ofToken)).includes(own))
})

test('every cnf member that a method confirms is explained, and malformed ones are problems', async (t) => {
  const members = methods.flatMap(({ member }) => member ?? [])
  const values: { readonly [name: string]: unknown } = {
    'x5t#S256': orders.x5tS256,
    jkt: orders.x5tS256,
    jwk: factsOf(orders).publicJwk,
  }
  t.deepEqual(members.toSorted(), Object.keys(values).toSorted())
  for (const name of members) {
    const { boundTo, problems } = await inspect({ cnf: { [name]: values[name] } })
    t.regex(boundTo[0]?.meaning ?? '', /\(RFC \d{4} §[\d.]+\)$/, name)
    t.deepEqual(problems, [])
    const broken = await inspect({ cnf: { [name]: 'x' } })
    t.deepEqual(broken.problems, [`binding_malformed: ${name}`])
  }
})

test('policy.md, Bindings: a cnf of unknown members alone is unsupported, an empty one malformed', async (t) => {
  const { boundTo, problems } = await inspect({ cnf: { kid: 'a' } })
  t.deepEqual(boundTo, [{ member: 'kid', meaning: 'not known to meshbind' }])
  t.deepEqual(problems, ['binding_unsupported: no member of cnf is known'])
  t.deepEqual((await inspect({ cnf: {} })).problems, ['binding_malformed: cnf'])
  t.deepEqual((await inspect({})).boundTo, [])
})

test('RFC 8693 §4.1: actors are told from the present one on; the status list too', async (t) => {
  const statusList = { idx: 3, uri: 'https://idp.example/status' }
  const act = { sub: ordersId, act: { sub: thiefId } }
  const report = await inspect({ act, status: { status_list: statusList } })
  t.deepEqual(report.actors, [ordersId, thiefId])
  t.deepEqual(report.statusList, statusList)
})

test('a private key in cnf is malformed, and no form shows it', async (t) => {
  const secret = 'c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LXNlY3I'
  const report = await inspect({ cnf: { jwk: { ...factsOf(orders).publicJwk, d: secret } } })
  t.deepEqual(report.problems, ['binding_malformed: jwk'])
  t.false((renderToken(report) + showJson(report)).includes(secret))
})

const jwkOf = (leaf: Leaf) => ({ jwk: factsOf(leaf).publicJwk })
const matches: readonly (readonly [
  title: string,
  claims: object,
  leaf: Leaf,
  matches: boolean | null,
])[] = [
  ['its own, by x5t#S256', { cnf: { 'x5t#S256': orders.x5tS256 } }, orders, true],
  ['another’s, by x5t#S256', { cnf: { 'x5t#S256': orders.x5tS256 } }, thief, false],
  ['a renewed one, by x5t#S256', { cnf: { 'x5t#S256': orders.x5tS256 } }, renewed, false],
  ['its own, by jwk', { cnf: jwkOf(orders) }, orders, true],
  ['another’s, by jwk', { cnf: jwkOf(orders) }, thief, false],
  [
    'its own by jwk, another by x5t#S256',
    { cnf: { ...jwkOf(orders), 'x5t#S256': thief.x5tS256 } },
    orders,
    false,
  ],
  ['its own, by identity', {}, orders, true],
  ['a renewed one, by identity', {}, renewed, true],
  ['another’s, by identity', {}, thief, false],
  ['a key of the client’s own', { cnf: { jkt: orders.x5tS256 } }, thief, null],
  ['a cnf of unknown members', { cnf: { kid: 'a' } }, orders, false],
  ['by act.sub, never by sub', { act: { sub: thiefId } }, orders, false],
  ['by act.sub', { sub: thiefId, act: { sub: ordersId } }, orders, true],
  [
    'a Kubernetes ServiceAccount',
    {
      sub: 'system:serviceaccount:shop:orders',
      'kubernetes.io': { namespace: 'shop', serviceaccount: { name: 'orders' } },
    },
    orders,
    true,
  ],
  [
    'a Kubernetes subject without its claims',
    { sub: 'system:serviceaccount:shop:orders' },
    orders,
    false,
  ],
]
for (const [title, claims, leaf, expected] of matches) {
  test(`policy.md, Bindings: token and certificate: ${title}: ${expected}`, async (t) => {
    t.is((await inspect(claims, leaf)).certificate?.matches, expected)
  })
}

test('docs/rotation.md: another certificate of the same workload is told from theft', async (t) => {
  const cnf = { 'x5t#S256': orders.x5tS256 }
  t.regex(renderToken(await inspect({ cnf }, renewed)), /NO: .*binding_rotated/)
  t.notRegex(renderToken(await inspect({ cnf }, thief)), /binding_rotated/)
})

const flaws: readonly (readonly [title: string, token: string, problem: RegExp])[] = [
  ['padding', `${header}==.${payload}.${signature}`, /^the header is padded with =/],
  ['base64', `${header}.ey+/.${signature}`, /^the payload is base64, not base64url/],
  ['another character', `${header}.ey J.${signature}`, /^the payload has a character .* at 3$/],
  ['a lost character', `${header}.${payload}.abcde`, /^the signature was cut off/],
  ['a second spelling', `${header}.${payload}.ab`, /^the signature ends in bits/],
  ['no signature', `${header}.${payload}.`, /^the signature is empty/],
  ['no header', `.${payload}.${signature}`, /^the header is empty/],
  [
    'no UTF-8',
    `${header}.${encode(Uint8Array.of(0xff))}.${signature}`,
    /^the payload is not UTF-8/,
  ],
  ['no JSON', `${header}.${encode('{"a":')}.${signature}`, /^the payload is not JSON/],
  ['no object', `${header}.${encode('[1]')}.${signature}`, /^the payload is JSON, and no object/],
  ['a key twice', `${encode('{"alg":"a","alg":"b"}')}.${payload}.${signature}`, /a key twice/],
  [
    'crit',
    `${encode('{"alg":"ES256","crit":["a"]}')}.${payload}.${signature}`,
    /header member crit/,
  ],
  ['no alg', `${encode('{}')}.${payload}.${signature}`, /alg is no short string/],
  [
    'over 16 KiB',
    `${header}.${encode(`{"a":"${'x'.repeat(16_384)}"}`)}.${signature}`,
    /over 16 KiB/,
  ],
]
for (const [title, token, problem] of flaws) {
  test(`RFC 7515 §5.2: ${title} in a token is explained`, (t) => {
    const { problems } = inspectToken(token, undefined, now)
    t.true(
      problems.some((each) => problem.test(each)),
      problems.join('\n'),
    )
  })
}

test('what meshbind refuses whatever the policy is told by its reason', async (t) => {
  const problemsOf = async (claims: object) => (await inspect(claims)).problems
  t.deepEqual(await problemsOf({ exp: now }), ['token_expired'])
  t.deepEqual(await problemsOf({ exp: undefined }), ['claim_invalid: exp'])
  t.deepEqual(await problemsOf({ nbf: now + 120 }), ['token_not_yet_valid: nbf'])
  const none = inspectToken(`${encode('{"alg":"none"}')}.${payload}.${signature}`, undefined, now)
  t.deepEqual(none.problems, ['token_algorithm_refused: no policy can list its alg'])
})

test('a time that is no date and an unreadable part are shown all the same', async (t) => {
  t.regex(renderToken(await inspect({ exp: Number.MAX_SAFE_INTEGER })), /which is no date/)
  const broken = inspectToken(`${header}.${encode('{"a":')}.${signature}`, undefined, now)
  t.is(broken.claims, '{"a":')
})

test('control, direction and line characters of a token reach no terminal, in either form', async (t) => {
  const nasty = '\u001b[2J\u0085\u009b\u202e\u2066\u2028\u200f\u{e0041}\u007f'
  const report = await inspect({ nasty, cnf: { [nasty]: 1 }, act: { sub: nasty } })
  for (const text of [renderToken(report), showJson(report)])
    t.notRegex(text, /[^\P{C}\n]|[\p{Zl}\p{Zp}]/u)
  t.deepEqual(JSON.parse(showJson(report)), JSON.parse(JSON.stringify(report)))
})

const commandUrl = new URL('../../src/cli/inspect.ts', import.meta.url)
const exitUrl = new URL('../../src/exit.ts', import.meta.url)
/** The command in a process of its own, its errors ended as main.ts ends them. */
const script = `
  import { inspectCommand } from '${commandUrl}'
  import { CommandError } from '${exitUrl}'
  try {
    await inspectCommand((code) => { process.exitCode = code })
      .parseAsync(process.argv.slice(1), { from: 'user' })
  } catch (error) {
    process.exitCode = error instanceof CommandError ? error.code : 2
    if (error instanceof CommandError) process.stderr.write(error.message)
  }`

function run(
  input: string,
  ...args: readonly string[]
): Promise<{ readonly code: number | null; readonly stdout: string; readonly stderr: string }> {
  const options = { timeout: 60_000, killSignal: 'SIGKILL' as const, env: { NO_COLOR: '1' } }
  const command = ['--input-type=module', '--eval', script, '--', ...args]
  return new Promise((resolve) => {
    const child = execFile(process.execPath, command, options, (error, stdout, stderr) => {
      resolve({ code: error?.killed ? null : child.exitCode, stdout, stderr })
    })
    child.stdin?.on('error', () => {}) // it may end before it has read everything
    child.stdin?.end(input)
  })
}

test.serial('contract §1: a token as an argument is refused (2) and never repeated', async (t) => {
  const token = await issuer.sign()
  const { code, stdout, stderr } = await run('', token)
  t.deepEqual([code, stdout], [2, ''])
  t.regex(stderr, /never taken as an argument/)
  t.false(stderr.includes(token.slice(0, 16)))
})

test.serial('contract §1: exit codes: 0 good, 1 expired, 2 no token', async (t) => {
  const good = await run(`Authorization: Bearer ${await issuer.sign()}\n`, '--output', 'json')
  t.is(good.code, 0)
  t.is(JSON.parse(good.stdout).claims.sub, ordersId)
  const expired = await run(await issuer.sign({ iat: 1_000_000_000, exp: 1_000_000_300 }))
  t.is(expired.code, 1)
  t.regex(expired.stdout, /EXPIRED \d+ d \d+ h ago/)
  t.is((await run(`${header}=.${payload}.${signature}`)).code, 2)
  for (const input of ['', 'opaque', 'a.b.c.d.e', 'x'.repeat(70_000)]) {
    const { code, stdout } = await run(input)
    t.deepEqual([code, stdout], [2, ''], input.slice(0, 16))
  }
})

test.serial(
  'contract §1: --certificate compares the first certificate of a PEM file',
  async (t) => {
    const token = await issuer.sign({ cnf: { 'x5t#S256': orders.x5tS256 } })
    const files: readonly (readonly [name: string, pem: string, code: number])[] = [
      [
        'chain.pem',
        `# orders\n${orders.pem.replaceAll('\n', '\r\n')}${authority.certificatePem}`,
        0,
      ],
      ['thief.pem', thief.pem, 1],
      ['ca.pem', authority.certificatePem, 2],
      ['key.pem', orders.keyPem, 2],
    ]
    for (const [name, pem, expected] of files) {
      const file = join(directory, name)
      await writeFile(file, pem)
      const { code, stdout, stderr } = await run(token, '--certificate', file)
      t.is(code, expected, `${name}: ${stdout}${stderr}`)
    }
    t.is((await run(token, '--certificate', join(directory, 'none.pem'))).code, 2)
  },
)
