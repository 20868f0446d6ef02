/** The slow reading of a JWK Set: RFC 7517 §4, §5 and RFC 7518 §6 with the curves' own equations, and what a bundle adds to them. */

import { decodeSlowly } from './base64url.ts'

type Jwk = { readonly [member: string]: unknown }
/** `must` be taken, for nothing in it is doubtful; `may`, for a reading that is not strict here harms nobody; or must not. */
export type Answer = 'must' | 'may' | 'not'

const kinds: { readonly [algorithm: string]: readonly [kty: string, crv: string | undefined] } = {
  ES256: ['EC', 'P-256'],
  ES384: ['EC', 'P-384'],
  ES512: ['EC', 'P-521'],
  EdDSA: ['OKP', 'Ed25519'],
  Ed25519: ['OKP', 'Ed25519'],
}
const rsa = ['RSA', undefined] as const
const longest = 8192
const secrets = ['d', 'p', 'q', 'dp', 'dq', 'qi', 'oth', 'k']

/** FIPS 186-5 and SP 800-186 §3.2.1: y² = x³ - 3x + b. */
const curves: { readonly [name: string]: { p: bigint; b: bigint; octets: number } } = {
  'P-256': {
    p: 2n ** 256n - 2n ** 224n + 2n ** 192n + 2n ** 96n - 1n,
    b: 0x5ac635d8aa3a93e7b3ebbd55769886bc651d06b0cc53b0f63bce3c3e27d2604bn,
    octets: 32,
  },
  'P-384': {
    p: 2n ** 384n - 2n ** 128n - 2n ** 96n + 2n ** 32n - 1n,
    b: 0xb3312fa7e23ee7e4988e056be3f82d19181d9c6efe8141120314088f5013875ac656398d8a2ed19d2a85c8edd3ec2aefn,
    octets: 48,
  },
  'P-521': {
    p: 2n ** 521n - 1n,
    b: 0x51953eb9618e1c9a1f929a21a0b68540eea2da725b99b315f3b8b489918ef109e156193951ec7e937b1652c0bd3bb1bf073573df883d2c34f1ef451fd46b503f00n,
    octets: 66,
  },
}

/** The objects among the `keys`, or undefined where the document is no JWK Set of at most 100. */
export function keysOf(document: Jwk | undefined): readonly Jwk[] | undefined {
  const own = new Map(Object.entries(document ?? {}))
  const keys = own.get('keys')
  if (!Array.isArray(keys) || keys.length > 100) return undefined
  return keys.filter((key) => typeof key === 'object' && key !== null && !Array.isArray(key))
}

/** Whether a key of the set is one for the algorithm, where keys of that use are looked for. */
export function judgeKey(
  jwk: Jwk,
  algorithm: string,
  wanted: 'sig' | 'wit-svid',
  all: readonly Jwk[],
): Answer {
  const own = new Map(Object.entries(jwk))
  const [kty, crv] = kinds[algorithm] ?? rsa
  if (own.has('alg') && own.get('alg') !== algorithm) return 'not'
  if (own.get('kty') !== kty || (crv !== undefined && own.get('crv') !== crv)) return 'not'
  if (secrets.some((name) => own.has(name))) return 'not'
  if (own.has('kid') && typeof own.get('kid') !== 'string') return 'not'
  const operations = own.get('key_ops')
  const canVerify = Array.isArray(operations) && operations.includes('verify')
  if (own.has('key_ops') && !canVerify) return 'not'
  const key = crv === undefined ? judgeRsa(own) : judgePoint(own, crv)
  // `priv` is a private key's in other key types alone (RFC 9964): here it says nothing, or too much.
  const plain = !own.has('priv') && (!own.has('key_ops') || (operations as unknown[]).length === 1)
  return [judgeUse(own, wanted, all), key, plain ? 'must' : 'may'].reduce(worse) as Answer
}

function worse(one: string, other: string): string {
  return ['not', 'may', 'must'].find((answer) => one === answer || other === answer) ?? 'not'
}

/** SPIFFE Trust Domain and Bundle §4.2.2: one key with such a use makes a bundle of the set. */
function judgeUse(own: Map<string, unknown>, wanted: string, all: readonly Jwk[]): Answer {
  const use = own.get('use')
  if (wanted === 'sig') return !own.has('use') || use === 'sig' ? 'must' : 'not'
  const uses = all.map((each) => new Map(Object.entries(each)).get('use'))
  const isBundle = uses.some((each) => typeof each === 'string' && each.endsWith('-svid'))
  if (isBundle) return use === wanted && own.has('kid') ? 'must' : 'not'
  return !own.has('use') || use === 'sig' ? 'must' : 'not'
}

/** RFC 7518 §6.2.1 and RFC 8037 §2: coordinates of a point, each as long as the curve has it. */
function judgePoint(own: Map<string, unknown>, crv: string): Answer {
  const [x, y] = [own.get('x'), own.get('y')].map(octetsOf)
  const curve = curves[crv]
  if (curve === undefined) return x?.length === 32 ? 'must' : 'not'
  if (x?.length !== curve.octets || y?.length !== curve.octets) return 'not'
  const [u, v] = [numberOf(x), numberOf(y)]
  const isOn = (v * v - (u * u * u - 3n * u + curve.b)) % curve.p === 0n
  return isOn && u < curve.p && v < curve.p ? 'must' : 'not'
}

/** RFC 7518 §6.3.1 and §3.3, FIPS 186-5 §A.1.1, and no modulus of CVE-2017-15361. */
function judgeRsa(own: Map<string, unknown>): Answer {
  // Longer than any key: read bit by bit it would take as long as all other inputs together.
  const texts = [own.get('n'), own.get('e')]
  if (texts.some((text) => typeof text === 'string' && text.length > longest)) return 'may'
  const [n, e] = texts.map(octetsOf)
  if (n === undefined || e === undefined) return 'not'
  const [modulus, exponent] = [numberOf(n), numberOf(e)]
  if (modulus < 2n ** 2047n || modulus % 2n === 0n) return 'not'
  if (exponent <= 2n ** 16n || exponent >= 2n ** 256n || exponent % 2n === 0n) return 'not'
  if (isOfRoca(modulus)) return 'not'
  const short = n[0] !== 0 && e[0] !== 0
  return short && modulus < 2n ** 16384n ? 'must' : 'may'
}

/** Nemec et al. 2017 §3.1: modulo each odd prime up to 167 it is a power of 65537. */
function isOfRoca(modulus: bigint): boolean {
  for (let prime = 3n; prime <= 167n; prime += 2n) {
    let divisor = 3n
    while (divisor < prime && prime % divisor !== 0n) divisor += 2n
    if (divisor < prime) continue
    let power = 1n
    let tries = 0n
    while (power !== modulus % prime && tries++ < prime) power = (power * 65537n) % prime
    if (power !== modulus % prime) return false
  }
  return true
}

function octetsOf(value: unknown): Buffer | undefined {
  if (typeof value !== 'string' || value.length > longest) return undefined
  const octets = decodeSlowly(value)
  return octets === undefined || octets.length === 0 ? undefined : octets
}

function numberOf(octets: Buffer): bigint {
  return BigInt(`0x${octets.toString('hex')}`)
}
