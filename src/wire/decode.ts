/**
 * CheckRequest bytes → Request, reading only what a check uses. Total: any bytes give a Request or a refusal. Field
 * numbers are those of protos/, which a test holds against these functions and against upstream.
 */

import protobuf, { type Reader } from 'protobufjs/minimal.js'
import { type Refusal, refuse } from '../decision/decision.ts'
import type { Request } from '../request.ts'
import { lengthDelimited, readEntry, text } from './entry.ts'
import { createHeaderDraft, type HeaderDraft, list, readHeader, single } from './headers.ts'

/** What has been read so far. Repeated fields accumulate and later scalars win, as protobuf says. */
interface Draft {
  id: string
  method: string
  host: string
  path: string
  certificate: string
  principal: string
  destination: string
  headers: HeaderDraft
  context: Map<string, string> | undefined
}

type Visitor = (field: number, reader: Reader, end: number, draft: Draft) => void

const noContext: ReadonlyMap<string, string> = new Map()

export function decodeCheckRequest(bytes: Buffer): Request | Refusal {
  const draft: Draft = {
    id: '',
    method: '',
    host: '',
    path: '',
    certificate: '',
    principal: '',
    destination: '',
    headers: createHeaderDraft(),
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
  const { headers } = draft
  return {
    id: draft.id,
    method: draft.method,
    host: draft.host,
    path: draft.path,
    authorization: single(headers.authorization),
    dpop: single(headers.dpop),
    workloadToken: single(headers.workloadToken),
    workloadProof: single(headers.workloadProof),
    transactionToken: single(headers.transactionToken),
    traceparent: headers.traceparent,
    reservedHeaders: headers.reserved,
    peer: {
      certificate: draft.certificate,
      principal: draft.principal,
      destination: draft.destination,
      xfcc: list(headers.xfcc),
    },
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

const visitCheckRequest: Visitor = (field, reader, end, draft) => {
  if (field === 1) walk(reader, end, draft, visitAttributes)
}

const visitAttributes: Visitor = (field, reader, end, draft) => {
  if (field === 1) walk(reader, end, draft, visitSource)
  else if (field === 2) walk(reader, end, draft, visitDestination)
  else if (field === 4) walk(reader, end, draft, visitRequest)
  else if (field === 10) readContext(reader, end, draft)
}

const visitSource: Visitor = (field, reader, end, draft) => {
  if (field === 4) draft.principal = text(reader, end)
  else if (field === 5) draft.certificate = text(reader, end)
}

const visitDestination: Visitor = (field, reader, end, draft) => {
  if (field === 4) draft.destination = text(reader, end)
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
      readHeader(reader, end, draft.headers, 'joined')
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
  if (field === 1) readHeader(reader, end, draft.headers, 'raw')
}

function readContext(reader: Reader, end: number, draft: Draft): void {
  const { key, value } = readEntry(reader, end)
  draft.context ??= new Map()
  draft.context.set(key, value)
}
