/** Which URLs and addresses keys may come from: https, or http to loopback; never a link-local address. */

import { BlockList, isIP } from 'node:net'

const linkLocal = new BlockList()
linkLocal.addSubnet('169.254.0.0', 16, 'ipv4')
linkLocal.addSubnet('fe80::', 10, 'ipv6')
// The same addresses by way of NAT64 (RFC 6052 §2.1) and as IPv4-compatible IPv6, and AWS's metadata service in IPv6.
linkLocal.addSubnet('64:ff9b::a9fe:0', 112, 'ipv6')
linkLocal.addSubnet('::a9fe:0', 112, 'ipv6')
linkLocal.addAddress('fd00:ec2::254', 'ipv6')

const loopback = new BlockList()
loopback.addSubnet('127.0.0.0', 8, 'ipv4')
loopback.addAddress('::1', 'ipv6')

/** What is wrong with the text as the URL of a key source, or undefined. */
export function urlProblem(text: string): string | undefined {
  const url = URL.parse(text)
  if (url === null) return 'must be a URL'
  if (url.username !== '' || url.password !== '') return 'must be without user and password'
  if (url.hash !== '') return 'must be without fragment'
  if (url.protocol !== 'https:' && url.protocol !== 'http:') return 'must be https'
  if (url.protocol === 'http:' && url.hostname === 'localhost') return undefined
  const problem = literalAddressProblem(url)
  if (problem !== undefined) return problem
  return url.protocol === 'http:' && isIP(hostOf(url)) === 0
    ? 'must be https (http is for loopback alone)'
    : undefined
}

/** What is wrong with an address written in the URL itself, which no resolver will see. */
export function literalAddressProblem(url: URL): string | undefined {
  const host = hostOf(url)
  return isIP(host) === 0 ? undefined : addressProblem(host, url.protocol)
}

/** What is wrong with an address that a name resolved to. Cloud metadata services live on link-local addresses. */
export function addressProblem(address: string, protocol: string): string | undefined {
  const family = isIP(address) === 6 ? 'ipv6' : 'ipv4'
  if (linkLocal.check(address, family)) return 'must not be a link-local address'
  if (protocol !== 'https:' && !loopback.check(address, family))
    return 'must be https (http is for loopback alone)'
  return undefined
}

/** A host as a URL writes it, without the brackets of IPv6. */
function hostOf(url: URL): string {
  return url.hostname.replace(/^\[|\]$/g, '')
}
