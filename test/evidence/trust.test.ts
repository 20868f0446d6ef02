/** Which leaf chains to the bundle of its own trust domain, and until when (RFC 5280 §6, X509-SVID §5). */

import 'reflect-metadata'
import { webcrypto } from 'node:crypto'
import {
  ExtendedKeyUsage,
  ExtendedKeyUsageExtension,
  Extension,
  KeyUsageFlags,
  KeyUsagesExtension,
  SubjectAlternativeNameExtension,
} from '@peculiar/x509'
import test, { type ExecutionContext } from 'ava'
import { isRefusal } from '../../src/decision/decision.ts'
import {
  type CertificateFacts,
  createCertificateReader,
  decodeChain,
} from '../../src/evidence/certificate.ts'
import { createTrustStore, type TrustStore } from '../../src/evidence/trust.ts'
import {
  createSigner,
  envoyTextOf,
  type Leaf,
  type LeafOptions,
  pemOf,
  type Signer,
  type SignerOptions,
} from '../support/pki.ts'

/** One frozen second; roots are valid for three days around it, intermediates for two, leaves for one. */
const now = 1_800_000_000
const day = 86_400
const around = (days: number) => ({ notBefore: dateOf(-days * day), notAfter: dateOf(days * day) })
const domain = 'mesh.example'
const ordersId = 'spiffe://mesh.example/ns/shop/sa/orders'

function dateOf(after: number): Date {
  return new Date((now + after) * 1000)
}

const rootOf = (options: SignerOptions = {}) => createSigner({ ...around(3), ...options })
const intermediateOf = (issuer: Signer, options: SignerOptions = {}) =>
  createSigner({ ...around(2), name: 'intermediate', issuer, ...options })
const leafOf = (issuer: Signer, options: LeafOptions = {}) =>
  issuer.issue({ ...around(1), spiffeId: ordersId, ...options })

function factsOf(leaf: Leaf): CertificateFacts {
  const facts = createCertificateReader().read(leaf.envoyText)
  if (isRefusal(facts)) throw new Error(facts.detail)
  return facts
}

function storeOf(...signers: readonly Signer[]): TrustStore {
  const store = createTrustStore()
  const problem = store.replace(domain, bundleOf(...signers))
  if (problem !== undefined) throw new Error(problem)
  return store
}

function bundleOf(...signers: readonly Signer[]): string {
  return signers.map(({ pem }) => pem).join('')
}

interface Question {
  readonly chain?: readonly Signer[]
  readonly at?: number
}

/** '' where the leaf is trusted, else the detail of the refusal. */
async function ask(
  store: TrustStore,
  leaf: Leaf,
  { chain = [], at = now }: Question = {},
): Promise<string> {
  const ders = chain.map(({ der }) => der)
  const refusal = await store.verify(factsOf(leaf), ders, at)
  if (refusal !== undefined && refusal.refused !== 'presenter_invalid') throw new Error('reason')
  return refusal?.detail ?? ''
}

async function trusted(t: ExecutionContext, ...question: Parameters<typeof ask>): Promise<void> {
  t.is(await ask(...question), '')
}

async function refused(
  t: ExecutionContext,
  detail: RegExp,
  ...question: Parameters<typeof ask>
): Promise<void> {
  t.regex(await ask(...question), detail)
}

const notIssued = /no CA of the trust domain’s bundle issued/
const notVerified = /does not verify|cannot be verified/
const outside = /outside its validity/

const root = await rootOf()
const orders = await leafOf(root)
const intermediate = await intermediateOf(root)
const under = await leafOf(intermediate)
// Certified by another key under its own name.
const notSelfSigned = (await createSigner({ issuer: await rootOf(), name: domain })).pem

const tlv = (tag: number, ...parts: readonly Buffer[]) => {
  const content = Buffer.concat(parts)
  return Buffer.concat([Buffer.from([tag, content.length]), content])
}
/** RFC 5280 §4.2.1.10 with one uniformResourceIdentifier: [0] permitted or [1] excluded. */
const nameConstraints = (kind: 'permitted' | 'excluded', ...hosts: readonly string[]) => {
  const subtrees = hosts.map((host) => tlv(0x30, tlv(0x86, Buffer.from(host))))
  const list = tlv(kind === 'permitted' ? 0xa0 : 0xa1, ...subtrees)
  return new Extension('2.5.29.30', true, tlv(0x30, list))
}
const san = new SubjectAlternativeNameExtension([{ type: 'url', value: ordersId }], true)
const purposes = (...ids: readonly string[]) => new ExtendedKeyUsageExtension([...ids])
const unknownCritical = new Extension('1.3.6.1.4.1.55555.1', true, Buffer.from('0500', 'hex'))
const unknown = new Extension('1.3.6.1.4.1.55555.1', false, Buffer.from('0500', 'hex'))

