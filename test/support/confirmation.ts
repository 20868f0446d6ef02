/** The kit for confirmation methods: what a route asks of them by default, and presenters made from leaves. */

import type { BindingRules } from '../../src/confirmation/method.ts'
import { isRefusal } from '../../src/decision/decision.ts'
import { establishPresenter, type Presenter } from '../../src/evidence/presenter.ts'
import type { Leaf } from './pki.ts'
import { createTestTools } from './world.ts'

/** No grace for rotation; proofs for the target of the kit's DPoP client. */
export const bindingRules: BindingRules = {
  policy: 'shop',
  clockSkewSeconds: 30,
  rotation: undefined,
  dpop: {
    origins: new Set(['https://payments.example']),
    maxAgeSeconds: 60,
    nonce: 'disabled',
    algorithms: ['ES256'],
  },
  wimse: {
    audiences: new Set(['https://payments.example']),
    origins: new Set(['https://payments.example']),
    maxLifetimeSeconds: 120,
  },
}

const { evidence: readers } = createTestTools(0)

/** The leaf's workload as Envoy shows it: with its certificate, or by name alone. */
export function present(
  leaf: Leaf,
  evidence: 'certificate' | 'principal' = 'certificate',
  now = Math.floor(Date.now() / 1000),
): Presenter {
  const claims = {
    certificate: evidence === 'certificate' ? leaf.envoyText : '',
    principal: leaf.spiffeId,
    destination: '',
    xfcc: { kind: 'absent' },
  } as const
  const rules = {
    evidence: [evidence],
    trustDomains: new Set(['mesh.example']),
    forwarders: new Map(),
    maxForwards: 1,
    trust: undefined,
  }
  const found = establishPresenter(claims, rules, readers, now)
  if (found instanceof Promise) throw new Error('nothing has to be verified here')
  if (isRefusal(found)) throw new Error(found.detail)
  if (found.presenter === undefined) throw new Error('nobody was shown')
  return found.presenter
}
