/** Hosts in one spelling: lower case, without port and trailing dot (RFC 3986 §3.2.2, RFC 9110 §4.2.3). */

/** ASCII of either case, lowered after the match: Unicode has letters whose lower case is ASCII. */
const authority = /^([A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*|\[[0-9A-Fa-f:.]+\])\.?(?::\d{0,5})?$/
const pattern = /^(?:\*\.)?[a-z0-9_-]+(?:\.[a-z0-9_-]+)*$|^\[[0-9a-f:.]+\]$/
const maxLength = 260

/** The host of an authority, or undefined where it is none: userinfo, two hosts, an empty label. */
export function canonicalHost(text: string): string | undefined {
  return text.length > maxLength ? undefined : authority.exec(text)?.[1]?.toLowerCase()
}

/** A policy's host: exact, or `*.` and the rest, which matches names below it at any depth, as in Envoy. */
export function isHostPattern(text: string): boolean {
  return text.length <= maxLength && pattern.test(text)
}

export function hostMatches(hostPattern: string, host: string): boolean {
  return hostPattern.startsWith('*.') ? host.endsWith(hostPattern.slice(1)) : hostPattern === host
}