test('RFC 5280 §6.1: a leaf that the trust domain’s CA issued is trusted', async (t) => {
  await trusted(t, storeOf(root), orders)
})

test('a trust domain whose bundle was never read has no trusted leaf', async (t) => {
  await refused(
    t,
    /^no trust bundle for the trust domain has been read$/,
    createTrustStore(),
    orders,
  )
})

test('RFC 5280 §6.1: a leaf of a rogue CA with the same name is refused', async (t) => {
  const rogue = await rootOf()
  await refused(t, notVerified, storeOf(root), await leafOf(rogue))
  await refused(t, notVerified, storeOf(root), await leafOf(rogue), { chain: [rogue] })
})

test('X509-SVID §5: bundles are never pooled: another domain’s CA cannot issue for this one', async (t) => {
  for (const name of ['other.example', domain]) {
    const other = await rootOf({ name })
    const store = storeOf(root)
    t.is(store.replace('other.example', other.pem), undefined)
    t.not(await ask(store, await leafOf(other)), '', name)
    t.not(await ask(store, await leafOf(other), { chain: [other] }), '', name)
    const own = { spiffeId: 'spiffe://other.example/ns/web/sa/blog' }
    await trusted(t, store, await leafOf(other, own))
    t.not(await ask(store, await leafOf(root, own)), '', name)
  }
})

test('an intermediate may stand in the bundle, in any order', async (t) => {
  await trusted(t, storeOf(root, intermediate), under)
  await trusted(t, storeOf(intermediate, root), under)
})

test('an intermediate may come with the leaf', async (t) => {
  await trusted(t, storeOf(root), under, { chain: [intermediate] })
  const deeper = await intermediateOf(intermediate, { name: 'deeper' })
  const leaf = await leafOf(deeper)
  await trusted(t, storeOf(root), leaf, { chain: [deeper, intermediate] })
  await trusted(t, storeOf(root, intermediate), leaf, { chain: [deeper, root] })
})

test('a missing intermediate is a refusal, at once and without a promise for 5 seconds', async (t) => {
  const store = storeOf(root)
  const facts = factsOf(under)
  await refused(t, notIssued, store, under)
  for (const later of [0, 4]) t.true(isRefusal(store.verify(facts, [], now + later)))
  t.true(store.verify(facts, [], now + 5) instanceof Promise)
  t.true(store.verify(facts, [], now - 1) instanceof Promise, 'a clock set back')
})

test('a refusal is for the chain that came: the intermediate is heard right after it', async (t) => {
  const store = storeOf(root)
  await refused(t, notIssued, store, under)
  await trusted(t, store, under, { chain: [intermediate] })
  await trusted(t, store, under)
})

test('refusals are remembered for 256 certificates, not more', async (t) => {
  const store = storeOf(root)
  const facts = factsOf(under)
  const junk = (i: number) => [Buffer.from(`${i}`)]
  for (let i = 0; i <= 256; i++) await store.verify(facts, junk(i), now)
  t.true(isRefusal(store.verify(facts, junk(256), now)))
  t.true(isRefusal(store.verify(facts, junk(1), now)))
  t.true(store.verify(facts, junk(0), now) instanceof Promise)
})

test('RFC 5280 §6.1.1: a root that comes with the leaf is not an anchor', async (t) => {
  const rogue = await rootOf({ name: 'rogue' })
  await refused(t, notIssued, storeOf(root), await leafOf(rogue), { chain: [rogue] })
  const lower = await intermediateOf(rogue)
  const leaf = await leafOf(lower)
  await refused(t, notIssued, storeOf(root), leaf, { chain: [lower, rogue] })
})

