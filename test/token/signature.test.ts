/** Signatures, held against jose as the second opinion: the same verdict for every algorithm, on good and on broken ones. */

import test from 'ava'
import fc from 'fast-check'
import { compactVerify, exportJWK, generateKeyPair, importJWK, SignJWT } from 'jose'
import { type Algorithm, algorithms } from '../../src/token/algorithms.ts'
import { importPublicKey, verifySignature } from '../../src/token/signature.ts'

async function createSigner(algorithm: Algorithm) {
  const { publicKey, privateKey } = await generateKeyPair(algorithm, { extractable: true })
  const jwk = { ...(await exportJWK(publicKey)) }
  return {
    algorithm,
    jwk,
    key: await importPublicKey(jwk, algorithm),
    sign: (claims: object = {}) =>
      new SignJWT({ ...claims }).setProtectedHeader({ alg: algorithm }).sign(privateKey),
    /** What jose says. */
    async opinion(text: string): Promise<boolean> {
      const key = await importJWK(jwk, algorithm)
      return compactVerify(text, key, { algorithms: [algorithm] }).then(
        () => true,
        () => false,
      )
    },
  }
}
const signers = await Promise.all(algorithms.map(createSigner))

for (const signer of signers) {
  const { algorithm, key } = signer
  const own = (text: string) => verifySignature(text, key, algorithm)

  test(`${algorithm}: what jose signed verifies, and under another key of the kind does not (RFC 7515 §5.2)`, async (t) => {
    const text = await signer.sign({ sub: 'orders' })
    t.true(await own(text))
    const other = await createSigner(algorithm)
    t.false(await verifySignature(text, other.key, algorithm))
  })

  test(`${algorithm}: with any one bit of the signature, or a character of the rest, changed it verifies nowhere`, async (t) => {
    const text = await signer.sign({ sub: 'orders' })
    const dot = text.lastIndexOf('.')
    const signature = Buffer.from(text.slice(dot + 1), 'base64url')
    for (let bit = 0; bit < signature.length * 8; bit += algorithm.startsWith('E') ? 1 : 13) {
      const changed = Buffer.from(signature)
      changed[bit >> 3] = (changed[bit >> 3] ?? 0) ^ (1 << (bit & 7))
      t.false(await own(`${text.slice(0, dot)}.${changed.toString('base64url')}`), `bit ${bit}`)
    }
    for (let at = 0; at < dot; at++) {
      const char = text[at] === 'A' ? 'B' : 'A'
      t.false(await own(text.slice(0, at) + char + text.slice(at + 1)), `character ${at}`)
    }
  })

  test(`${algorithm}: a signature of another length or spelling is refused, as by jose`, async (t) => {
    const text = await signer.sign({ sub: 'orders' })
    const dot = text.lastIndexOf('.')
    const [head, encoded] = [text.slice(0, dot), text.slice(dot + 1)]
    const bytes = Buffer.from(encoded, 'base64url')
    const lengths = [0, 1, bytes.length - 1, bytes.length + 1, 2 * bytes.length]
    for (const length of lengths) {
      const changed = Buffer.concat([bytes, bytes]).subarray(0, length).toString('base64url')
      t.false(await own(`${head}.${changed}`), `${length} bytes`)
      t.false(await signer.opinion(`${head}.${changed}`), `${length} bytes`)
    }
    for (const spelling of [`${encoded}=`, ` ${encoded}`, `${encoded}\n`, `${encoded}.`])
      t.false(await own(`${head}.${spelling}`), spelling)
    t.false(await own(encoded))
    t.false(await own(''))
  })

  test(`${algorithm}: jose and this agree on signatures made of any bytes`, async (t) => {
    const text = await signer.sign()
    const head = text.slice(0, text.lastIndexOf('.'))
    const size = Buffer.from(text.slice(head.length + 1), 'base64url').length
    const bytes = fc.oneof(
      fc.uint8Array({ minLength: size, maxLength: size }),
      fc.uint8Array({ maxLength: size + 2 }),
      fc.constantFrom(new Uint8Array(size), new Uint8Array(size).fill(255), Buffer.alloc(size, 1)),
    )
    await fc.assert(
      fc.asyncProperty(bytes, async (signature) => {
        const made = `${head}.${Buffer.from(signature).toString('base64url')}`
        t.is(await own(made), await signer.opinion(made))
      }),
      { numRuns: 50 },
    )
  })
}

