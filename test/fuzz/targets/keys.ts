/** Where keys come from: JWK Sets of issuers and trust domains. */

import { createECDH, type JsonWebKey, X509Certificate } from 'node:crypto'
import { algorithms } from '../../../src/token/algorithms.ts'
import { importKeySet, selectKey, type VerificationKey } from '../../../src/token/key-set.ts'
import rfc7515 from '../../vectors/jws_rfc7515_rfc8037.json' with { type: 'json' }
import certificates from '../certificates.json' with { type: 'json' }
import { jsonText, objectText, reshapeJson } from '../json-text.ts'
import type { Random } from '../random.ts'
import { readObjectSlowly } from '../slow/json.ts'
import { judgeKey, keysOf } from '../slow/keys.ts'
import { agree, demand, type Target } from '../target.ts'

const rsaLeaf = new X509Certificate(Buffer.from(certificates.leaves.rsa, 'base64'))
const rsa = rsaLeaf.publicKey.export({ format: 'jwk' })
/** Each a power of 65537, and so in every subgroup of Nemec et al. 2017 §3.1. */
const roca = base64urlOf(65537n ** 128n)
const points = [
  ['P-384', 'secp384r1', 48],
  ['P-521', 'secp521r1', 66],
] as const
/** The curve's base point: the public key of the private key 1. */
const basePoints = points.map(([crv, name, octets]) => {
  const curve = createECDH(name)
  curve.setPrivateKey(Buffer.from('01'.padStart(2 * octets, '0'), 'hex'))
  const [x, y] = [1, 1 + octets].map((at) => curve.getPublicKey().subarray(at, at + octets))
  return { kty: 'EC', crv, x: x?.toString('base64url'), y: y?.toString('base64url') }
})
const sound: readonly object[] = [rfc7515.es256.jwk, rfc7515.eddsa.jwk, rsa, ...basePoints]
const swapped = { ...rfc7515.es256.jwk, x: rfc7515.es256.jwk.y, y: rfc7515.es256.jwk.x }

function base64urlOf(number: bigint): string {
  const hex = number.toString(16)
  return Buffer.from(hex.padStart(hex.length + (hex.length % 2), '0'), 'hex').toString('base64url')
}

const odd: readonly object[] = [
  swapped,
  { ...rfc7515.es256.jwk, crv: 'P-384' },
  { ...rfc7515.es256.jwk, x: `AA${rfc7515.es256.jwk.x}` },
  { ...rfc7515.es256.jwk, x: `${rfc7515.es256.jwk.x}=` },
  { ...rfc7515.es256.jwk, x: `${rfc7515.es256.jwk.x.slice(0, -1)}V` },
  { ...rfc7515.eddsa.jwk, x: `${rfc7515.eddsa.jwk.x}AA` },
  { ...rsa, n: roca },
  { ...rsa, n: `AA${rsa.n}`.slice(0, 256) },
  { ...rsa, n: rsa.n?.slice(0, 170) },
  { ...rsa, n: `AAAA${rsa.n}` },
  { ...rsa, e: 'Aw' },
  { ...rsa, e: 'AQAA' },
  { ...rsa, e: 'AAEAAQ' },
  { ...rsa, e: base64urlOf(2n ** 256n + 1n) },
  { kty: 'oct', k: 'AAAA' },
  { ...rfc7515.es256.jwk, d: 'AA' },
]

function keyText(random: Random): string {
  if (random.chance(20)) return jsonText(random)
  const key = random.pick(random.chance(3) ? odd : sound)
  const more = {
    kid: random.pick(['a', 'a', 'b', undefined, '', 1]),
    use: random.pick([
      'sig',
      'sig',
      undefined,
      'enc',
      'wit-svid',
      'wit-svid',
      'x509-svid',
      ['sig'],
    ]),
    alg: random.pick([undefined, undefined, ...algorithms, 'none', 'HS256']),
    key_ops: random.chance(4)
      ? random.pick([['verify'], ['sign'], ['verify', 'sign'], ['verify', 'verify'], 'verify', []])
      : undefined,
    ...(random.chance(8)
      ? random.pick([{ ext: false }, { x5c: [] }, { priv: 'AA' }, { oth: [] }])
      : {}),
  }
  const members = { ...key, ...more }
  return random.chance(2)
    ? JSON.stringify(members)
    : objectText(random, members as { readonly [name: string]: unknown })
}

