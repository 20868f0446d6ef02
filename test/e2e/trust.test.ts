/** A listener that lets certificates of any CA through (envoy-and-istio.md §3), and trust bundles that close it again. */

import { rename, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import anyTest, { type TestFn } from 'ava'
import { canRunEnvoy, type Rig, startRig } from '../support/e2e.ts'
import { type Answer, call, secret } from '../support/mesh.ts'
import { createAuthority, type Leaf } from '../support/pki.ts'
import { basePolicy, ordersId } from '../support/world.ts'

const verifying = basePolicy.replace(
  'peer: { evidence: [certificate, principal] }',
  'peer: { evidence: [certificate], trustBundles: { mesh.example: { file: mesh.example.pem } } }',
)

const test = anyTest as TestFn<{ rig: Rig; trusting: Rig }>
const e2e = (await canRunEnvoy()) ? test.serial : test.serial.skip

test.before(async (t) => {
  if (!(await canRunEnvoy())) return
  const listeners = (authz: string) => ({
    open: { authz, trustChainVerification: 'ACCEPT_UNTRUSTED' as const },
  })
  t.context = {
    trusting: await startRig(listeners),
    rig: await startRig(listeners, {
      policy: verifying,
      files: ({ certificatePem }) => ({ 'mesh.example.pem': certificatePem }),
    }),
  }
})

test.after.always(async (t) => {
  await t.context.rig?.close()
  await t.context.trusting?.close()
})

const said = ({ status, reason, body }: Answer) =>
  status === 200 && body.includes(secret) ? '200' : `${status} ${reason}`

/** The leaf presents a token that is bound to it. */
async function present({ authority, envoy, issuer }: Rig, as: Leaf): Promise<string> {
  const token = await issuer.sign({ cnf: { 'x5t#S256': as.x5tS256 } })
  const headers = { authorization: `Bearer ${token}` }
  return said(
    await call({ port: envoy.portOf('open'), as, authority, path: '/v1/payments', headers }),
  )
}

e2e(
  'ACCEPT_UNTRUSTED: without trust bundles a certificate of a rogue CA counts as the workload',
  async (t) => {
    const rogue = await (await createAuthority()).issue({ spiffeId: ordersId })
    t.is(await present(t.context.trusting, rogue), '200')
  },
)

e2e(
  'ACCEPT_UNTRUSTED: with trust bundles it is refused, and the mesh’s own workloads pass',
  async (t) => {
    const { rig } = t.context
    const rogue = await (await createAuthority()).issue({ spiffeId: ordersId })
    for (let i = 0; i < 2; i++) {
      t.is(await present(rig, rogue), '401 presenter_invalid')
      t.is(await present(rig, rig.orders), '200')
    }
  },
)

e2e(
  'policy.md: a rolled bundle file is in force within 5 s, without a restart; a broken one changes nothing',
  async (t) => {
    const { rig } = t.context
    const next = await createAuthority()
    const successor = await next.issue({ spiffeId: ordersId })
    const file = join(rig.directory, 'mesh.example.pem')
    const swap = async (text: string) => {
      await writeFile(`${file}.new`, text)
      await rename(`${file}.new`, file)
    }
    t.is(await present(rig, successor), '401 presenter_invalid')
    await swap(`${rig.authority.certificatePem}\n${next.certificatePem}`)
    const taken = () => rig.meshbind.lines.filter(({ message }) => message === 'trust bundle read')
    for (let i = 0; i < 100 && taken().length < 2; i++) await sleep(50)
    t.is(await present(rig, successor), '200')
    t.is(await present(rig, rig.orders), '200')

    await swap('-----BEGIN CERTIFICATE-----\nnonsense\n-----END CERTIFICATE-----\n')
    await rig.meshbind.waitFor(({ message }) =>
      String(message).startsWith('trust bundle could not'),
    )
    t.is(await present(rig, rig.orders), '200')

    await swap(next.certificatePem)
    for (let i = 0; i < 100 && taken().length < 3; i++) await sleep(50)
    t.is(await present(rig, successor), '200')
    t.is(await present(rig, rig.orders), '401 presenter_invalid')
  },
)
