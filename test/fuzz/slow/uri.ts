/** The slow reading of request targets and of `htu`: RFC 3986 §3, §5.2.4 and §6.2.2, one character at a time. */

import { isIPv6 } from 'node:net'

const letters = 'abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ'
const decimals = '0123456789'
const unreserved = `${letters}${decimals}-._~`
const pathChars = `${unreserved}!$&'()*+,;=:@/`
const restChars = `${pathChars}?`
const longest = 8192

interface SlowTarget {
  readonly origin: string
  readonly path: string
}

export function readTargetSlowly(text: string): SlowTarget | undefined {
  if (text.length > longest) return undefined
  const scheme = ['http', 'https'].find((name) =>
    sameWithoutCase(text.slice(0, name.length + 3), `${name}://`),
  )
  if (scheme === undefined) return undefined
  const rest = text.slice(scheme.length + 3)
  const end = firstOf(rest, '/?#')
  const host = readHost(rest.slice(0, end), scheme)
  const [path, more] = splitAt(rest.slice(end), '?#')
  if (host === undefined || !isQueryAndFragment(more)) return undefined
  const normal = normalisePathSlowly(path === '' ? '/' : path)
  return normal === undefined ? undefined : { origin: `${scheme}://${host}`, path: normal }
}

function readHost(authority: string, scheme: string): string | undefined {
  const bracket = authority.startsWith('[') ? authority.indexOf(']') : -1
  const colon = authority.indexOf(':', bracket + 1)
  const host = colon === -1 ? authority : authority.slice(0, colon)
  const port = colon === -1 ? '' : authority.slice(colon + 1)
  if (!isPort(port)) return undefined
  const usual = scheme === 'https' ? '443' : '80'
  const shown = port === '' || port === usual ? '' : `:${port}`
  if (host.startsWith('[')) {
    if (!host.endsWith(']') || !isIPv6(host.slice(1, -1)) || host.includes('%')) return undefined
    return host.toLowerCase() + shown
  }
  const name = host.endsWith('.') ? host.slice(0, -1) : host
  const labels = name.split('.')
  const sound = labels.every((label) => label !== '' && only(label, `${letters}${decimals}_-`))
  return sound ? host.toLowerCase() + shown : undefined
}

function isPort(port: string): boolean {
  if (port === '') return true
  if (!only(port, decimals) || port.length > 5) return false
  return (port === '0' || !port.startsWith('0')) && Number(port) <= 65_535
}

/** `[?query][#fragment]`. Brackets are taken there, which RFC 3986 does not give them: nothing hangs on it. */
function isQueryAndFragment(text: string): boolean {
  const [query, fragment] = splitAt(text, '#')
  const sound = (part: string) => part === '' || isMadeOf(part.slice(1), `${restChars}[]`)
  return sound(query) && sound(fragment)
}

/** Undefined where a character must not stand in a path. */
export function normalisePathSlowly(path: string): string | undefined {
  if (path.length > longest || !isMadeOf(path, pathChars) || !path.startsWith('/')) return undefined
  let decoded = ''
  for (let i = 0; i < path.length; i++) {
    if (path[i] !== '%') {
      decoded += path[i]
      continue
    }
    const char = String.fromCharCode(Number.parseInt(path.slice(i + 1, i + 3), 16))
    decoded += unreserved.includes(char) ? char : path.slice(i, i + 3).toUpperCase()
    i += 2
  }
  return removeDots(decoded)
}

/** RFC 3986 §5.2.4, step by step as it is written there. */
export function removeDots(path: string): string {
  let input = path
  let output = ''
  while (input !== '') {
    if (input.startsWith('/./')) input = input.slice(2)
    else if (input === '/.') input = '/'
    else if (input.startsWith('/../') || input === '/..') {
      input = input === '/..' ? '/' : input.slice(3)
      output = output.slice(0, Math.max(0, output.lastIndexOf('/')))
    } else {
      const next = input.indexOf('/', 1)
      output += next === -1 ? input : input.slice(0, next)
      input = next === -1 ? '' : input.slice(next)
    }
  }
  return output
}

/**
 * policy.md, Paths and hosts: the path decoded once, or undefined where it has another spelling. Bytes below 0x21 are
 * control bytes here: HTTP has no space in a target.
 */
export function canonicalPathSlowly(target: string): string | undefined {
  const [path] = splitAt(target, '?')
  for (const char of target)
    if (char.charCodeAt(0) < 0x21 || '\x7f#'.includes(char)) return undefined
  if (path.length > longest || !path.startsWith('/')) return undefined
  const bytes: number[] = []
  for (let i = 0; i < path.length; i++) {
    const char = path.charAt(i)
    if ('\\;\ufffd'.includes(char)) return undefined
    if (char !== '%') {
      const point = String.fromCodePoint(path.codePointAt(i) ?? 0)
      bytes.push(...Buffer.from(point))
      i += point.length - 1
      continue
    }
    const hex = path.slice(i + 1, i + 3)
    if (!/^[0-9a-fA-F]{2}$/.test(hex)) return undefined
    const byte = Number.parseInt(hex, 16)
    if (byte < 0x20 || byte === 0x7f) return undefined
    if (`${unreserved}/\\;`.includes(String.fromCharCode(byte))) return undefined
    if (byte === 0x25 && /^[0-9a-fA-F]{2}/.test(path.slice(i + 3))) return undefined
    bytes.push(byte)
    i += 2
  }
  const segments = path.slice(1).split('/')
  const last = segments.pop() ?? ''
  if (segments.some((segment) => segment === '' || segment === '.' || segment === '..'))
    return undefined
  if (last === '.' || last === '..') return undefined
  const text = Buffer.from(bytes).toString('utf8')
  return Buffer.from(text).equals(Buffer.from(bytes)) ? text : undefined
}

/** Whether every character is one of these, or a whole percent-encoded octet. */
function isMadeOf(text: string, chars: string): boolean {
  for (let i = 0; i < text.length; i++) {
    if (text[i] === '%') {
      if (!/^[0-9a-fA-F]{2}$/.test(text.slice(i + 1, i + 3))) return false
      i += 2
    } else if (!chars.includes(text.charAt(i))) return false
  }
  return true
}

function only(text: string, chars: string): boolean {
  return [...text].every((char) => chars.includes(char))
}

/** ASCII only: there are letters elsewhere whose lower case is ASCII. */
function sameWithoutCase(text: string, lower: string): boolean {
  return text.replace(/[A-Z]/g, (char) => char.toLowerCase()) === lower
}

function firstOf(text: string, chars: string): number {
  for (let i = 0; i < text.length; i++) if (chars.includes(text.charAt(i))) return i
  return text.length
}

function splitAt(text: string, chars: string): readonly [before: string, from: string] {
  const at = firstOf(text, chars)
  return [text.slice(0, at), text.slice(at)]
}
