/** Every confirmation method there is must pass its owner and refuse everybody and everything else. */

import { webcrypto } from 'node:crypto'
import test from 'ava'
import type {
  BindingRules,
  ConfirmationInput,
  ConfirmationMethod,
  Proof,
} from '../../src/confirmation/method.ts'
import { type MethodName, methodNames, methods } from '../../src/confirmation/methods.ts'
import { createWorkloadTokens, type TrustAnchor } from '../../src/confirmation/wit.ts'
import { isRefusal, type Refusal } from '../../src/decision/decision.ts'
import type { Presenter } from '../../src/evidence/presenter.ts'
import type { Request, SingleHeader } from '../../src/request.ts'
import { createKeySource } from '../../src/token/key-source.ts'
import type { VerifiedToken } from '../../src/token/verify.ts'
import { bindingRules, present } from '../support/confirmation.ts'
import { createDpopClient } from '../support/dpop.ts'
import { createAuthority, type Leaf } from '../support/pki.ts'
import { bareRequest } from '../support/request.ts'
import { createWimseWorkload, createWitIssuer, type WitIssuer } from '../support/wimse.ts'
import { createTestTools } from '../support/world.ts'
import rfc8705 from '../vectors/rfc8705.json' with { type: 'json' }

const ordersId = 'spiffe://mesh.example/ns/shop/sa/orders'
const now = Math.floor(Date.now() / 1000)
const accessToken = 'the.access.token'
const authority = await createAuthority()
const { proofs } = createTestTools(now - 3600)
const rsa = {
  name: 'RSASSA-PKCS1-v1_5',
  modulusLength: 2048,
  publicExponent: new Uint8Array([1, 0, 1]),
  hash: 'SHA-256',
}
const algorithms = {
  'P-256': { name: 'ECDSA', namedCurve: 'P-256' },
  'P-384': { name: 'ECDSA', namedCurve: 'P-384' },
  'P-521': { name: 'ECDSA', namedCurve: 'P-521' },
  RSA: rsa,
  Ed25519: { name: 'Ed25519' },
}
const keyKinds = new Map<string, readonly [Leaf, Leaf]>()
for (const [name, algorithm] of Object.entries(algorithms)) {
  keyKinds.set(name, [
    await authority.issue({ spiffeId: ordersId, algorithm }),
    await authority.issue({ spiffeId: ordersId, algorithm }),
  ])
}
const orders = await authority.issue({ spiffeId: ordersId })
const renewed = await authority.issue({ spiffeId: ordersId, keys: orders.keys })
const rekeyed = await authority.issue({ spiffeId: ordersId })
const thief = await authority.issue({ spiffeId: 'spiffe://mesh.example/ns/web/sa/blog' })

async function keysOf({ jwks }: WitIssuer): Promise<TrustAnchor['keys']> {
  const source = createKeySource({
    load: async () => ({ bytes: Buffer.from(JSON.stringify(jwks)) }),
    algorithms: ['ES256'],
    use: 'wit-svid',
    clock: () => now,
    refreshSeconds: 300,
  })
  await source.tried
  return source
}

async function jwkOf({ keys }: Leaf): Promise<Record<string, unknown>> {
  const { kty, crv, x, y, n, e } = await webcrypto.subtle.exportKey('jwk', keys.publicKey)
  return JSON.parse(JSON.stringify({ kty, crv, x, y, n, e }))
}
const ordersKey = await jwkOf(orders)

const client = await createDpopClient({ now: () => now })
const thiefClient = await createDpopClient({ now: () => now })
const headerOf = (value: string): SingleHeader => ({ kind: 'one', value })
const proofOfClient = headerOf(await client.proof(accessToken))
const proofOfThief = headerOf(await thiefClient.proof(accessToken))

const witIssuer = await createWitIssuer({ trustDomain: 'mesh.example', now: () => now })
const workloadTokens = createWorkloadTokens(
  new Map([['mesh.example', { keys: await keysOf(witIssuer), schemes: new Set(['spiffe']) }]]),
)