test('pkijs judges another certificate where the leaf comes twice: here the chain may hold it', async (t) => {
  const rogue = await rootOf({ name: 'intermediate' })
  const leaf = await leafOf(rogue)
  const twice = { ...intermediate, der: leaf.der }
  for (const chain of [
    [twice, intermediate],
    [intermediate, twice],
    [intermediate, twice, twice],
  ]) {
    await refused(t, notVerified, storeOf(root), leaf, { chain })
    await refused(t, notVerified, storeOf(root, intermediate), leaf, { chain })
  }
  const own = { ...intermediate, der: under.der }
  await trusted(t, storeOf(root), under, { chain: [own, intermediate] })
})

test('CAs that certify each other, with which pkijs never ends, are a path or none', async (t) => {
  const a = await rootOf({ name: 'a' })
  const b = await rootOf({ name: 'b' })
  const aByB = await intermediateOf(b, { name: 'a', keys: a.keys })
  const bByA = await intermediateOf(a, { name: 'b', keys: b.keys })
  const leaf = await leafOf(a)
  await refused(t, notIssued, storeOf(root), leaf, { chain: [aByB, bByA] })
  await trusted(t, storeOf(b), leaf, { chain: [bByA, aByB] })
  await trusted(t, storeOf(a, b, aByB, bByA), leaf)
})

test('a search ends after 16 steps: decoys cost their sender the answer, and nobody else much', async (t) => {
  const decoys = await Promise.all([1, 2, 3, 4, 5].map(() => rootOf({ name: 'intermediate' })))
  const few = [...decoys.slice(0, 1), intermediate]
  await trusted(t, storeOf(root), under, { chain: few })
  await refused(t, /./, storeOf(root), under, { chain: [...decoys, intermediate] })
  await trusted(t, storeOf(root, intermediate), under, { chain: decoys })
})

test('of what comes with a leaf 8 certificates are looked at, and what cannot be read is passed over', async (t) => {
  const facts = factsOf(under)
  const junk = [Buffer.alloc(0), Buffer.from('junk'), Buffer.alloc(20_000, 0x30), orders.der]
  t.is(await storeOf(root).verify(facts, [...junk, intermediate.der], now), undefined)
  const eight = [...junk, ...junk]
  t.true(isRefusal(await storeOf(root).verify(facts, [...eight, intermediate.der], now)))
})

const badIntermediates: { readonly [title: string]: SignerOptions } = {
  'RFC 5280 §4.2.1.9: an intermediate without cA': { isAuthority: false },
  'RFC 5280 §4.2.1.9: an intermediate without cA and keyUsage': {
    isAuthority: false,
    keyUsage: null,
  },
  'RFC 5280 §4.2.1.3: an intermediate without keyCertSign': { keyUsage: KeyUsageFlags.cRLSign },
  'RFC 5280 §4.2.1.3: an intermediate without keyUsage': { keyUsage: null },
  'RFC 5280 §4.2: an intermediate with an unknown critical extension': { more: [unknownCritical] },
  'RFC 5280 §4.2.1.12: an intermediate for servers only': {
    more: [purposes(ExtendedKeyUsage.serverAuth)],
  },
  'RFC 5280 §4.2.1.10: an intermediate with malformed name constraints': {
    more: [new Extension('2.5.29.30', true, Buffer.from('040100', 'hex'))],
  },
  'X509-SVID §3: an intermediate named after another trust domain': {
    uri: 'spiffe://other.example',
  },
  'X509-SVID §3: an intermediate named after a workload': { uri: ordersId },
  'X509-SVID §3: an intermediate named in another spelling': { uri: 'SPIFFE://mesh.example' },
}
for (const [title, options] of Object.entries(badIntermediates)) {
  test(`${title} issues nothing and has no place in the bundle`, async (t) => {
    const bad = await intermediateOf(root, options)
    const leaf = await leafOf(bad)
    await refused(t, notIssued, storeOf(root), leaf, { chain: [bad] })
    const store = storeOf(root)
    t.regex(store.replace(domain, bundleOf(root, bad)) ?? '', /^block 2 of the bundle is not taken/)
  })
}

test('control: an intermediate with the trust domain’s ID, clientAuth and unknown extensions issues', async (t) => {
  const uri = 'spiffe://mesh.example'
  const more = [purposes(ExtendedKeyUsage.clientAuth), unknown]
  const fine = await intermediateOf(root, { uri, more })
  await trusted(t, storeOf(root), await leafOf(fine), { chain: [fine] })
  const web = await intermediateOf(root, { uri: 'https://ca.example/' })
  await trusted(t, storeOf(root), await leafOf(web), { chain: [web] })
})

