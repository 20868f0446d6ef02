/** The kit for evidence: what Envoy says of a connection, in any combination, and who that makes the presenter, as one text. */

import { isRefusal } from '../../src/decision/decision.ts'
import { establishPresenter, type PresenterRules } from '../../src/evidence/presenter.ts'
import type { EvidenceSource } from '../../src/evidence/sources.ts'
import type { SingleHeader } from '../../src/request.ts'
import { createTestTools } from './world.ts'

export interface PeerCase {
  readonly certificate?: string
  readonly principal?: string
  readonly destination?: string
  /** The header's text; absent where it is undefined. */
  readonly xfcc?: string | SingleHeader | undefined
  readonly evidence?: readonly EvidenceSource[]
  readonly forwarders?: PresenterRules['forwarders']
  readonly maxForwards?: number
  readonly trust?: PresenterRules['trust']
  /** Unix seconds. */
  readonly at?: number
}

const { evidence: readers } = createTestTools(0)

/**
 * `<source> <ID> [thumbprint]`, or `nobody`, or the reason of a refusal; then ` via <ID>…` where forwarders relayed. A
 * thumbprint that is known without its certificate stands in brackets.
 */
export function establish(parts: PeerCase): string {
  const found = ask(parts)
  if (found instanceof Promise) throw new Error('only a chain has to be waited for')
  return tell(found)
}

export async function establishLater(parts: PeerCase): Promise<string> {
  return tell(await ask(parts))
}

export function ask({
  certificate = '',
  principal = '',
  destination = '',
  xfcc,
  evidence = ['certificate'],
  forwarders = new Map(),
  maxForwards = 1,
  trust,
  at = Math.floor(Date.now() / 1000),
}: PeerCase): ReturnType<typeof establishPresenter> {
  return establishPresenter(
    { certificate, principal, destination, xfcc: headerOf(xfcc) },
    { evidence, trustDomains: new Set(['mesh.example']), forwarders, maxForwards, trust },
    readers,
    at,
  )
}

function headerOf(xfcc: PeerCase['xfcc']): SingleHeader {
  if (xfcc === undefined) return { kind: 'absent' }
  return typeof xfcc === 'string' ? { kind: 'one', value: xfcc } : xfcc
}

function tell(found: Awaited<ReturnType<typeof ask>>): string {
  if (isRefusal(found)) return found.refused
  const { presenter, forwarders } = found
  const via = forwarders.length === 0 ? '' : ` via ${forwarders.join(' ')}`
  if (presenter === undefined) return `nobody${via}`
  const { certificate, evidence, spiffeId, x5tS256 } = presenter
  const known = x5tS256 === undefined ? '' : ` (${x5tS256})`
  return `${evidence} ${spiffeId}${certificate === undefined ? known : ` ${certificate.x5tS256}`}${via}`
}