/** The two headers of a workload that proves itself, for a request with the token. */
async function witOf({ spiffeId }: Leaf): Promise<WitHeaders> {
  const workload = await createWimseWorkload(witIssuer, spiffeId, { now: () => now })
  const wit = await workload.wit()
  const proof = await workload.proof({ wit, accessToken })
  return { workloadToken: headerOf(wit), workloadProof: headerOf(proof) }
}
type WitHeaders = Pick<Request, 'workloadToken' | 'workloadProof'>
const absentHeader: SingleHeader = { kind: 'absent' }
const ownersWit = await witOf(orders)
const thiefsWit = await witOf(thief)

/** What a request shows beside the token. */
interface Shown {
  readonly presenter?: Presenter | undefined
  readonly proof?: SingleHeader
  readonly wit?: WitHeaders
}

interface TokenParts {
  readonly identity?: unknown
  readonly issuedAt?: number
}

async function ask(
  name: MethodName,
  value: unknown,
  { presenter, proof = absentHeader, wit }: Shown,
  parts: TokenParts = {},
  rules: Partial<BindingRules> = {},
): Promise<Refusal | undefined | Proof> {
  const method: ConfirmationMethod | undefined = methods.find(({ name: each }) => each === name)
  if (method === undefined) throw new Error(name)
  const credential = { scheme: 'Bearer', token: accessToken } as const
  const workload = await method.proveWorkload?.({
    request: bareRequest({ path: '/v1/payments', ...wit }),
    credential,
    presenter,
    rules: { ...bindingRules, ...rules },
    tokens: workloadTokens,
    now,
  })
  if (isRefusal(workload)) return workload
  const input: ConfirmationInput = {
    token: { identity: ordersId, issuedAt: now - 60, ...parts } as VerifiedToken,
    credential,
    presenter,
    workload,
    request: { method: 'POST', path: '/v1/payments', dpop: proof },
    rules: { ...bindingRules, ...rules },
    proofs,
    now,
  }
  return method.confirm(value, input) ?? method.prove?.(value, input)
}

/** '' is confirmed: both halves of the method, where it has two. */
async function confirm(...parts: Parameters<typeof ask>): Promise<string> {
  const found = await ask(...parts)
  return isRefusal(found) ? found.refused : ''
}

interface Vectors {
  /** What a token of `orders` carries. */
  readonly value: unknown
  /** Whoever the token is bound to, somebody else, and nobody. */
  readonly owner: Shown
  readonly others: readonly Shown[]
  readonly absent: readonly Shown[]
  readonly absentReason: string
  readonly malformed: readonly unknown[]
  /** Where evidence is absent, an identity method says that first. */
  readonly malformedReason: string
  /** Whether a renewed certificate of the same key satisfies it, and a principal without a certificate. */
  readonly survivesRenewal: boolean
  readonly needsCertificate: boolean
}

const byCertificate = {
  owner: { presenter: present(orders), proof: proofOfThief },
  others: [{ presenter: present(thief) }, { presenter: present(thief), proof: proofOfClient }],
  absent: [{}, { proof: proofOfClient }],
  absentReason: 'presenter_missing',
}

const text = orders.x5tS256
const digests = (value: string): readonly unknown[] => [
  ...['', `${value}=`, `${value}A`, value.slice(1), ` ${value}`, `${value}\n`, `${value}.`],
  ...[undefined, null, 1, true, [], [value], {}],
  `${value.slice(0, -1)}${nextLetter(value.slice(-1))}`,
]
/** 43 letters hold two bits too many: the next letter is the same digest in another spelling. */
const nextLetter = (letter: string) => String.fromCharCode(letter.charCodeAt(0) + 1)