test('RFC 5280 §4.2.1.9: pathLenConstraint 0 allows no further intermediate, in CA and root', async (t) => {
  const last = await intermediateOf(root, { pathLength: 0 })
  await trusted(t, storeOf(root), await leafOf(last), { chain: [last] })
  const beyond = await intermediateOf(last, { name: 'beyond' })
  const leaf = await leafOf(beyond)
  await refused(t, /longer than a CA allows/, storeOf(root), leaf, { chain: [beyond, last] })
  const narrow = await rootOf({ name: 'narrow', pathLength: 0 })
  await trusted(t, storeOf(narrow), await leafOf(narrow))
  const lower = await intermediateOf(narrow)
  const low = await leafOf(lower)
  await refused(t, /longer than a CA allows/, storeOf(narrow), low, { chain: [lower] })
})

test('RFC 5280 §6.1.4 (l): an intermediate that is self-issued does not count', async (t) => {
  const narrow = await rootOf({ pathLength: 0 })
  const renewed = await createSigner({ ...around(3), issuer: narrow })
  await trusted(t, storeOf(narrow), await leafOf(renewed), { chain: [renewed] })
  await trusted(t, storeOf(narrow, renewed), await leafOf(renewed))
})

const periods = { leaf: 1, intermediate: 2, root: 3 }
for (const name of ['leaf', 'intermediate', 'root'] as const) {
  test(`RFC 5280 §6.1.3: the ${name}’s validity holds to the second, on both ends`, async (t) => {
    // All the others are valid for ten days, so that this one alone ends the path.
    const of = (who: string, options: object) => ({
      ...around(who === name ? periods[name] : 10),
      ...options,
    })
    const top = await createSigner(of('root', {}))
    const middle = await createSigner(of('intermediate', { name: 'middle', issuer: top }))
    const leaf = await middle.issue({ ...of('leaf', {}), spiffeId: ordersId })
    const end = periods[name] * day
    for (const at of [now - end, now, now + end]) {
      await trusted(t, storeOf(top, middle), leaf, { at })
    }
    for (const at of [now - end - 1, now + end + 1]) {
      await refused(t, outside, storeOf(top, middle), leaf, { at })
    }
  })
}

const leaves: { readonly [title: string]: { extensions: readonly Extension[]; detail?: RegExp } } =
  {
    'RFC 5280 §4.2.1.12: a leaf for servers only is refused': {
      extensions: [purposes(ExtendedKeyUsage.serverAuth)],
      detail: /clientAuth/,
    },
    'RFC 5280 §4.2.1.12: a leaf for servers only, critical, is refused': {
      extensions: [new ExtendedKeyUsageExtension([ExtendedKeyUsage.serverAuth], true)],
      detail: /clientAuth/,
    },
    'X509-SVID §4.4: a leaf for clients is trusted': {
      extensions: [purposes(ExtendedKeyUsage.clientAuth)],
    },
    'RFC 5280 §4.2.1.12: a leaf for any purpose is trusted': {
      extensions: [purposes('2.5.29.37.0')],
    },
    'RFC 5280 §4.2.1.12: a leaf without extendedKeyUsage is trusted': { extensions: [] },
    'RFC 5280 §4.2.1.12: a leaf with malformed extendedKeyUsage is refused': {
      extensions: [new Extension('2.5.29.37', false, Buffer.from('040100', 'hex'))],
      detail: /malformed/,
    },
    'X509-SVID §4.3: a leaf with keyUsage but no digitalSignature is refused': {
      extensions: [new KeyUsagesExtension(KeyUsageFlags.keyEncipherment, true)],
      detail: /digitalSignature/,
    },
    'X509-SVID §4.3: a leaf with digitalSignature among others is trusted': {
      extensions: [
        new KeyUsagesExtension(KeyUsageFlags.digitalSignature | KeyUsageFlags.keyAgreement, true),
      ],
    },
    'RFC 5280 §4.2: a leaf with an unknown critical extension is refused': {
      extensions: [unknownCritical],
      detail: /critical extension is unknown/,
    },
    'RFC 5280 §4.2: a leaf with an unknown extension that is not critical is trusted': {
      extensions: [unknown],
    },
  }
