/** The canonical-path rule: RFC 3986 §6.2.2, turned round. A path with a second spelling is refused, not repaired. */

const maxLength = 8192

/** Segments that begin with a letter or digit and hold unreserved characters only: the spelling of nearly every path. */
const plain = /^(?:\/[A-Za-z0-9][A-Za-z0-9._~-]*)+$/

// biome-ignore lint/suspicious/noControlCharactersInRegex: control bytes are what is looked for
const control = /[\x00-\x20\x7f]/
const dotOrEmptySegment = /\/(?:\.{0,2})(?=\/|$)/
/** Encoded unreserved characters (§2.3), encoded `/ \ ;`, encoded controls, and an encoded `%` that begins another escape. */
const refusedEscape =
  /%(?:[01][0-9a-f]|7f|2[df]|2e|3[0-9b]|4[1-9a-f]|5[0-9ac]|5f|6[1-9a-f]|7[0-9ae]|25[0-9a-f]{2})/i

/**
 * A policy's path as `canonicalPath` gives requests' paths: a trailing `*` is kept, the rest percent-decoded. Text
 * that is no canonical path is given back as it is.
 */
export function comparablePattern(pattern: string): string {
  const open = pattern.endsWith('/*')
  const path = canonicalPath(open ? pattern.slice(0, -1) : pattern)
  if (path === undefined) return pattern
  return open ? `${path}*` : path
}

/**
 * The path without its query, percent-decoded for comparison, or undefined if it must be refused. One pass of
 * decoding is unambiguous after these checks, so `/a!` and `/a%21` meet the same route, as they meet the same handler
 * behind it. A trailing slash is part of the path: `/a/` is another path than `/a`.
 */
export function canonicalPath(target: string): string | undefined {
  const query = target.indexOf('?')
  const path = query === -1 ? target : target.slice(0, query)
  if (control.test(target) || target.includes('#') || path.length > maxLength) return undefined
  if (plain.test(path)) return path
  if (!path.startsWith('/') || path.includes('\\') || path.includes(';')) return undefined
  if (path !== '/' && dotOrEmptySegment.test(path.endsWith('/') ? path.slice(0, -1) : path))
    return undefined
  if (path.includes('\ufffd')) return undefined // bytes that were no UTF-8
  if (!path.includes('%')) return path
  if (refusedEscape.test(path)) return undefined
  try {
    return decodeURIComponent(path) // throws on malformed escapes and on UTF-8 that is overlong or broken
  } catch {
    return undefined
  }
}