const vectors: { readonly [name in MethodName]: Vectors } = {
  'x5t#S256': {
    ...byCertificate,
    value: text,
    malformed: [
      ...digests(text),
      { 'x5t#S256': text },
      rfc8705.sha256Hex,
      rfc8705.nonCanonicalThumbprint,
    ],
    malformedReason: 'binding_malformed',
    survivesRenewal: false,
    needsCertificate: true,
  },
  jwk: {
    ...byCertificate,
    value: ordersKey,
    malformed: [
      ...[undefined, null, 1, true, '', [], [ordersKey], {}, JSON.stringify(ordersKey)],
      ...['kty', 'crv', 'x', 'y'].map((name) => ({ ...ordersKey, [name]: undefined })),
      ...['kty', 'crv', 'x', 'y'].flatMap((name) =>
        ['', 1, null, [ordersKey[name]]].map((value) => ({ ...ordersKey, [name]: value })),
      ),
      ...['ec', 'oct', 'AKP', '__proto__', 'constructor'].map((kty) => ({ ...ordersKey, kty })),
      ...['x', 'y'].map((name) => ({ ...ordersKey, [name]: `${ordersKey[name]}=` })),
      { ...ordersKey, d: 'AA' },
      { ...ordersKey, k: 'AA' },
      { kty: 'oct', k: 'AA' },
      { kty: 'RSA', n: 'AQAB' },
      { kty: 'OKP', crv: 'Ed25519' },
    ],
    malformedReason: 'binding_malformed',
    survivesRenewal: true,
    needsCertificate: true,
  },
  dpop: {
    value: client.jkt,
    owner: { presenter: present(orders), proof: proofOfClient },
    others: [
      { presenter: present(orders), proof: proofOfThief },
      { presenter: present(thief), proof: proofOfThief },
      { proof: proofOfThief },
    ],
    absent: [{}, { presenter: present(orders) }, { presenter: present(thief) }],
    absentReason: 'proof_missing',
    malformed: [...digests(client.jkt), client.publicJwk, { jkt: client.jkt }],
    malformedReason: 'binding_malformed',
    survivesRenewal: true,
    needsCertificate: false,
  },
  wimse: {
    value: undefined,
    owner: { presenter: present(orders), wit: ownersWit },
    others: [{ presenter: present(thief), wit: thiefsWit }, { wit: thiefsWit }],
    absent: [{}, { presenter: present(orders) }, { presenter: present(thief) }],
    absentReason: 'workload_token_missing',
    malformed: [undefined],
    malformedReason: 'binding_missing',
    survivesRenewal: true,
    needsCertificate: false,
  },
  spiffe: {
    ...byCertificate,
    value: undefined,
    malformed: [undefined],
    malformedReason: 'binding_missing',
    survivesRenewal: true,
    needsCertificate: false,
  },
}

/** Where a malformed value goes: into the member, or for an identity method into the token's identity. */
function confirmMalformed(name: MethodName, bad: unknown, shown: Shown): Promise<string> {
  const method = methods.find((candidate) => candidate.name === name)
  return method?.member === undefined
    ? confirm(name, undefined, shown, { identity: bad })
    : confirm(name, bad, shown)
}

for (const name of methodNames) {
  const vector = vectors[name]
  const { value, owner, others, absent, malformed, survivesRenewal, needsCertificate } = vector

  test(`${name}: whoever the token is bound to is confirmed (RFC 7800 §3)`, async (t) => {
    t.is(await confirm(name, value, owner), '')
  })
  test(`${name}: anybody else is a mismatch, not a rotation (RFC 8705 §3, RFC 7800 §3)`, async (t) => {
    t.true(others.length > 0)
    for (const other of others) {
      t.is(await confirm(name, value, other), 'binding_mismatch')
      t.is(await confirm(name, value, other, { identity: 'somebody' }), 'binding_mismatch')
    }
  })
  test(`${name}: a malformed value is told from a wrong one (RFC 7800 §3.1)`, async (t) => {
    t.true(malformed.length > 0)
    for (const bad of malformed) {
      for (const shown of [owner, ...others]) {
        const found = await confirmMalformed(name, bad, shown)
        t.is(found, vector.malformedReason, JSON.stringify(bad))
      }
      const first = name === 'wimse' ? vector.absentReason : vector.malformedReason
      for (const shown of absent)
        t.is(await confirmMalformed(name, bad, shown), first, JSON.stringify(bad))
    }
  })
  test(`${name}: without evidence it is refused as ${vector.absentReason} (RFC 8705 §3, RFC 9449 §4.3)`, async (t) => {
    t.true(absent.length > 0)
    for (const shown of absent) t.is(await confirm(name, value, shown), vector.absentReason)
  })
  test(`${name}: a principal counts only where no certificate is needed (RFC 8705 §3)`, async (t) => {
    const expected = needsCertificate ? 'presenter_missing' : ''
    const shown = { ...owner, presenter: present(orders, 'principal') }
    t.is(await confirm(name, value, shown), expected)
  })
  test(`${name}: a renewed certificate of the same key is told apart (RFC 8705 §6.3)`, async (t) => {
    const expected = survivesRenewal ? '' : 'binding_rotated'
    t.is(await confirm(name, value, { ...owner, presenter: present(renewed) }), expected)
  })
}