for (const [title, { extensions, detail }] of Object.entries(leaves)) {
  test(title, async (t) => {
    const leaf = await leafOf(root, { extensions: [san, ...extensions] })
    if (detail === undefined) await trusted(t, storeOf(root), leaf)
    else await refused(t, detail, storeOf(root), leaf)
  })
}

const rsa = {
  name: 'RSASSA-PKCS1-v1_5',
  hash: 'SHA-256',
  publicExponent: new Uint8Array([1, 0, 1]),
  modulusLength: 2048,
}
const algorithms = {
  'RSA SHA-256': rsa,
  'RSA SHA-512': { ...rsa, hash: 'SHA-512' },
  'RSA-PSS SHA-256': { ...rsa, name: 'RSA-PSS', saltLength: 32 },
  'P-384 SHA-384': { name: 'ECDSA', namedCurve: 'P-384', hash: 'SHA-384' },
  'P-521 SHA-512': { name: 'ECDSA', namedCurve: 'P-521', hash: 'SHA-512' },
}
for (const [name, algorithm] of Object.entries(algorithms)) {
  test(`RFC 5480, RFC 8017: a CA with ${name} issues leaves and CAs`, async (t) => {
    const top = await rootOf({ algorithm })
    await trusted(t, storeOf(top), await leafOf(top))
    const middle = await intermediateOf(top)
    await trusted(t, storeOf(top), await leafOf(middle), { chain: [middle] })
    await refused(t, notVerified, storeOf(top), await leafOf(await rootOf({ algorithm })))
  })
}

test('RFC 9155 §1: a leaf or a CA that is signed with SHA-1 is refused; a root’s own signature counts for nothing', async (t) => {
  const weak = await rootOf({ algorithm: { ...rsa, hash: 'SHA-1' } })
  await refused(t, notVerified, storeOf(weak), await leafOf(weak))
  const lower = await intermediateOf(weak)
  await refused(t, notVerified, storeOf(weak, lower), await leafOf(lower))
  // The same key under SHA-256, to which WebCrypto does not let it go by itself.
  const pkcs8 = await webcrypto.subtle.exportKey('pkcs8', weak.keys.privateKey)
  const privateKey = await webcrypto.subtle.importKey('pkcs8', pkcs8, rsa, true, ['sign'])
  const strong = await rootOf({ algorithm: rsa, keys: { ...weak.keys, privateKey } })
  await trusted(t, storeOf(weak), await leafOf(strong))
})

test('a CA with a key that cannot be verified with (Ed25519) has no place in the bundle', async (t) => {
  const odd = await rootOf({ algorithm: { name: 'Ed25519' } })
  t.regex(createTrustStore().replace(domain, odd.pem) ?? '', /block 1 .* neither RSA nor EC/)
})

test('RFC 5280 §4.2.1.10: name constraints of CA and root bind the leaf’s URI', async (t) => {
  for (const [extension, holds] of [
    [nameConstraints('permitted', domain), true],
    [nameConstraints('permitted', 'other.example'), false],
    [nameConstraints('permitted', '.mesh.example'), false],
    [nameConstraints('permitted', 'other.example', domain), true],
    [nameConstraints('excluded', domain), false],
    [nameConstraints('excluded', 'other.example'), true],
  ] as const) {
    const middle = await intermediateOf(root, { more: [extension] })
    const leaf = await leafOf(middle)
    t.is((await ask(storeOf(root), leaf, { chain: [middle] })) === '', holds)
    const top = await rootOf({ more: [extension] })
    t.is((await ask(storeOf(top), await leafOf(top))) === '', holds, 'root')
  }
})

test('RFC 5280 §6.1.4 (g): a CA cannot widen the name constraints of the one above', async (t) => {
  const other = nameConstraints('permitted', 'other.example')
  const own = nameConstraints('permitted', domain)
  for (const [above, below, holds] of [
    [other, own, false],
    [own, own, true],
  ] as const) {
    const upper = await intermediateOf(root, { name: 'upper', more: [above] })
    const lower = await intermediateOf(upper, { name: 'lower', more: [below] })
    const leaf = await leafOf(lower)
    t.is((await ask(storeOf(root), leaf, { chain: [lower, upper] })) === '', holds)
  }
})

test('a roll of the bundle: the new root’s leaves pass, the old one’s no longer, but both while both are in it', async (t) => {
  const next = await rootOf()
  const renewed = await leafOf(next)
  const store = storeOf(root)
  await trusted(t, store, orders)
  t.is(store.replace(domain, bundleOf(root, next)), undefined)
  await trusted(t, store, orders)
  await trusted(t, store, renewed)
  t.is(store.replace(domain, next.pem), undefined)
  await refused(t, notVerified, store, orders)
  await trusted(t, store, renewed)
})

