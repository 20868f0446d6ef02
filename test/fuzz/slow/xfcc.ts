/** The slow reading of x-forwarded-client-cert, text and JSON: one character at a time, then the rules of an element one by one. */

import { readJsonSlowly } from './json.ts'

type Pair = readonly [key: string, value: string]
interface SlowElement {
  readonly [member: string]: string | undefined | readonly string[] | boolean
}

const once = ['by', 'hash', 'cert', 'chain', 'subject', 'issuer']
const longest = 64 * 1024
const most = 64

export function readXfccSlowly(text: string): readonly SlowElement[] | undefined {
  if (text.length === 0 || text.length > longest) return undefined
  const elements = text.startsWith('[') ? jsonElements(text) : textElements(text)
  return elements !== undefined && elements.length <= most ? elements : undefined
}

function textElements(text: string): SlowElement[] | undefined {
  for (const char of text) if (char < ' ' || char > '~') return undefined
  const elements: SlowElement[] = []
  let pairs: Pair[] = []
  let at = 0
  for (;;) {
    const equals = text.indexOf('=', at)
    if (equals === -1) return undefined
    const key = text.slice(at, equals).toLowerCase()
    const value = text[equals + 1] === '"' ? quoted(text, equals + 2) : plain(text, equals + 1)
    if (value === undefined) return undefined
    pairs.push([key, value.text])
    const end = text.charAt(value.end)
    if (end !== ';') {
      const element = elementOf(pairs)
      if (element === undefined) return undefined
      const own = pairs.at(-1)?.[0] === 'uri' && !pairs.some(([name]) => name === 'dns')
      elements.push({ ...element, selfContained: own })
      pairs = []
    }
    if (end === '') return elements
    if (end !== ';' && end !== ',') return undefined
    at = value.end + 1
  }
}

interface Value {
  readonly text: string
  /** Where what follows it stands. */
  readonly end: number
}

function quoted(text: string, start: number): Value | undefined {
  let end = start
  while (text[end] !== '"') {
    if (end >= text.length) return undefined
    end += text[end] === '\\' ? 2 : 1
  }
  const value = text.slice(start, end)
  // A quote that a client left open must not swallow what a proxy wrote behind it.
  for (const [, ...parts] of [value.toLowerCase().split(',')])
    if (parts.some((part) => part.startsWith('by=') || part.startsWith('hash='))) return undefined
  return { text: value, end: end + 1 }
}

function plain(text: string, start: number): Value | undefined {
  let end = start
  while (end < text.length && !';,'.includes(text.charAt(end))) {
    if ('"=\\'.includes(text.charAt(end))) return undefined
    end++
  }
  return { text: text.slice(start, end), end }
}

function jsonElements(text: string): SlowElement[] | undefined {
  const items = readJsonSlowly(text)?.value
  if (!Array.isArray(items) || items.length === 0) return undefined
  const elements: SlowElement[] = []
  for (const item of items as unknown[]) {
    if (typeof item !== 'object' || item === null || Array.isArray(item)) return undefined
    const pairs: Pair[] = []
    for (const [key, value] of Object.entries(item)) {
      const values: unknown[] = Array.isArray(value) ? value : [value]
      if (values.some((each) => typeof each !== 'string')) return undefined
      const texts = values as string[]
      if (key === 'chain') pairs.push([key, texts.join('')])
      else if (texts.length === 0 && !isKey(key)) continue
      else for (const each of texts) pairs.push([key, each])
    }
    const element = elementOf(pairs)
    if (element === undefined) return undefined
    elements.push({ ...element, selfContained: true })
  }
  return elements
}

function isKey(key: string): boolean {
  return once.includes(key) || key === 'uri' || key === 'dns'
}

function elementOf(pairs: readonly Pair[]): SlowElement | undefined {
  if (pairs.some(([key]) => !isKey(key))) return undefined
  const all = (wanted: string) => pairs.filter(([key]) => key === wanted).map(([, value]) => value)
  if (once.some((key) => all(key).length > 1)) return undefined
  if (all('uri').length > most || all('dns').length > most) return undefined
  const singles = Object.fromEntries(once.map((key) => [key, all(key)[0]]))
  return { ...singles, uris: all('uri'), dnsNames: all('dns') }
}
