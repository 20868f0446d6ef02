/** The machine's own ES256 rate: jose alone, in a process of its own, told what to verify and how long it took. */

import { compactVerify, importJWK, type JWK } from 'jose'

export interface Work {
  readonly key: JWK
  readonly proofs: readonly string[]
  /** How many verifications are under way at once. */
  readonly atOnce: number
}

export interface Rate {
  readonly perSecond: number
  readonly cpuMicroseconds: number
}

process.on('message', async ({ key, proofs, atOnce }: Work) => {
  const imported = await importJWK(key, 'ES256')
  let next = 0
  const cpuBefore = process.cpuUsage()
  const startedAt = performance.now()
  const verify = async () => {
    for (let proof = proofs[next++]; proof !== undefined; proof = proofs[next++])
      await compactVerify(proof, imported, { algorithms: ['ES256'] })
  }
  await Promise.all(Array.from({ length: atOnce }, verify))
  const { user, system } = process.cpuUsage(cpuBefore)
  const rate: Rate = {
    perSecond: proofs.length / ((performance.now() - startedAt) / 1000),
    cpuMicroseconds: (user + system) / proofs.length,
  }
  process.send?.(rate)
})
