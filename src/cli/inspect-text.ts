/** What `inspect` found out, for a person to read; nothing in it that a terminal would obey. */

import type { CertificateReport, TokenReport } from './inspect-token.ts'
import { paint } from './terminal.ts'

/**
 * JSON in which control characters, and those that turn the direction of a line, are escaped: JSON.stringify leaves
 * DEL, C1 and everything beyond ASCII as it is.
 */
export function showJson(value: unknown, space = 2): string {
  return JSON.stringify(value, null, space).replace(/[^\P{C}\n]|[\p{Zl}\p{Zp}]/gu, (char) =>
    Array.from(
      { length: char.length },
      (_, i) => `\\u${char.charCodeAt(i).toString(16).padStart(4, '0')}`,
    ).join(''),
  )
}

export function renderToken(report: TokenReport): string {
  const { header, claims, problems, boundTo, actors, statusList, certificate } = report
  const lines = [
    paint('bold', 'The signature was NOT verified: anybody could have written this.'),
    '',
    'header',
    showPart(header),
    'claims',
    showPart(claims),
    '',
    row('issued', timeText(report.issuedAt)),
    row('expires', describeExpiry(report)),
    row('lifetime', report.lifetimeSeconds === null ? '—' : span(report.lifetimeSeconds)),
    ...(boundTo.length === 0
      ? [row('bound to', 'nothing by cnf; only its identity can bind it (spiffe)')]
      : boundTo.map(({ member, meaning }) => row('bound to', `${quote(member)}: ${meaning}`))),
    ...actors.map((actor, depth) => row(depth === 0 ? 'actor' : 'before', quote(actor))),
    ...(statusList === null ? [] : [row('status list', quote(statusList))]),
    ...(certificate === null ? [] : ['', ...renderCertificate(certificate)]),
    '',
    ...renderVerdict(problems),
  ]
  return `${lines.join('\n')}\n`
}

function showPart(part: TokenReport['header']): string {
  return showJson(part).replace(/^/gm, '  ')
}

function row(name: string, text: string): string {
  return `${name.padEnd(12)}${text}`
}

/** One line, bounded; what comes from the token shows as JSON. */
function quote(value: unknown): string {
  const text = showJson(value, 0)
  return text.length <= 256 ? text : `${text.slice(0, 256)}…`
}

function describeExpiry({ expiresAt, secondsLeft }: TokenReport): string {
  if (expiresAt === null || secondsLeft === null) return 'it does not say'
  const when = timeText(expiresAt)
  return secondsLeft > 0
    ? `${when}, ${span(secondsLeft)} left`
    : `${when}, ${paint('red', `EXPIRED ${span(-secondsLeft)} ago`)}`
}

function renderCertificate(certificate: CertificateReport): string[] {
  const { spiffeId, x5tS256, notBefore, notAfter, valid, comparisons, matches } = certificate
  const validity = `${timeText(notBefore)} to ${timeText(notAfter)}`
  return [
    row('certificate', spiffeId),
    row('thumbprint', x5tS256),
    row('valid', valid ? validity : `${validity}: ${paint('red', 'NOT NOW')}`),
    ...comparisons.map(({ by, same }) => row(`by ${by}`, same ? 'the same' : 'another')),
    row('match', describeMatch(matches, comparisons)),
  ]
}

function describeMatch(
  matches: boolean | null,
  comparisons: CertificateReport['comparisons'],
): string {
  if (matches === null) return 'undecided: bound to a DPoP key, which no certificate shows'
  if (matches) return paint('green', 'yes, the token belongs to this certificate')
  const sameWorkload = comparisons.some(({ by, same }) => by === 'identity' && same)
  return paint(
    'red',
    sameWorkload && comparisons.length > 1
      ? 'NO: another certificate of the same workload (binding_rotated)'
      : 'NO: the token does not belong to this certificate',
  )
}

function renderVerdict(problems: readonly string[]): string[] {
  if (problems.length === 0) return ['Nothing in its form is refused. A policy may ask for more.']
  return ['meshbind would refuse it:', ...problems.map((problem) => `  ${paint('red', problem)}`)]
}

/** A safe integer may be no date. */
function timeText(seconds: number | null): string {
  if (seconds === null) return 'it does not say'
  const date = new Date(seconds * 1000)
  return Number.isNaN(date.getTime())
    ? `${seconds}, which is no date`
    : date.toISOString().replace('.000Z', 'Z')
}

const units = [
  ['d', 86_400],
  ['h', 3600],
  ['min', 60],
  ['s', 1],
] as const

/** The two largest units that are not zero. */
function span(seconds: number): string {
  let rest = Math.abs(seconds)
  const parts = units.flatMap(([unit, size]) => {
    const count = Math.floor(rest / size)
    rest -= count * size
    return count === 0 ? [] : [`${count} ${unit}`]
  })
  return `${seconds < 0 ? '-' : ''}${parts.slice(0, 2).join(' ') || '0 s'}`
}