export const keySet: Target = {
  name: 'key-set',
  source: 'RFC 7517 §4, §5, RFC 7518 §6, RFC 8037 §2; SPIFFE Trust Domain and Bundle §4',
  dictionary: [
    '"keys":[',
    '"kty":"RSA"',
    '"kty":"oct"',
    '"crv":"P-256"',
    '"use":"wit-svid"',
    '"use":"sig"',
    '"key_ops":["verify"]',
    '"d":"AA"',
    '"alg":"ES256"',
    '"kid":"a"',
    'AQAB',
  ],
  generate(random) {
    const same = keyText(random)
    const keys = random.many(random.chance(30) ? 110 : 4, () =>
      random.chance(5) ? same : keyText(random),
    )
    return Buffer.from(
      random.chance(20)
        ? jsonText(random)
        : `{${random.chance(9) ? '"a":1,' : ''}"keys":[${keys.join()}]}`,
    )
  },
  reshape: reshapeJson,
  async judge(input) {
    const told = [await judgeAs(input, 'sig'), await judgeAs(input, 'wit-svid')]
    const [tokens, workloads] = told
    if (tokens === undefined && workloads === undefined) return 'refused'
    return `taken, ${tokens ?? 'no key'} for tokens, ${workloads ?? 'no key'} for WITs`
  },
}

async function judgeAs(input: Buffer, use: 'sig' | 'wit-svid'): Promise<string | undefined> {
  const found = await importKeySet(input, algorithms, [], use)
  demand('a set has keys', found === undefined || found.length > 0)
  const keys = found ?? []
  const jwks = keysOf(readObjectSlowly(input)) ?? []
  let at = 0
  for (const jwk of jwks) {
    const text = JSON.stringify(jwk)
    for (const algorithm of algorithms) {
      const answer = judgeKey(jwk, algorithm, use, jwks)
      const key = keys[at]
      const isTaken = key?.jwkText === text && key.algorithm === algorithm
      if (answer !== 'may')
        agree(`taken for ${algorithm}, ${text.slice(0, 2000)}`, isTaken, answer === 'must')
      if (!isTaken) continue
      checkKey(key, jwk)
      at++
    }
  }
  agree('keys that are in the set', at, keys.length)
  const again = await importKeySet(input, algorithms, keys, use)
  agree('read again', again?.length, found?.length)
  for (const [i, key] of (again ?? []).entries()) {
    demand('equal text keeps the object', keys.includes(key))
    agree('in its place', [key.jwkText, key.algorithm], [keys[i]?.jwkText, keys[i]?.algorithm])
  }
  return found && checkChoice(keys)
}

/** Public, of the algorithm's kind, and the numbers of the JWK. */
function checkKey(
  { key, keyId, algorithm }: VerificationKey,
  jwk: { readonly [name: string]: unknown },
) {
  agree('kid', keyId, new Map(Object.entries(jwk)).get('kid'))
  agree('type', key.type, 'public')
  const { kty, crv, ...numbers } = key.export({ format: 'jwk' }) as JsonWebKey & object
  agree('kind', [kty, crv], [jwk['kty'], kty === 'RSA' ? undefined : jwk['crv']])
  demand('a curve for ES*, none for RS* and PS*', (crv === undefined) === /^[RP]S/.test(algorithm))
  for (const [name, value] of Object.entries(numbers))
    agree(name, numberOf(value), numberOf(jwk[name]))
}

function numberOf(text: unknown): bigint {
  return BigInt(`0x0${Buffer.from(String(text), 'base64url').toString('hex')}`)
}

/** RFC 7515 §4.1.4 leaves the choice to the reader: a key is named by its `kid`, or is the only one, or there is none. */
function checkChoice(keys: readonly VerificationKey[]): string {
  let ambiguous = false
  for (const { keyId: ownId, algorithm } of keys) {
    for (const keyId of [ownId, undefined, 'no such key']) {
      const named = keys.filter((key) => keyId === undefined || key.keyId === keyId)
      const [first, ...others] = named.filter((key) => key.algorithm === algorithm)
      ambiguous ||= others.length > 0
      const chosen = selectKey(keys, keyId, algorithm)
      demand('the only one, or none', chosen === (others.length === 0 ? first : undefined))
    }
  }
  agree('none is for another algorithm', selectKey(keys, undefined, 'none'), undefined)
  return keys.length === 1 ? 'one key' : ambiguous ? 'keys that are not told apart' : 'keys'
}
