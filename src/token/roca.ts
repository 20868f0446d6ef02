/** Recognises RSA moduli made by the generator of CVE-2017-15361 (Nemec et al., "The Return of Coppersmith's Attack", CCS 2017, §3.1). */

/**
 * Primes p of that generator are of the form k·M + (65537^a mod M), M a product of small primes; so modulo each of
 * them both p and the modulus lie in the subgroup that 65537 generates. A sound modulus passes all of these by
 * chance about once in 2^27.
 */
const primes = [
  3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53, 59, 61, 67, 71, 73, 79, 83, 89, 97, 101,
  103, 107, 109, 113, 127, 131, 137, 139, 149, 151, 157, 163, 167,
]
const generator = 65537

const subgroups: readonly (readonly [prime: bigint, members: ReadonlySet<number>])[] = primes.map(
  (prime) => {
    const members = new Set<number>()
    for (let value = 1; !members.has(value); value = (value * generator) % prime) members.add(value)
    return [BigInt(prime), members]
  },
)

export function hasRocaFingerprint(modulus: bigint): boolean {
  return subgroups.every(([prime, members]) => members.has(Number(modulus % prime)))
}