test('THE LIST: the cheap methods are asked before the one that costs a signature', (t) => {
  t.deepEqual(methodNames, ['x5t#S256', 'jwk', 'dpop', 'wimse', 'spiffe'])
  t.deepEqual(
    methods.map(({ member }) => member),
    ['x5t#S256', 'jwk', 'jkt', undefined, undefined],
  )
})

test('dpop: needs no presenter (policy.md Who is the presenter, 5)', async (t) => {
  t.is(await confirm('dpop', client.jkt, { proof: proofOfClient }), '')
  t.is(await confirm('dpop', client.jkt, { presenter: present(thief), proof: proofOfClient }), '')
})

test('dpop: the proof is remembered by policy, key and jti, as long as any check would take it', async (t) => {
  const proof = headerOf(await client.proof(accessToken, { jti: 'same', iat: now - 7 }))
  const twin = headerOf(await client.proof(accessToken, { jti: 'same', iat: now, htm: 'POST' }))
  const other = headerOf(await client.proof(accessToken, { jti: 'other' }))
  const judge = async (shown: Shown, rules: Partial<BindingRules> = {}) => {
    const found = await ask('dpop', client.jkt, shown, {}, rules)
    if (found === undefined || isRefusal(found)) throw new Error(found?.detail)
    return found
  }
  const first = await judge({ proof })
  t.like(first, { takenFrom: now - 7 - 30, rememberUntil: now - 7 + 60 + 2 * 30 })
  t.is((await judge({ proof: twin })).replayKey, first.replayKey)
  t.not((await judge({ proof: other })).replayKey, first.replayKey)
  t.not((await judge({ proof }, { policy: 'gateway' })).replayKey, first.replayKey)
})

test('x5t#S256 and jwk: a new key of the same workload is a rotation (RFC 8705 §6.3)', async (t) => {
  const shown = { presenter: present(rekeyed) }
  t.is(await confirm('x5t#S256', text, shown), 'binding_rotated')
  t.is(await confirm('jwk', ordersKey, shown), 'binding_rotated')
  t.is(await confirm('spiffe', undefined, shown), '')
})

test('x5t#S256 and jwk: a token that does not say whose it is cannot be a rotation', async (t) => {
  for (const name of ['x5t#S256', 'jwk'] as const) {
    const shown = { presenter: present(rekeyed) }
    const found = await confirm(name, vectors[name].value, shown, { identity: undefined })
    t.is(found, 'binding_mismatch')
  }
})

const rotation = { graceSeconds: 600, backdateSeconds: 120 }

interface Renewal {
  /** Seconds ago. */
  readonly notBefore: number
  readonly issuedAt: number
  readonly identity?: unknown
  readonly rules?: Partial<BindingRules>
  readonly evidence?: 'certificate' | 'principal'
  readonly spiffeId?: string
}

async function confirmRenewed(renewal: Renewal): Promise<string> {
  const { spiffeId = ordersId, evidence, identity = ordersId, rules = { rotation } } = renewal
  const leaf = await authority.issue({
    spiffeId,
    notBefore: new Date((now - renewal.notBefore) * 1000),
  })
  const parts = { identity, issuedAt: now - renewal.issuedAt }
  return confirm('x5t#S256', text, { presenter: present(leaf, evidence) }, parts, rules)
}

test('policy.md Rotation: a certificate that is newer than the token passes within the grace', async (t) => {
  t.is(await confirmRenewed({ notBefore: 180, issuedAt: 240 }), '')
  t.is(await confirmRenewed({ notBefore: 180, issuedAt: 240, rules: {} }), 'binding_rotated')
})

test('policy.md Rotation: less than the grace may have passed since notBefore + backdate', async (t) => {
  for (const [notBefore, expected] of [
    [120, ''],
    [719, ''],
    [720, 'binding_rotated'],
    [721, 'binding_rotated'],
  ] as const) {
    t.is(await confirmRenewed({ notBefore, issuedAt: 3000 }), expected, `${notBefore} s ago`)
  }
})

