/** The kit's XFCC elements, written as Envoy 1.40 writes them. */

import { createHash } from 'node:crypto'
import { paymentsId } from './check-request.ts'
import type { Leaf } from './pki.ts'

export interface ElementParts {
  /** Who writes it. Default: the payments service's Envoy. */
  readonly by?: string
  /** Adds `Cert`. */
  readonly cert?: boolean
  readonly chain?: string
  /** In place of the leaf's own. */
  readonly uri?: string
  readonly hash?: string
}

/** `By=…;Hash=…;Subject="";URI=…`: what Istio's sidecars have Envoy write, with `Cert` and `Chain` as at a gateway. */
export function xfccElement(leaf: Leaf, parts: ElementParts = {}): string {
  const { by = paymentsId, uri = leaf.spiffeId, hash = hexThumbprint(leaf) } = parts
  return [
    `By=${by}`,
    `Hash=${hash}`,
    ...(parts.cert === true ? [`Cert="${leaf.envoyText}"`] : []),
    ...(parts.chain === undefined ? [] : [`Chain="${parts.chain}"`]),
    'Subject=""',
    `URI=${uri}`,
  ].join(';')
}

export function hexThumbprint(leaf: Leaf): string {
  return createHash('sha256').update(leaf.der).digest('hex')
}
