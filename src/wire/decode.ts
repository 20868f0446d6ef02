/**
 * CheckRequest bytes → Request, reading only what a check uses. Total: any bytes give a Request or a refusal. Field
 * numbers are those of protos/, which a test holds against these functions and against upstream.
 */

import protobuf, { type Reader } from 'protobufjs/minimal.js'
import { type Refusal, refuse } from '../decision/decision.ts'
import type { Request, SingleHeader } from '../request.ts'

/** What has been read so far. Repeated fields accumulate and later scalars win, as protobuf says. */
interface Draft {
  id: string
  method: string
  host: string
  path: string
  certificate: string
  principal: string
  traceparent: string
  /** `authorization` from the `headers` map and from `header_map`: see `single`. */
  joined: string[]
  raw: string[]
  reserved: string[]
  context: Map<string, string> | undefined
}

type Visitor = (field: number, reader: Reader, end: number, draft: Draft) => void

const lengthDelimited = 2
const reservedPrefix = 'x-meshbind-'
/** No client needs more; each is named in the answer. */
const maxReserved = 32
const maxReservedLength = 128
const noContext: ReadonlyMap<string, string> = new Map()

export function decodeCheckRequest(bytes: Buffer): Request | Refusal {
  const draft: Draft = {
    id: '',
    method: '',
    host: '',
    path: '',
    certificate: '',
    principal: '',
    traceparent: '',
    joined: [],
    raw: [],
    reserved: [],
    context: undefined,
  }
  try {
    const reader = protobuf.Reader.create(bytes)
    walk(reader, reader.len, draft, visitCheckRequest)
  } catch {
    return refuse('request_malformed', 'not a CheckRequest')
  }
  if (draft.method === '') return refuse('request_malformed', 'no method')
  if (draft.path === '') return refuse('request_malformed', 'no path')
  return {
    id: draft.id,
    method: draft.method,
    host: draft.host,
    path: draft.path,
    authorization: single(draft.joined, draft.raw),
    traceparent: draft.traceparent,
    reservedHeaders: draft.reserved,
    peer: { certificate: draft.certificate, principal: draft.principal },
    context: draft.context ?? noContext,
  }
}

/** Reads fields up to `end`. Groups, which proto3 does not have, are refused: skipping them would recurse as deep as the sender likes. */
function walk(reader: Reader, end: number, draft: Draft, visit: Visitor): void {
  while (reader.pos < end) {
    const tag = reader.uint32()
    const wireType = tag & 7
    if (wireType === lengthDelimited) {
      const length = reader.uint32()
      const fieldEnd = reader.pos + length
      if (fieldEnd > end) throw new RangeError('a field ends outside its message')
      visit(tag >>> 3, reader, fieldEnd, draft)
      reader.pos = fieldEnd
    } else if (wireType === 3 || wireType === 4) {
      throw new RangeError('groups are not taken')
    } else {
      reader.skipType(wireType)
    }
  }
  if (reader.pos !== end) throw new RangeError('a field ends outside its message')
}

/** The bytes up to `end` as UTF-8; what is no UTF-8 becomes U+FFFD, which no grammar here accepts. */
function text(reader: Reader, end: number): string {
  return (reader.buf as Buffer).toString('utf8', reader.pos, end)
}

const visitCheckRequest: Visitor = (field, reader, end, draft) => {
  if (field === 1) walk(reader, end, draft, visitAttributes)
}

const visitAttributes: Visitor = (field, reader, end, draft) => {
  if (field === 1) walk(reader, end, draft, visitSource)
  else if (field === 4) walk(reader, end, draft, visitRequest)
  else if (field === 10) readContext(reader, end, draft)
}

const visitSource: Visitor = (field, reader, end, draft) => {
  if (field === 4) draft.principal = text(reader, end)
  else if (field === 5) draft.certificate = text(reader, end)
}

const visitRequest: Visitor = (field, reader, end, draft) => {
  if (field === 2) walk(reader, end, draft, visitHttp)
}

const visitHttp: Visitor = (field, reader, end, draft) => {
  switch (field) {
    case 1:
      draft.id = text(reader, end)
      break
    case 2:
      draft.method = text(reader, end)
      break
    case 3:
      readHeader(reader, end, draft, false)
      break
    case 4:
      draft.path = text(reader, end)
      break
    case 5:
      draft.host = text(reader, end)
      break
    case 13:
      walk(reader, end, draft, visitHeaderMap)
      break
    default:
  }
}

const visitHeaderMap: Visitor = (field, reader, end, draft) => {
  if (field === 1) readHeader(reader, end, draft, true)
}

/** A map entry and a HeaderValue look alike: key 1, value 2; a HeaderValue may carry its value in raw_value 3 instead. */
interface Entry {
  key: string
  value: string
  rawValue: string
}

function readEntry(reader: Reader, end: number): Entry {
  const entry = { key: '', value: '', rawValue: '' }
  while (reader.pos < end) {
    const tag = reader.uint32()
    if ((tag & 7) !== lengthDelimited) throw new RangeError('an entry holds texts only')
    const length = reader.uint32()
    const fieldEnd = reader.pos + length
    if (fieldEnd > end) throw new RangeError('a field ends outside its message')
    const field = tag >>> 3
    if (field === 1) entry.key = text(reader, fieldEnd)
    else if (field === 2) entry.value = text(reader, fieldEnd)
    else if (field === 3)
      entry.rawValue = (reader.buf as Buffer).toString('latin1', reader.pos, fieldEnd)
    reader.pos = fieldEnd
  }
  return entry
}

function readContext(reader: Reader, end: number, draft: Draft): void {
  const { key, value } = readEntry(reader, end)
  draft.context ??= new Map()
  draft.context.set(key, value)
}

/** Names compare without case: Envoy sends lower case, and a twin in upper case must not slip past. */
function readHeader(reader: Reader, end: number, draft: Draft, raw: boolean): void {
  if (!mayMatter(reader, end)) return
  const entry = readEntry(reader, end)
  const name = entry.key.toLowerCase()
  const value = entry.rawValue === '' ? entry.value : entry.rawValue
  if (name === 'authorization') {
    const values = raw ? draft.raw : draft.joined
    values.push(value)
    // Two spellings of one value in one entry: the upstream could be sent either.
    if (entry.value !== '' && entry.value !== value) values.push(entry.value)
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
      return length === 'traceparent'.length
    case 0x78: // x-m
      return ((buf[pos + 4] ?? 0) | 0x20) === 0x6d
    default:
      return false
  }
}

/** One value and no comma in it, told alike by both maps where both are filled; anything else is ambiguous. */
function single(joined: readonly string[], raw: readonly string[]): SingleHeader {
  if (joined.length === 0 && raw.length === 0) return { kind: 'absent' }
  if (joined.length > 0 && raw.length > 0 && joined.join() !== raw.join())
    return { kind: 'ambiguous' }
  const [value, ...others] = raw.length > 0 ? raw : joined
  if (value === undefined || others.length > 0 || value.includes(',')) return { kind: 'ambiguous' }
  return { kind: 'one', value }
}
