/** Revocations as they are shown: one line for people, plain data for programs. */

import { kindOf, type Revocation, type RevocationEntry } from '../state/revocations.ts'
import { makePrintable } from './terminal.ts'

/** ECMA-262 §21.4.1.1: there is no date beyond. */
const latestDateSeconds = 8.64e12

export type Listed = Revocation & { readonly kind: string; readonly until: string | null }

export function listed({ revocation, until }: RevocationEntry): Listed {
  return {
    ...revocation,
    kind: kindOf(revocation),
    until: until > latestDateSeconds ? null : timeText(until),
  }
}

export function describeRevocation(revocation: Revocation): string {
  const kind = kindOf(revocation)
  const named = revocation as { readonly [name: string]: string | number | undefined }
  const of = named['issuer'] === undefined ? '' : ` of ${named['issuer']}`
  const before = named['before']
  const cut = before === undefined ? '' : `, tokens issued before ${timeText(Number(before))}`
  return makePrintable(`${kind} ${named[kind]}${of}${cut}`)
}

/** @param seconds Unix. */
export function timeText(seconds: number): string {
  return seconds > latestDateSeconds
    ? 'for ever'
    : new Date(seconds * 1000).toISOString().replace('.000Z', 'Z')
}

export function describeEnd(until: number): string {
  return until > latestDateSeconds ? 'for ever' : `forgotten at ${timeText(until)}`
}
