/** What Envoys have shown, against what the policy needs → findings, each with the setting that is missing (docs/hops.md). */

import {
  allHeaders,
  certificateInXfcc,
  enableFilter,
  forwarding,
  mutualTls,
  type Settings,
  sendCertificate,
  waypointIdentity,
  writeXfcc,
} from './envoy-settings.ts'
import type { EvidenceReport } from './evidence-seen.ts'

export interface Finding {
  readonly topic: string
  readonly severity: 'ok' | 'warning' | 'problem'
  /** What was seen, in words and numbers. */
  readonly seen: string
  /** What to do about it. */
  readonly advice: string | null
  readonly settings: Settings
}

/** Every rule that has something to say; nothing can be said before the first check. */
export function diagnose(report: EvidenceReport): readonly Finding[] {
  if (report.evidence.checks === 0) {
    const advice = 'Send one request through Envoy and ask again. Still none: the filter is not on.'
    return [tell('problem', 'checks', 'No check has come yet.', advice, enableFilter)]
  }
  const { policy } = report
  const peerRules = policy.evidence.includes('waypoint')
    ? [judgeWaypoint]
    : [judgeMutualTls, judgeNames, judgeCertificate, judgeXfcc, judgeForwarders, judgeConflicts]
  return [...(policy.presenter ? peerRules : []), judgeCredentials]
    .map((rule) => rule(report))
    .filter((finding) => finding !== undefined)
}

type Rule = (report: EvidenceReport) => Finding | undefined

const judgeWaypoint: Rule = ({ evidence: { checks, kinds } }) => {
  if (kinds.principal.count > 0) {
    const seen = `${share(kinds.principal.count, checks)} named a principal: no waypoint does.`
    return tell('problem', 'waypoint', seen, 'Give those Envoys a policy of their own.')
  }
  const missing = checks - kinds.xfcc.count
  if (missing === 0) return tell('ok', 'waypoint', `${share(checks, checks)} had XFCC.`)
  const seen = `${share(missing, checks)} had no XFCC: nothing else tells who calls.`
  return tell('problem', 'waypoint', seen, 'A waypoint lacks the annotation.', waypointIdentity)
}

/** Bindings whose clients prove a key of their own. */
const clientsWithKeys: ReadonlyMap<string, string> = new Map([
  ['dpop', 'DPoP'],
  ['wimse', 'WIMSE'],
])

const judgeMutualTls: Rule = ({ policy, evidence: { checks, kinds, signs } }) => {
  const peers = kinds.principal.count
  if (peers === checks) return tell('ok', 'mTLS', `${share(peers, checks)} came over mTLS.`)
  const seen = `${share(checks - peers, checks)} had no principal: no certificate of the client.`
  if (peers > 0) {
    const proving = policy.bindings.flatMap((binding) => clientsWithKeys.get(binding) ?? [])
    if (proving.length > 0)
      return tell('ok', 'mTLS', `${seen} ${proving.join(' and ')} clients need none.`)
    return tell('warning', 'mTLS', seen, 'Those requests have no presenter.', mutualTls)
  }
  const advice = signs.destination > 0 ? noClientCertificates : noTls
  return tell('problem', 'mTLS', seen, advice, mutualTls)
}

const judgeNames: Rule = ({ evidence: { kinds, signs } }) => {
  const [other, peers] = [signs.principalNotSpiffe, kinds.principal.count]
  if (other === 0) return undefined
  const seen = `${share(other, peers)} had a principal that is no SPIFFE ID.`
  const advice = 'Those clients have certificates of another CA: trust the mesh CA alone.'
  return tell(other === peers ? 'problem' : 'warning', 'names', seen, advice, mutualTls.slice(0, 1))
}

const judgeCertificate: Rule = ({ policy, evidence: { kinds, signs } }) => {
  const listed = policy.evidence
  const peers = kinds.principal.count
  const missing = signs.principalWithoutCertificate
  if (peers === 0) return undefined
  if (missing === 0) return tell('ok', 'certificate', `${share(peers, peers)} over mTLS had it.`)
  const seen = `${share(missing, peers)} over mTLS had no certificate.`
  if (policy.certificate && missing > signs.xfccWithCertificate) {
    const advice = 'jwk, a rotation grace and trustBundles need the whole certificate.'
    return tell('problem', 'certificate', seen, advice, [...sendCertificate, certificateInXfcc])
  }
  if (!listed.includes('certificate')) return undefined
  const byXfcc = listed.includes('xfcc') && signs.principalAlone === 0
  const byName = listed.includes('principal') && !policy.bindings.includes('x5t#S256')
  if (byXfcc || byName) return tell('ok', 'certificate', `${seen} ${standIn}`)
  const advice = listed.includes('xfcc') || signs.principalAlone === missing ? notSent : listXfcc
  const severity = missing === peers ? 'problem' : 'warning'
  return tell(severity, 'certificate', seen, advice, sendCertificate)
}

