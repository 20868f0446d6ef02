/** The slow reading of certificates: PEM as RFC 7468 §3 writes it, one character at a time, and RFC 5280 §4.1 field by field. */

import { readDerSlowly, type SlowElement } from './der.ts'

const base64 = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/'
const begin = '-----BEGIN CERTIFICATE-----\n'
const end = '-----END CERTIFICATE-----'

/** RFC 3986 §2.1; what is not UTF-8 is in no PEM either. */
export function percentDecodeSlowly(text: string): string | undefined {
  let plain = ''
  for (let i = 0; i < text.length; i++) {
    const char = text.charAt(i)
    if (char !== '%') plain += char
    else {
      const hex = text.slice(i + 1, i + 3)
      if (!/^[0-9a-fA-F]{2}$/.test(hex)) return undefined
      plain += String.fromCharCode(Number.parseInt(hex, 16))
      i += 2
    }
  }
  return plain
}

/** The blocks that fill the text, each ended by LF, the last by LF or by the end of the text. */
export function readPemSlowly(text: string): Buffer[] | undefined {
  const blocks: Buffer[] = []
  let rest = text
  do {
    if (!rest.startsWith(begin)) return undefined
    const close = rest.indexOf(end)
    if (close === -1) return undefined
    const lines = rest.slice(begin.length, close).split('\n')
    if (lines.pop() !== '' || lines.length === 0) return undefined
    if (lines.some((line) => line.replaceAll('=', '').length > 64)) return undefined
    if (lines.some((line) => line === '' || line.startsWith('='))) return undefined
    const der = decodeBase64Slowly(lines.join(''))
    if (der === undefined) return undefined
    blocks.push(der)
    rest = rest.slice(close + end.length)
    if (rest !== '' && !rest.startsWith('\n')) return undefined
    rest = rest.slice(1)
  } while (rest !== '')
  return blocks
}

/** RFC 4648 §4, padded, no bit set that says nothing. */
export function decodeBase64Slowly(text: string): Buffer | undefined {
  if (text.length % 4 !== 0) return undefined
  const digits = text.endsWith('==')
    ? text.slice(0, -2)
    : text.endsWith('=')
      ? text.slice(0, -1)
      : text
  const bytes: number[] = []
  let bits = 0
  let held = 0
  for (const char of digits) {
    const value = base64.indexOf(char)
    if (value === -1) return undefined
    bits = bits * 64 + value
    held += 6
    if (held >= 8) {
      held -= 8
      bytes.push(bits >> held)
      bits %= 1 << held
    }
  }
  return bits === 0 ? Buffer.from(bytes) : undefined
}

export interface SlowCertificate {
  readonly uris: readonly string[]
  readonly notBefore: number
  readonly notAfter: number
  readonly mayCertify: boolean
}

/** Undefined where the bytes are not a certificate as RFC 5280 wants it: a reading may take more, and never another value. */
export function readCertificateSlowly(der: Buffer): SlowCertificate | undefined {
  const [whole, ...more] = readDerSlowly(der) ?? []
  if (whole?.tag !== 0x30 || more.length > 0 || whole.parts.length !== 3) return undefined
  const [tbs, , signature] = whole.parts
  if (tbs?.tag !== 0x30 || signature?.tag !== 0x03) return undefined
  const fields = [...tbs.parts]
  const take = (tag: number) => (fields[0]?.tag === tag ? fields.shift() : undefined)
  const version = take(0xa0)
  const [serial, , , validity, , key] = [0x02, 0x30, 0x30, 0x30, 0x30, 0x30].map(take)
  const [, , extensions] = [0x81, 0x82, 0xa3].map(take)
  if (serial === undefined || key === undefined || fields.length > 0) return undefined
  const [from, to, ...others] = (validity?.parts ?? []).map(readTimeSlowly)
  if (from === undefined || to === undefined || others.length > 0) return undefined
  const found = extensions === undefined ? new Map<string, SlowElement>() : readMap(extensions)
  if (found === undefined || (found.size > 0 && version?.content.toString('hex') !== '020102'))
    return undefined
  const uris = urisOf(found.get('551d11'))
  const signs = [isAuthority(found.get('551d13')), signsCertificates(found.get('551d0f'))]
  if (uris === undefined || signs.includes(undefined)) return undefined
  return { uris, notBefore: from, notAfter: to, mayCertify: signs.includes(true) }
}