test('a root renewed for the same key: the path that is valid now is taken', async (t) => {
  const old = await createSigner({ notBefore: dateOf(-9 * day), notAfter: dateOf(-day) })
  const renewed = await rootOf({ keys: old.keys })
  await trusted(t, storeOf(old, renewed), await leafOf(old))
  await refused(t, outside, storeOf(old), await leafOf(old))
})

test('a leaf that is refused under one bundle is judged anew under the next', async (t) => {
  const next = await rootOf({ name: 'next' })
  const store = storeOf(root)
  const leaf = await leafOf(next)
  await refused(t, notIssued, store, leaf)
  t.is(store.replace(domain, bundleOf(root, next)), undefined)
  await trusted(t, store, leaf)
})

const problems: { readonly [title: string]: readonly [text: string, problem: RegExp] } = {
  nothing: ['', /empty: put the trust domain’s root CA in it/],
  blanks: ['\n \n', /block 1 .* leave only CERTIFICATE blocks/],
  'a comment before the block': [`# root\n${root.pem}`, /^block 1 /],
  'junk between blocks': [`${root.pem}junk\n${intermediate.pem}`, /^block 2 /],
  'junk after the blocks': [`${root.pem}${intermediate.pem}junk`, /^block 3 /],
  'a private key': [`${root.pem}${orders.keyPem}`, /^block 2 /],
  'a cut block': [root.pem.slice(0, -20), /^block 1 /],
  'a block without content': [
    '-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n',
    /^block 1 /,
  ],
  'padding that is not canonical': [root.pem.replace('\n-----END', '=\n-----END'), /^block 1 /],
  'a block that is no certificate': [
    `${root.pem}${pemOf(Buffer.from('junk'))}`,
    /^block 2 .* cannot be read.* take it out/,
  ],
  'bytes after the DER': [pemOf(Buffer.concat([root.der, Buffer.alloc(1)])), /^block 1 .* be read/],
  'a workload’s leaf': [`${root.pem}${orders.pem}`, /^block 2 .* not a CA certificate/],
  'no root': [intermediate.pem, /no self-signed CA certificate: add/],
  'a root that did not sign itself': [notSelfSigned, /no self-signed CA certificate: add/],
  'over 256 KiB': [`${root.pem}${' '.repeat(256 * 1024)}`, /over 256 KiB/],
}
for (const [title, [text, problem]] of Object.entries(problems)) {
  test(`RFC 7468 §5: a bundle with ${title} is a problem, and the one before stays`, async (t) => {
    const store = storeOf(root)
    t.regex(store.replace(domain, text) ?? '', problem)
    await trusted(t, store, orders)
    const fresh = createTrustStore()
    t.regex(fresh.replace(domain, text) ?? '', problem)
    await refused(t, /^no trust bundle/, fresh, orders)
  })
}

test('RFC 7468 §3: a bundle may have CRLF line ends, blank lines and no last line end', async (t) => {
  for (const text of [
    bundleOf(root, intermediate).replaceAll('\n', '\r\n'),
    `\n${root.pem}\n\n${intermediate.pem}\n`,
    bundleOf(root, intermediate).trimEnd(),
  ]) {
    const store = createTrustStore()
    t.is(store.replace(domain, text), undefined)
    await trusted(t, store, under)
  }
})

test('X509-SVID §5: a leaf that stands in the bundle is not thereby trusted', async (t) => {
  const rogue = await leafOf(await rootOf())
  const store = storeOf(root)
  t.regex(store.replace(domain, `${root.pem}${rogue.pem}`) ?? '', /^block 2 /)
  await refused(t, notVerified, store, rogue)
})

test('what was verified is answered at once, until the first notAfter of its path', async (t) => {
  const store = storeOf(root)
  const short = await intermediateOf(root, { notAfter: dateOf(100), notBefore: dateOf(-100) })
  const facts = factsOf(await leafOf(short))
  t.true(store.verify(facts, [short.der], now) instanceof Promise)
  t.is(await store.verify(facts, [short.der], now), undefined)
  for (const at of [now - 100, now, now + 100]) t.is(store.verify(facts, [], at), undefined)
  for (const at of [now - 101, now + 101]) {
    const answer = store.verify(facts, [short.der], at)
    t.true(answer instanceof Promise)
    t.true(isRefusal(await answer))
  }
})

