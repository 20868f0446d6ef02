import { execFile } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import test, { type ExecutionContext } from 'ava'
import { createTestIssuer, serveJson } from '../support/issuer.ts'
import { listens, type RunningMeshbind, startMeshbind } from '../support/meshbind.ts'
import { basePolicy } from '../support/world.ts'

const main = fileURLToPath(new URL('../../src/main.ts', import.meta.url))
const run = promisify(execFile)

async function setUp(
  t: ExecutionContext,
  policy = basePolicy,
): Promise<{ directory: string; file: string }> {
  const directory = mkdtempSync(join(tmpdir(), 'meshbind-serve-'))
  t.teardown(() => rmSync(directory, { recursive: true, force: true }))
  const file = join(directory, 'policy.yaml')
  writeFileSync(file, policy)
  writeFileSync(join(directory, 'jwks.json'), JSON.stringify((await createTestIssuer()).jwks))
  return { directory, file }
}

/** Runs `serve` where it is expected to end by itself. */
async function fails(...args: string[]): Promise<{ code: number; stdout: string; stderr: string }> {
  try {
    const { stdout, stderr } = await run(process.execPath, [main, 'serve', ...args], {
      timeout: 20_000,
    })
    return { code: 0, stdout, stderr }
  } catch (error) {
    return error as { code: number; stdout: string; stderr: string }
  }
}

function adminOf(meshbind: RunningMeshbind): string {
  return String(meshbind.lines.find((line) => line['message'] === 'listening')?.['admin'])
}

test('contract §8: the admin listener answers GET on its six pages, and nothing else is there', async (t) => {
  const { file } = await setUp(t)
  const meshbind = await startMeshbind([
    '--policy',
    file,
    '--listen',
    '127.0.0.1:0',
    '--admin',
    '127.0.0.1:0',
  ])
  const admin = `http://${adminOf(meshbind)}`
  t.deepEqual(await (await fetch(`${admin}/livez`)).json(), { live: true })
  const ready = await fetch(`${admin}/readyz`)
  t.is(ready.status, 200)
  t.like(await ready.json(), { ready: true, waitingFor: [], policy: { name: 'shop' } })
  t.like(await (await fetch(`${admin}/policy`)).json(), {
    name: 'shop',
    problem: null,
    routes: { 0: { name: 'public', mode: 'enforce', bindings: [] } },
  })
  t.regex(
    await (await fetch(`${admin}/metrics`)).text(),
    /^meshbind_policy_info\{revision="\w+"\} 1$/m,
  )
  t.like(await (await fetch(`${admin}/evidence`)).json(), { evidence: { checks: 0 } })
  const page = await fetch(`${admin}/`)
  t.is(page.headers.get('content-type'), 'text/html; charset=utf-8')
  t.regex(page.headers.get('content-security-policy') ?? '', /default-src 'none'/)
  for (const path of ['/policy/', '/metrics.json', '/events/corp'])
    t.is((await fetch(`${admin}${path}`)).status, 404)
  t.is((await fetch(`${admin}/livez`, { method: 'POST' })).status, 405)
  t.is(await meshbind.stop(), 0)
})