function readMap(tagged: SlowElement): Map<string, SlowElement> | undefined {
  const found = new Map<string, SlowElement>()
  const [list, ...others] = tagged.parts
  if (list?.tag !== 0x30 || others.length > 0 || list.parts.length === 0) return undefined
  for (const { tag, parts } of list.parts) {
    const [id, value] = [parts[0], parts.at(-1)]
    const critical = parts.length === 3 ? parts[1] : undefined
    if (tag !== 0x30 || parts.length < 2 || parts.length > 3) return undefined
    if (id?.tag !== 0x06 || value?.tag !== 0x04) return undefined
    if (parts.length === 3 && !isTrue(critical)) return undefined
    const name = id.content.toString('hex')
    if (found.has(name)) return undefined
    // What an extension that is not looked at holds is its own affair.
    const inner = name.startsWith('551d') ? readDerSlowly(value.content) : [value]
    const [only] = inner ?? []
    if (only === undefined || inner?.length !== 1) return undefined
    found.set(name, only)
  }
  return found
}

/** DEFAULT FALSE is never written, and TRUE is all ones (X.690 §11.1, §11.5). */
function isTrue(element: SlowElement | undefined): boolean {
  return element?.tag === 0x01 && element.content.toString('hex') === 'ff'
}

function urisOf(names: SlowElement | undefined): string[] | undefined {
  if (names === undefined) return []
  if (names.tag !== 0x30 || names.parts.length === 0) return undefined
  // §4.2.1.6: otherName, x400Address, directoryName and ediPartyName hold more; the other five are octets.
  const isName = (tag: number) =>
    (tag >= 0x80 && tag <= 0x88 && ![0x80, 0x83, 0x84, 0x85].includes(tag)) ||
    [0xa0, 0xa3, 0xa4, 0xa5].includes(tag)
  if (!names.parts.every(({ tag }) => isName(tag))) return undefined
  return names.parts
    .filter(({ tag }) => tag === 0x86)
    .map(({ content }) => content.toString('latin1'))
}

function isAuthority(constraints: SlowElement | undefined): boolean | undefined {
  if (constraints === undefined) return false
  const [first, ...others] = constraints.parts
  if (constraints.tag !== 0x30) return undefined
  if (first === undefined) return false
  if (!isTrue(first)) return undefined
  return others.length === 0 || (others.length === 1 && isNatural(others[0])) ? true : undefined
}

/** X.690 §8.3: at least one octet, none too many; and not below 0. */
function isNatural(element: SlowElement | undefined): boolean {
  const [first = 128, second = 128] = element?.content ?? []
  return element?.tag === 0x02 && first < 128 && (first > 0 || second >= 128)
}

function signsCertificates(usage: SlowElement | undefined): boolean | undefined {
  if (usage === undefined) return false
  const [unused = 8, ...octets] = usage.content
  if (usage.tag !== 0x03 || unused > 7 || octets.length === 0) return undefined
  const bits = octets.map((octet) => octet.toString(2).padStart(8, '0')).join('')
  // X.690 §11.2.2: a named bit list ends with a bit that is set.
  if (!bits.endsWith(`1${'0'.repeat(unused)}`)) return undefined
  return bits[5] === '1' || bits[6] === '1'
}

const monthDays = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]

/** RFC 5280 §4.1.2.5, counted in days since 1970. */
function readTimeSlowly({ tag, content }: SlowElement): number | undefined {
  const text = content.toString('latin1')
  const digits = tag === 0x17 ? 12 : tag === 0x18 ? 14 : 0
  if (digits === 0 || text.length !== digits + 1 || !text.endsWith('Z')) return undefined
  for (const char of text.slice(0, -1)) if (char < '0' || char > '9') return undefined
  const short = Number(text.slice(0, 2))
  const year = digits === 14 ? Number(text.slice(0, 4)) : short + (short >= 50 ? 1900 : 2000)
  const at = (place: number) => Number(text.slice(digits - place, digits - place + 2))
  const [month, day, hour, minute, second] = [at(10), at(8), at(6), at(4), at(2)] as const
  if (digits === 14 && year < 2050) return undefined
  const leap = (of: number) => (of % 4 === 0 && of % 100 !== 0) || of % 400 === 0
  const length = (monthDays[month - 1] ?? 0) + (month === 2 && leap(year) ? 1 : 0)
  if (day < 1 || day > length || hour > 23 || minute > 59 || second > 59) return undefined
  let days = day - 1
  for (let past = 1970; past < year; past++) days += leap(past) ? 366 : 365
  for (let past = year; past < 1970; past++) days -= leap(past) ? 366 : 365
  for (let past = 1; past < month; past++)
    days += (monthDays[past - 1] ?? 0) + (past === 2 && leap(year) ? 1 : 0)
  return ((days * 24 + hour) * 60 + minute) * 60 + second
}
