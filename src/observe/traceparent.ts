/** W3C Trace Context, `traceparent`: which trace a check belongs to, for its span and for the decision log. */

/** What the header says. */
export interface RemoteParent {
  readonly traceId: string
  readonly spanId: string
  readonly flags: number
}

/** Level 1 §3.2: lower case, ids that are not zero, not version ff; version 00 ends after the flags. */
const form =
  /^(?!ff)([0-9a-f]{2})-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(-.*)?$/s

interface Traced {
  readonly request: { readonly traceparent: string } | undefined
  callTraceparent?(): string | undefined
}

/** Of Envoy's own call, where it traces, else of the request; undefined where neither is well-formed, which begins a new trace (§4.3). */
export function remoteParentOf(record: Traced): RemoteParent | undefined {
  return (
    readTraceparent(record.callTraceparent?.() ?? '') ??
    readTraceparent(record.request?.traceparent ?? '')
  )
}

function readTraceparent(header: string): RemoteParent | undefined {
  if (header === '') return undefined
  const [, version, traceId, spanId, flags, rest] = form.exec(header) ?? []
  if (traceId === undefined || spanId === undefined || flags === undefined) return undefined
  if (version === '00' && rest !== undefined) return undefined
  return { traceId, spanId, flags: Number.parseInt(flags, 16) }
}