/** Both listeners where they are wanted, and what the probe is asked. */
for (const admin of ['127.0.0.1:0', 'off']) {
  test(`contract §8: with --admin ${admin}, the probe listener has health and metrics, and no page that names a workload`, async (t) => {
    const { file } = await setUp(t)
    const addresses = ['--listen', '127.0.0.1:0', '--admin', admin, '--probe', '127.0.0.1:0']
    const meshbind = await startMeshbind(['--policy', file, ...addresses])
    t.teardown(() => meshbind.stop())
    const listening = await meshbind.waitFor(({ message }) => message === 'listening')
    t.is(listening['admin'] === 'off', admin === 'off')
    t.not(listening['probe'], listening['admin'])
    const probe = `http://${listening['probe']}`
    t.deepEqual(await (await fetch(`${probe}/livez`)).json(), { live: true })
    t.like(await (await fetch(`${probe}/readyz`)).json(), { ready: true, waitingFor: [] })
    t.regex(await (await fetch(`${probe}/metrics`)).text(), /^meshbind_policy_info\{/m)
    for (const path of ['/', '/policy', '/evidence', '/livez/', '//policy', '/metrics/../policy']) {
      const response = await fetch(`${probe}${path}`)
      t.is(response.status, 404, path)
      t.deepEqual(await response.json(), { error: 'there is /livez, /readyz, /metrics' })
    }
    t.is((await fetch(`${probe}/livez`, { method: 'POST' })).status, 405)
  })
}

test('contract §3: the probe listener is off unless it is asked for', async (t) => {
  const { file } = await setUp(t)
  const meshbind = await startMeshbind([
    '--policy',
    file,
    '--listen',
    '127.0.0.1:0',
    '--admin',
    'off',
  ])
  t.is(meshbind.lines.find(({ message }) => message === 'listening')?.['probe'], 'off')
  t.is(await meshbind.stop(), 0)
})

test('contract §3: until each key source was tried once, the state is not ready', async (t) => {
  const hanging = createServer(() => {}).listen(0, '127.0.0.1')
  await new Promise((resolve) => hanging.once('listening', resolve))
  t.teardown(() => hanging.close())
  const { port } = hanging.address() as AddressInfo
  const { file } = await setUp(
    t,
    basePolicy.replace('{ file: jwks.json }', `{ url: "http://127.0.0.1:${port}/jwks" }`),
  )
  const args = ['--policy', file, '--listen', '127.0.0.1:0', '--admin', '127.0.0.1:0']
  const meshbind = await startMeshbind(args, 'listening')
  const response = await fetch(`http://${adminOf(meshbind)}/readyz`)
  t.is(response.status, 503)
  t.like(await response.json(), {
    ready: false,
    waitingFor: ['the first read of every source that the policy names'],
  })
  hanging.closeAllConnections()
  t.truthy(
    await meshbind.waitFor((line) => line['issuer'] === 'corp' && line['result'] === 'failed'),
  )
  await meshbind.waitFor((line) => line['message'] === 'ready')
  t.is((await fetch(`http://${adminOf(meshbind)}/readyz`)).status, 200)
  t.is(await meshbind.stop(), 0)
})

test('contract §1: a policy with problems ends the start with code 2 and every problem', async (t) => {
  const { file } = await setUp(
    t,
    basePolicy.replace('audiences:', 'audience:').replace('[spiffe]', '[spife]'),
  )
  const { code, stderr, stdout } = await fails('--policy', file)
  t.is(code, 2)
  t.is(stdout, '')
  t.regex(stderr, /policy\.yaml:\d+:\d+: error: unknown key `audience`/)
  t.regex(stderr, /Did you mean `spiffe`\?/)
  t.regex(stderr, /nothing was started/)
})

test('contract §1: a missing policy is code 2, an address in use is code 3', async (t) => {
  const { directory, file } = await setUp(t)
  t.is((await fails('--policy', join(directory, 'none.yaml'))).code, 2)
  const taken = await serveJson(() => ({}))
  t.teardown(() => taken.close())
  const { code, stderr } = await fails(
    '--policy',
    file,
    '--listen',
    taken.url.replace('http://', ''),
    '--admin',
    'off',
  )
  t.is(code, 3)
  t.regex(stderr, /cannot listen on 127\.0\.0\.1:\d+/)
})

test('contract §1: a start that fails half-way ends as well: nothing stays that answers not_ready', async (t) => {
  const { file } = await setUp(t)
  const taken = await serveJson(() => ({}))
  t.teardown(() => taken.close())
  const address = taken.url.replace('http://', '')
  for (const args of [
    ['--listen', '127.0.0.1:0', address, '--admin', 'off'],
    ['--listen', '127.0.0.1:0', '--admin', address],
    ['--listen', '127.0.0.1:0', '--admin', 'off', '--probe', address],
  ]) {
    t.is((await fails('--policy', file, ...args)).code, 3, args.join(' '))
  }
})

test('contract §3: SIGTERM and SIGINT end with code 0 and leave no socket behind', async (t) => {
  const { directory, file } = await setUp(t)
  const socket = join(directory, 'authz.sock')
  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    const meshbind = await startMeshbind([
      '--policy',
      file,
      '--listen',
      `unix:${socket}`,
      '--admin',
      'off',
    ])
    t.true(await listens(socket))
    meshbind.kill(signal)
    t.is(await meshbind.exited, 0)
    t.false(await listens(socket))
  }
})