test('the same bundle again forgets nothing; another one forgets all', async (t) => {
  const store = storeOf(root)
  const facts = factsOf(orders)
  t.is(await store.verify(facts, [], now), undefined)
  t.is(store.replace(domain, bundleOf(root)), undefined)
  t.is(store.verify(facts, [], now), undefined)
  t.is(store.replace(domain, bundleOf(root, intermediate)), undefined)
  t.true(store.verify(facts, [], now) instanceof Promise)
})

test('who asks for the same leaf at the same time waits for the same answer', async (t) => {
  const store = storeOf(root)
  const facts = factsOf(orders)
  const first = store.verify(facts, [], now)
  t.true(first instanceof Promise)
  t.is(store.verify(facts, [], now), first)
  t.is(await first, undefined)
})

test('an answer under way when the bundle is replaced is not kept for the new one', async (t) => {
  const store = storeOf(root)
  const facts = factsOf(orders)
  const first = store.verify(facts, [], now)
  t.is(store.replace(domain, (await rootOf({ name: 'next' })).pem), undefined)
  await first
  t.true(isRefusal(await store.verify(facts, [], now)))
})

test('a leaf that cannot be verified is a refusal, never an exception', async (t) => {
  const store = storeOf(root)
  for (const der of [Buffer.alloc(0), Buffer.from('junk'), Buffer.alloc(16_000, 0x30)]) {
    const facts = { ...factsOf(orders), der, x5tS256: der.toString('hex').slice(0, 20) }
    t.true(isRefusal(await store.verify(facts, [], now)))
  }
})

for (const [name, algorithm] of Object.entries({ EC: undefined, RSA: rsa })) {
  test(`RFC 5280 §4.1.1.3: a leaf of an ${name} CA with any byte changed is never trusted`, async (t) => {
    const top = await rootOf(algorithm && { algorithm })
    const { der, envoyText } = await leafOf(top)
    const store = storeOf(top)
    const { read } = createCertificateReader()
    let asked = 0
    for (let at = 0; at < der.length; at++) {
      for (const flip of [0x01, 0x80, 0xff]) {
        const changed = Buffer.from(der)
        changed[at] = (changed[at] ?? 0) ^ flip
        const facts = read(envoyTextOf(pemOf(changed)))
        if (isRefusal(facts)) continue
        asked++
        const answer = await store.verify(facts, [], now)
        t.true(isRefusal(answer), `byte ${at} of ${der.length}, ^${flip}`)
      }
    }
    t.true(asked > 100, `${asked} were asked`)
    const facts = read(envoyText)
    t.is(isRefusal(facts) || (await store.verify(facts, [], now)), undefined, 'control')
  })
}

test('envoy XFCC Chain: 1 to 8 PEM blocks one after the other, in their order', (t) => {
  const chain = (...signers: Signer[]) => decodeChain(envoyTextOf(bundleOf(...signers)))
  t.deepEqual(chain(root), [root.der])
  t.deepEqual(chain(intermediate, root), [intermediate.der, root.der])
  t.is(chain(...Array.from({ length: 8 }, () => root))?.length, 8)
  t.is(chain(...Array.from({ length: 9 }, () => root)), undefined)
})

const chains: { readonly [title: string]: string } = {
  nothing: '',
  'junk after': envoyTextOf(`${root.pem}junk`),
  'junk before': envoyTextOf(`junk${root.pem}`),
  'junk between': envoyTextOf(`${root.pem}\n${root.pem}`),
  'no line end between': envoyTextOf(`${root.pem.trimEnd()}${root.pem}`),
  'a key among them': envoyTextOf(`${root.pem}${orders.keyPem}`),
  'bad percent-encoding': `${envoyTextOf(root.pem)}%0`,
  'CRLF line ends': encodeURIComponent(root.pem.replaceAll('\n', '\r\n')),
  'over 64 KiB': envoyTextOf(pemOf(Buffer.alloc(15_000)).repeat(4)),
}
for (const [title, text] of Object.entries(chains)) {
  test(`envoy XFCC Chain: ${title} is no chain`, (t) => {
    t.is(decodeChain(text), undefined)
  })
}
