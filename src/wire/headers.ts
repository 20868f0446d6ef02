/** The few headers that a check reads, from the two maps in which Envoy may tell them. */

import type { Reader } from 'protobufjs/minimal.js'
import type { SingleHeader } from '../request.ts'
import { readEntry } from './entry.ts'

/** The values of one header: `headers` joins them with a comma, `header_map` (encode_raw_headers) keeps them apart. */
interface HeaderValues {
  readonly joined: string[]
  readonly raw: string[]
  contradictory: boolean
}

type ReadHeader =
  | 'authorization'
  | 'dpop'
  | 'workloadToken'
  | 'workloadProof'
  | 'transactionToken'
  | 'xfcc'

export interface HeaderDraft {
  authorization: HeaderValues | undefined
  dpop: HeaderValues | undefined
  workloadToken: HeaderValues | undefined
  workloadProof: HeaderValues | undefined
  transactionToken: HeaderValues | undefined
  xfcc: HeaderValues | undefined
  traceparent: string
  /** Names of the `x-meshbind-*` headers that were sent. */
  readonly reserved: string[]
}

const singles: ReadonlyMap<string, ReadHeader> = new Map([
  ['authorization', 'authorization'],
  ['dpop', 'dpop'],
  ['workload-identity-token', 'workloadToken'],
  ['workload-proof-token', 'workloadProof'],
  ['txn-token', 'transactionToken'],
  ['x-forwarded-client-cert', 'xfcc'],
])
const reservedPrefix = 'x-meshbind-'
/** No client needs more; each is named in the answer. */
const maxReserved = 32
const maxReservedLength = 128
const absent: SingleHeader = { kind: 'absent' }
const ambiguous: SingleHeader = { kind: 'ambiguous' }

export function createHeaderDraft(): HeaderDraft {
  return {
    authorization: undefined,
    dpop: undefined,
    workloadToken: undefined,
    workloadProof: undefined,
    transactionToken: undefined,
    xfcc: undefined,
    traceparent: '',
    reserved: [],
  }
}

/** Names compare without case: Envoy sends lower case, and a twin in upper case must not slip past. */
export function readHeader(
  reader: Reader,
  end: number,
  draft: HeaderDraft,
  map: 'joined' | 'raw',
): void {
  if (!mayMatter(reader, end)) return
  const entry = readEntry(reader, end)
  const name = entry.key.toLowerCase()
  const value = entry.rawValue === '' ? entry.value : entry.rawValue
  const header = singles.get(name)
  if (header !== undefined) {
    draft[header] ??= { joined: [], raw: [], contradictory: false }
    draft[header][map].push(value)
    // Two spellings of one value in one entry: the upstream could be sent either.
    if (entry.value !== '' && entry.value !== value) draft[header].contradictory = true
  } else if (name === 'traceparent') {
    draft.traceparent = value
  } else if (isReserved(name) && !draft.reserved.includes(name)) {
    if (name.length > maxReservedLength || draft.reserved.push(name) > maxReserved) {
      throw new RangeError('too much under a reserved name')
    }
  }
}

/** Many upstreams read `_` in a header name as `-` (CGI, WSGI), so a twin with underscores is reserved as well. */
function isReserved(name: string): boolean {
  return name.replaceAll('_', '-').startsWith(reservedPrefix)
}

/**
 * Most of a request's headers are of no interest. Where the key comes first, as every encoder writes it, its length
 * and first letters tell, and it need not be decoded. (An entry with two keys, which none writes, goes by the first.)
 */
function mayMatter({ buf, pos }: Reader, end: number): boolean {
  const length = buf[pos + 1] ?? 0
  if (buf[pos] !== 0x0a || length > 0x7f || pos + 2 + length > end) return true
  switch ((buf[pos + 2] ?? 0) | 0x20) {
    case 0x61: // a
      return length === 'authorization'.length
    case 0x74: // t
      return length === 'traceparent'.length || length === 'txn-token'.length
    case 0x64: // d
      return length === 'dpop'.length
    case 0x77: // w
      return length === 'workload-identity-token'.length || length === 'workload-proof-token'.length
    case 0x78: // x-m, and x-f of x-forwarded-client-cert
      return ((buf[pos + 4] ?? 0) | 0x20) === 0x6d || length === 'x-forwarded-client-cert'.length
    default:
      return false
  }
}

/** One value and no comma in it, told alike by both maps where both are filled; anything else is ambiguous. */
export function single(values: HeaderValues | undefined): SingleHeader {
  const header = list(values)
  if (header.kind !== 'one' || values === undefined) return header
  const several = values.raw.length > 1 || values.joined.length > 1
  return several || header.value.includes(',') ? ambiguous : header
}

/** All values as one list, told alike by both maps where both are filled. A map has no order: two entries are no list. */
export function list(values: HeaderValues | undefined): SingleHeader {
  if (values === undefined) return absent
  const { joined, raw, contradictory } = values
  const value = (raw.length > 0 ? raw : joined).join(',')
  const same = joined.length === 0 || raw.length === 0 || joined[0] === value
  return same && joined.length < 2 && !contradictory ? { kind: 'one', value } : ambiguous
}
