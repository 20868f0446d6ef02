/** Who takes part: workloads with certificates, phones with keys, workloads that sign, thieves, and those who issue. */

import { createDpopClient, type DpopClient } from '../test/support/dpop.ts'
import { createTestIssuer, type TestIssuer } from '../test/support/issuer.ts'
import { type Authority, createAuthority, type Leaf } from '../test/support/pki.ts'
import {
  createWimseWorkload,
  createWitIssuer,
  type WimseWorkload,
  type WitIssuer,
} from '../test/support/wimse.ts'
import type { PresenterFacts } from './facts.ts'
import { corpIssuer } from './policy.ts'

export interface Cast {
  readonly authority: Authority
  /** By holder: `w0` … have certificates; `w0-renewed` is w0 with another; `thief` and `batch` are of other teams. */
  readonly leaves: ReadonlyMap<string, Leaf>
  presenter(holder: string): PresenterFacts
  readonly workloads: readonly string[]
  readonly phones: readonly string[]
  readonly dpopClients: ReadonlyMap<string, DpopClient>
  readonly signers: readonly string[]
  readonly wimse: ReadonlyMap<string, WimseWorkload>
  /** By key id. */
  readonly issuers: Map<string, TestIssuer>
  /** Signs with a key that was never published. */
  readonly stranger: TestIssuer
  readonly wits: WitIssuer
  readonly strangerWits: WitIssuer
  /** What the partner's introspection endpoint knows, by token. */
  readonly opaque: Map<string, object>
  /** A certificate for a workload that is there, in place of the one it had. */
  renew(holder: string, lifetimeSeconds: number): Promise<void>
}

export const thiefId = 'spiffe://mesh.example/ns/web/sa/blog'
const shopId = (name: string) => `spiffe://mesh.example/ns/shop/sa/${name}`

const names = (prefix: string, count: number) =>
  Array.from({ length: count }, (_, n) => `${prefix}${n}`)

export async function createCast(): Promise<Cast> {
  const authority = await createAuthority()
  const workloads = names('w', 4)
  const phones = names('phone', 3)
  const signers = names('job', 3)
  const leaves = new Map<string, Leaf>()
  const ends = new Map<string, number>()
  const add = async (holder: string, spiffeId: string, lifetimeSeconds: number) => {
    const notAfter = new Date(Date.now() + lifetimeSeconds * 1000)
    notAfter.setMilliseconds(0)
    leaves.set(holder, await authority.issue({ spiffeId, notAfter }))
    ends.set(holder, notAfter.getTime() / 1000)
  }
  const long = 12 * 3600
  for (const name of workloads) {
    await add(name, shopId(name), long)
    await add(`${name}-renewed`, shopId(name), long)
  }
  await add('thief', thiefId, long)
  await add('batch', 'spiffe://mesh.example/ns/batch/sa/nightly', long)

  const dpopClients = new Map<string, DpopClient>()
  for (const name of [...phones, 'thief']) dpopClients.set(name, await createDpopClient())
  const wits = await createWitIssuer({ trustDomain: 'mesh.example' })
  const wimse = new Map<string, WimseWorkload>()
  for (const name of signers) wimse.set(name, await createWimseWorkload(wits, shopId(name)))
  wimse.set('thief', await createWimseWorkload(wits, thiefId))

  return {
    authority,
    leaves,
    workloads,
    phones,
    signers,
    dpopClients,
    wimse,
    presenter(holder) {
      const leaf = known(leaves, holder)
      const notAfter = known(ends, holder)
      return { holder, spiffeId: leaf.spiffeId, thumbprint: leaf.x5tS256, notAfter }
    },
    issuers: new Map([['key-1', await createTestIssuer(corpIssuer)]]),
    stranger: await createTestIssuer(corpIssuer, { keyId: 'key-1' }),
    wits,
    strangerWits: await createWitIssuer({ trustDomain: 'mesh.example' }),
    opaque: new Map(),
    renew: (holder, lifetimeSeconds) =>
      add(holder, known(leaves, holder).spiffeId, lifetimeSeconds),
  }
}

export function known<K, V>(map: ReadonlyMap<K, V>, key: K): V {
  const value = map.get(key)
  if (value === undefined) throw new Error(`the rig has no ${key}`)
  return value
}
