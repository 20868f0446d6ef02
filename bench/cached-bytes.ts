/**
 * What one remembered text takes of the heap, of each kind, and what a key takes beside it: before and after many of them,
 * garbage collected. For `node --expose-gc`, as a process of its own.
 */

import { createPublicKey, generateKeyPairSync, type KeyObject } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { createProofKeys } from '../src/confirmation/proof-keys.ts'
import { createWorkloadTokens } from '../src/confirmation/wit.ts'
import { isRefusal } from '../src/decision/decision.ts'
import { createCertificateReader } from '../src/evidence/certificate.ts'
import { createXfccReader } from '../src/evidence/hop.ts'
import { algorithms } from '../src/token/algorithms.ts'
import { createIntrospector } from '../src/token/introspection.ts'
import { createKeySource } from '../src/token/key-source.ts'
import { createDpopClient } from '../test/support/dpop.ts'
import { audience } from '../test/support/issuer.ts'
import { createWimseWorkload, createWitIssuer } from '../test/support/wimse.ts'
import { createWorld, ordersId } from '../test/support/world.ts'
import { xfccElement } from '../test/support/xfcc.ts'

/** Has one more text remembered, that nobody has seen; throws, or gives a refusal, where it is not. */
type Remember = (n: number) => unknown

const world = await createWorld()
const clock = world.now
const entitlements = 'a'.repeat(180)
const known = await world.token()
const workloadId = (n: number) => `spiffe://mesh.example/ns/shop/sa/w${n}`

const token: Remember = async (n) => {
  const { allowed, reason } = await world.ask({
    token: await world.token({ jti: `token-${n}`, entitlements }),
  })
  if (!allowed) throw new Error(reason)
}

const certificate: Remember = async (n) => {
  const as = await world.authority.issue({ spiffeId: workloadId(n) })
  const { reason } = await world.ask({ as, token: known })
  if (reason !== 'binding_mismatch') throw new Error(reason)
}

const xfccReader = createXfccReader(createCertificateReader())
const xfcc: Remember = (n) => {
  const uri = workloadId(n)
  const hops = xfccReader.read(`${xfccElement(world.orders, { uri })},${xfccElement(world.orders)}`)
  return isRefusal(hops) ? hops : [hops.at(-1), hops.at(-2)].find(isRefusal)
}

const witIssuer = await createWitIssuer({ trustDomain: 'mesh.example' })
const witKeys = createKeySource({
  load: async () => ({ bytes: Buffer.from(JSON.stringify(witIssuer.jwks)) }),
  ...{ algorithms, use: 'wit-svid', clock, refreshSeconds: 300 },
})
await witKeys.tried
const anchor = { keys: witKeys, schemes: new Set(['spiffe'] as const) }
const workloadTokens = createWorkloadTokens(new Map([['mesh.example', anchor]]))
const wit: Remember = async (n) => {
  const workload = await createWimseWorkload(witIssuer, workloadId(n))
  return workloadTokens.verify(await workload.wit())
}

const proofKeys = createProofKeys()
const proofKey: Remember = async () => {
  const { proof } = await createDpopClient()
  const [header = ''] = (await proof(known)).split('.')
  const read = proofKeys.read(header)
  if (typeof read === 'string') throw new Error(read)
  await read.key()
  proofKeys.keep(header, read)
}

const introspector = createIntrospector({
  ...{ name: 'partner', issuer: 'https://partner.example', identity: { claim: 'sub' } },
  ...{ timeoutMs: 5000, cacheForSeconds: 300, clock },
  ask: async (text) => ({
    ...{
      active: true,
      sub: ordersId,
      scope: 'payments.read payments.write',
      jti: text,
      aud: audience,
    },
    ...{ iat: clock(), exp: clock() + 300, entitlements },
    cnf: { 'x5t#S256': world.orders.x5tS256 },
  }),
})
const introspected: Remember = (n) =>
  introspector.introspect(`opaque-${n}-${'x'.repeat(32)}`, clock(), Number.POSITIVE_INFINITY)

/** THE LIST. */
const kinds: readonly (readonly [title: string, count: number, remember: Remember])[] = [
  ['a token', 5000, token],
  ['a certificate', 1000, certificate],
  ['an XFCC header of two elements', 5000, xfcc],
  ['a workload token (WIT), beside its key', 2000, wit],
  ['the header of a DPoP client, beside its key', 2000, proofKey],
  ['an introspection response', 5000, introspected],
]

export interface CachedBytes {
  readonly title: string
  readonly count: number
  readonly bytesEach: number
}

const collect = globalThis.gc
if (collect === undefined) throw new Error('for node --expose-gc')

async function memoryInUse(): Promise<NodeJS.MemoryUsage> {
  // More than once, and a while apart: buffers are given back by another thread.
  for (let i = 0; i < 3; i++) {
    collect?.()
    await sleep(100)
  }
  return process.memoryUsage()
}

async function heapBytes(): Promise<number> {
  const { heapUsed, external } = await memoryInUse()
  return heapUsed + external
}

async function measure([title, count, remember]: (typeof kinds)[number]): Promise<CachedBytes> {
  const some = async (from: number, to: number) => {
    for (let n = from; n < to; n++) {
      const refusal = await remember(n)
      if (isRefusal(refusal)) throw new Error(`${title}: ${refusal.refused} ${refusal.detail}`)
    }
  }
  const lead = Math.ceil(count / 4)
  await some(0, lead)
  const before = await heapBytes()
  await some(lead, lead + count)
  return { title, count, bytesEach: ((await heapBytes()) - before) / count }
}

/** Never let go of: what is freed late would be taken off what is measured next. */
const keys: KeyObject[] = []

/** OpenSSL's memory is none of V8's: only RSS shows it, and only where nothing else comes and goes. */
async function measureKeys(): Promise<CachedBytes> {
  const count = 20_000
  const key = generateKeyPairSync('ec', { namedCurve: 'P-256' }).publicKey.export({ format: 'jwk' })
  const makeSome = () => {
    for (let n = 0; n < count; n++) keys.push(createPublicKey({ key, format: 'jwk' }))
  }
  makeSome()
  const { rss: before } = await memoryInUse()
  makeSome()
  const bytesEach = ((await memoryInUse()).rss - before) / count
  return { title: 'a key (ES256), in native memory', count, bytesEach }
}

// First: afterwards there is garbage.
const told: CachedBytes[] = [await measureKeys()]
for (const kind of kinds) told.push(await measure(kind))
process.send?.(told)
process.disconnect?.()