test('policy.md Rotation: notBefore + backdate is at least iat - clockSkew', async (t) => {
  for (const [issuedAt, expected] of [
    [151, ''],
    [150, ''],
    [149, 'binding_rotated'],
    [0, 'binding_rotated'],
  ] as const) {
    // notBefore + backdate lies 180 s back, and the skew is 30 s.
    t.is(await confirmRenewed({ notBefore: 300, issuedAt }), expected, `issued ${issuedAt} s ago`)
  }
})

test('policy.md Rotation: the identity of the token is the presenter’s, or there is no grace', async (t) => {
  const renewal = { notBefore: 180, issuedAt: 240 }
  t.is(await confirmRenewed({ ...renewal, spiffeId: thief.spiffeId }), 'binding_mismatch')
  t.is(await confirmRenewed({ ...renewal, identity: thief.spiffeId }), 'binding_mismatch')
  t.is(await confirmRenewed({ ...renewal, identity: '' }), 'binding_mismatch')
  t.is(await confirmRenewed({ ...renewal, identity: null }), 'binding_mismatch')
})

test('policy.md Rotation: needs the certificate, and pardons no malformed thumbprint', async (t) => {
  const renewal = { notBefore: 180, issuedAt: 240 }
  t.is(await confirmRenewed({ ...renewal, evidence: 'principal' }), 'presenter_missing')
  for (const bad of vectors['x5t#S256'].malformed) {
    const shown = { presenter: present(rekeyed) }
    t.is(await confirm('x5t#S256', bad, shown, {}, { rotation }), 'binding_malformed')
  }
})

test('policy.md Rotation: is about x5t#S256 and about no other method', async (t) => {
  const leaf = await authority.issue({
    spiffeId: ordersId,
    notBefore: new Date((now - 180) * 1000),
  })
  const shown = { presenter: present(leaf), proof: proofOfThief }
  const parts = { issuedAt: now - 240 }
  t.is(await confirm('x5t#S256', text, shown, parts, { rotation }), '')
  t.is(await confirm('jwk', ordersKey, shown, parts, { rotation }), 'binding_rotated')
  t.is(await confirm('dpop', client.jkt, shown, parts, { rotation }), 'binding_mismatch')
})

for (const [kind, [owner, other]] of keyKinds) {
  test(`jwk: a certificate with a ${kind} key is confirmed by that key alone (RFC 7800 §3.2)`, async (t) => {
    const key = await jwkOf(owner)
    t.is(await confirm('jwk', key, { presenter: present(owner) }), '')
    t.is(await confirm('jwk', key, { presenter: present(other) }), 'binding_rotated')
    t.is(await confirm('jwk', key, { presenter: present(thief) }), 'binding_mismatch')
    t.is(
      await confirm('jwk', key, { presenter: present(other) }, { identity: 'somebody' }),
      'binding_mismatch',
    )
    t.is(await confirm('jwk', await jwkOf(other), { presenter: present(owner) }), 'binding_rotated')
  })
  test(`jwk: what a ${kind} key does not need does not change which key it is (RFC 7638 §3.2)`, async (t) => {
    const key = await jwkOf(owner)
    const labelled = { ...key, kid: 'a', use: 'sig', alg: 'x', key_ops: ['verify'] }
    t.is(await confirm('jwk', labelled, { presenter: present(owner) }), '')
    t.is(
      await confirm('jwk', { ...key, d: 'AA' }, { presenter: present(owner) }),
      'binding_malformed',
    )
  })
  test(`jwk: every member of a ${kind} key counts (RFC 7638 §3.2)`, async (t) => {
    const key = await jwkOf(owner)
    const names = Object.keys(key)
    t.true(names.length >= 3)
    for (const name of names) {
      const changed = { ...key, [name]: (await jwkOf(other))[name] }
      const { [name]: _gone, ...without } = key
      t.is(
        await confirm('jwk', without, { presenter: present(owner) }),
        'binding_malformed',
        `without ${name}`,
      )
      if (changed[name] !== key[name]) {
        t.is(await confirm('jwk', changed, { presenter: present(owner) }), 'binding_rotated', name)
      }
    }
  })
}

test('jwk: the key of RFC 8705 App. A is well-formed and nobody’s here (RFC 7800 §3.2)', async (t) => {
  t.is(await confirm('jwk', rfc8705.jwk, { presenter: present(thief) }), 'binding_mismatch')
})