const judgeXfcc: Rule = ({ policy, evidence: { checks, kinds, signs } }) => {
  if (!policy.evidence.includes('xfcc')) return undefined
  const { count } = kinds.xfcc
  if (signs.xfccWithoutPrincipal > 0) {
    const seen = `${share(signs.xfccWithoutPrincipal, count)} with XFCC had no principal: this Envoy did not write it.`
    return tell('problem', 'xfcc', seen, handedOn, [writeXfcc, ...mutualTls])
  }
  if (signs.xfccWithoutUri > 0) {
    const seen = `${share(signs.xfccWithoutUri, count)} with XFCC had no URI in it.`
    return tell('problem', 'xfcc', seen, 'Without URI it names nobody.', [writeXfcc])
  }
  if (count > 0) return tell('ok', 'xfcc', `${share(count, checks)} had it. ${unseen}`)
  if (kinds.principal.count === 0) return undefined
  const needed = policy.forwarders.length > 0 || signs.principalAlone > 0
  const seen = 'It is listed, and never came.'
  return tell(needed ? 'problem' : 'warning', 'xfcc', seen, xfccAdvice, [writeXfcc])
}

const judgeForwarders: Rule = ({ policy, evidence: { checks, refusals } }) => {
  if (policy.forwarders.length === 0) return undefined
  const broken = refusals.forward_broken
  if (broken === 0) return tell('ok', 'forwarders', 'Each that had to name a workload did.')
  const seen = `${share(broken, checks)} came through a forwarder that named nobody (forward_broken).`
  return tell('problem', 'forwarders', seen, 'The gateway writes, the sidecar appends.', forwarding)
}

const judgeConflicts: Rule = ({ evidence: { checks, refusals } }) => {
  const conflicts = refusals.evidence_conflict
  if (conflicts === 0) return undefined
  const seen = `${share(conflicts, checks)} had evidence that contradicts itself (evidence_conflict).`
  const advice =
    'A forged header, or an Envoy that hands on XFCC unchanged: see `detail` in the decision log.'
  return tell('warning', 'conflicts', seen, advice, [writeXfcc])
}

const judgeCredentials: Rule = ({ policy, evidence: { checks, signs, refusals } }) => {
  const { bindings } = policy
  if (bindings.length === 0) return undefined
  const only = bindings.length === 1
  if (signs.workloadToken === 0 && bindings.includes('wimse')) {
    const seen = 'No check has had a Workload-Identity-Token header.'
    return tell(only ? 'problem' : 'warning', 'token', seen, headers, allHeaders)
  }
  if (only && bindings.includes('wimse'))
    return tell('ok', 'token', `${share(signs.workloadToken, checks)} had a WIT.`)
  if (signs.authorization === 0) {
    const severity = refusals.credential_missing > 0 ? 'problem' : 'warning'
    return tell(severity, 'token', 'No check has had an Authorization header.', headers, allHeaders)
  }
  if (signs.dpop === 0 && bindings.includes('dpop')) {
    const severity = only ? 'problem' : 'warning'
    return tell(severity, 'token', 'No check has had a DPoP header.', headers, allHeaders)
  }
  return tell('ok', 'token', `${share(signs.authorization, checks)} had an Authorization header.`)
}

function tell(
  severity: Finding['severity'],
  topic: string,
  seen: string,
  advice: string | null = null,
  settings: Settings = [],
): Finding {
  return { topic, severity, seen, advice, settings }
}

function share(part: number, whole: number): string {
  return `${part} of ${whole} ${whole === 1 ? 'check' : 'checks'}`
}

const standIn = 'Other evidence that is listed stood in for it.'
const notSent = 'Envoy does not send it.'
const listXfcc =
  'Envoy does not send it. It does send XFCC: listing xfcc in spec.peer.evidence will do too.'
const noClientCertificates = 'The listener has TLS and asks clients for no certificate.'
const noTls =
  'Envoy names no certificate of its own either: the listener has no TLS. (Behind an Istio waypoint it is so as well: see docs/hops.md.)'
const handedOn = 'Each is refused. Envoy takes such a header off unless it is told to hand it on.'
const unseen =
  'Safe only where Envoy runs APPEND_FORWARD or SANITIZE_SET, which cannot be seen from here.'
const headers = 'Either no client sends it, or the filter keeps it back.'
const xfccAdvice =
  'Set Envoy to write it, or take xfcc off spec.peer.evidence. The filter’s allowed_headers may keep it back too.'
