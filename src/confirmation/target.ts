/**
 * Request targets in one spelling, for the comparison of a proof's `htu` (RFC 9449 §4.3, item 9): RFC 3986 §6.2.2 (case,
 * percent-encoding, dot segments) and §6.2.3 (default port, empty path), and nothing more. The WHATWG URL parser is not
 * used: it repairs what is broken (tabs, backslashes, one slash, numbers as hosts), and what needs repair is refused here.
 */

import { isIPv6 } from 'node:net'

export interface Target {
  /** `https://host` or `https://host:port`, lower case, without a default port. */
  readonly origin: string
  readonly path: string
}

const maxLength = 8192
const uri =
  /^(https?):\/\/([a-z0-9_-]+(?:\.[a-z0-9_-]+)*\.?|\[[0-9a-f:.]+\])(?::(0|[1-9]\d{0,4})?)?(\/[^?#]*)?(?:\?[^#]*)?(?:#[^#]*)?$/i
/** RFC 3986 §3.3: `/` and pchar, percent-encoded octets whole; the same characters make up query and fragment. */
const legal = /^(?:[A-Za-z0-9._~!$&'()*+,;=:@/?#[\]-]|%[0-9A-Fa-f]{2})*$/
const legalPath = /^(?:[A-Za-z0-9._~!$&'()*+,;=:@/-]|%[0-9A-Fa-f]{2})*$/
const defaultPorts: { readonly [scheme: string]: string } = { http: '80', https: '443' }

/** An absolute http or https URI without its query and fragment, or undefined. Userinfo is refused. */
export function readTarget(text: string): Target | undefined {
  if (text.length > maxLength || !legal.test(text)) return undefined
  const [, schemeText, hostText, port = '', pathText = '/'] = uri.exec(text) ?? []
  if (schemeText === undefined || hostText === undefined || Number(port) > 65_535) return undefined
  if (hostText.startsWith('[') && !isIPv6(hostText.slice(1, -1))) return undefined
  const scheme = schemeText.toLowerCase()
  const path = normalisePath(pathText)
  if (path === undefined) return undefined
  const explicit = port === '' || port === defaultPorts[scheme] ? '' : `:${port}`
  return { origin: `${scheme}://${hostText.toLowerCase()}${explicit}`, path }
}

/** The path of an origin-form target (RFC 9112 §3.2.1), query and all, in its one spelling, or undefined. */
export function normaliseRequestPath(target: string): string | undefined {
  const query = target.indexOf('?')
  const path = query === -1 ? target : target.slice(0, query)
  return path.startsWith('/') ? normalisePath(path) : undefined
}

/** A path of unreserved characters and no dot segments is its own canonical spelling. */
const plain = /^(?:\/[A-Za-z0-9_~-][A-Za-z0-9._~-]*)+$/

function normalisePath(path: string): string | undefined {
  if (plain.test(path)) return path
  if (path.length > maxLength || !legalPath.test(path)) return undefined
  const decoded = path.replace(/%[0-9A-Fa-f]{2}/g, normaliseEscape)
  return removeDotSegments(decoded)
}

/** §6.2.2.1, §6.2.2.2: escapes of unreserved characters are decoded, the others written in upper case. */
function normaliseEscape(triplet: string): string {
  const char = String.fromCharCode(Number.parseInt(triplet.slice(1), 16))
  return /[A-Za-z0-9._~-]/.test(char) ? char : triplet.toUpperCase()
}

/** RFC 3986 §5.2.4 for an absolute path. */
function removeDotSegments(path: string): string {
  const output: string[] = []
  const segments = path.split('/').slice(1)
  for (const [i, segment] of segments.entries()) {
    const last = i === segments.length - 1
    if (segment === '..') output.pop()
    if (segment !== '.' && segment !== '..') output.push(segment)
    else if (last) output.push('')
  }
  return `/${output.join('/')}`
}