test('ECDSA: integers that begin with zeros or with a one bit are read as they are (X.690 §8.3, RFC 7518 §3.4)', async (t) => {
  for (const { algorithm, key, sign } of signers.filter(({ algorithm }) =>
    algorithm.startsWith('ES'),
  )) {
    // ES512: the first octet holds one bit of 521.
    const wanted = algorithm === 'ES512' ? ['zero', 'neither'] : ['zero', 'one bit', 'neither']
    const seen = new Set<string>()
    // Each needs 256 tries on average; not to meet one in 20,000 is no chance any more.
    for (let n = 0; n < 20_000 && !wanted.every((kind) => seen.has(kind)); n++) {
      const text = await sign({ n })
      const bytes = Buffer.from(text.slice(text.lastIndexOf('.') + 1), 'base64url')
      for (const first of [bytes[0] ?? 0, bytes[bytes.length / 2] ?? 0])
        seen.add(first === 0 ? 'zero' : first > 0x7f ? 'one bit' : 'neither')
      t.true(await verifySignature(text, key, algorithm), text)
    }
    t.deepEqual([...seen].sort(), wanted.sort(), algorithm)
  }
})

test('ECDSA: R or S of zero, or of the order and more, is refused (FIPS 186-5 §6.4.2)', async (t) => {
  const es256 = signers.find(({ algorithm }) => algorithm === 'ES256')
  if (es256 === undefined) return t.fail()
  const text = await es256.sign()
  const dot = text.lastIndexOf('.')
  const bytes = Buffer.from(text.slice(dot + 1), 'base64url')
  const order = Buffer.from(
    'ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551',
    'hex',
  )
  const [r, s] = [bytes.subarray(0, 32), bytes.subarray(32)]
  for (const pair of [
    [Buffer.alloc(32), s],
    [r, Buffer.alloc(32)],
    [Buffer.alloc(32), Buffer.alloc(32)],
    [order, s],
    [r, order],
    [Buffer.alloc(32, 255), Buffer.alloc(32, 255)],
  ]) {
    const made = `${text.slice(0, dot)}.${Buffer.concat(pair).toString('base64url')}`
    t.false(await verifySignature(made, es256.key, 'ES256'))
  }
})

test('a key of another kind than the algorithm’s verifies nothing and rejects nothing (RFC 8725 §3.1)', async (t) => {
  for (const { algorithm, sign } of signers) {
    const text = await sign()
    for (const other of signers.filter(({ key }) => key.asymmetricKeyType !== undefined)) {
      if (other.algorithm === algorithm) continue
      t.false(await verifySignature(text, other.key, algorithm), `${algorithm} ${other.algorithm}`)
    }
  }
})

test('what is no public key for the algorithm is not imported (RFC 7517 §4, RFC 7518 §6.2)', async (t) => {
  const es256 = signers.find(({ algorithm }) => algorithm === 'ES256')
  if (es256 === undefined) return t.fail()
  const { y: _, ...withoutY } = es256.jwk
  const bad = [{}, withoutY, { ...es256.jwk, y: es256.jwk.x }, { ...es256.jwk, crv: 'P-384' }]
  for (const jwk of bad) await t.throwsAsync(importPublicKey(jwk, 'ES256'))
  await t.throwsAsync(importPublicKey({ kty: 'oct', k: 'AAAA' }, 'ES256'))
})
