/** The grammars of one text: base64url, JSON, JWS, the credential, identifiers of workloads. */

import { isRefusal } from '../../../src/decision/decision.ts'
import { parseSpiffeId, parseWorkloadIdentifier } from '../../../src/evidence/spiffe-id.ts'
import { parseStrictJson, parseStrictJsonValue } from '../../../src/strict-json.ts'
import { decodeBase64url } from '../../../src/token/base64url.ts'
import { readCredential } from '../../../src/token/credential.ts'
import { maxTokenLength, readJws } from '../../../src/token/jws.ts'
import { jsonText, objectText } from '../json-text.ts'
import { decodeSlowly } from '../slow/base64url.ts'
import { readJsonSlowly, readObjectSlowly } from '../slow/json.ts'
import { agree, type Target } from '../target.ts'

const digits = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'
const textOf = (bytes: Buffer) => bytes.toString('utf8')

export const base64url: Target = {
  name: 'base64url',
  source: 'RFC 4648 §5, RFC 7515 §2',
  dictionary: ['=', '==', '+', '/', '-', '_', 'A', 'Q', '\n', ' '],
  generate: (random) => Buffer.from(random.many(20, () => digits[random.int(64)]).join('')),
  judge(input) {
    const text = textOf(input)
    const bytes = decodeBase64url(text)
    agree('bytes', bytes && [...bytes], text.length > 4096 ? bytes && [...bytes] : arrayOf(text))
    return bytes === undefined ? 'refused' : `taken, ${text.length % 4} over`
  },
}

function arrayOf(text: string): number[] | undefined {
  const bytes = decodeSlowly(text)
  return bytes && [...bytes]
}

export const strictJson: Target = {
  name: 'strict-json',
  source: 'RFC 8259, RFC 8725 §2.4',
  dictionary: [
    '"a":',
    '\\u0061',
    '1e1',
    '[[[[[[[[[[[[[[[[',
    ']]]]]]]]]]]]]]]]',
    '\\ud83d',
    '{}',
    ',',
  ],
  generate: (random) => Buffer.from(jsonText(random)),
  judge(input) {
    const text = textOf(input)
    const slow = readJsonSlowly(text)
    agree('value', parseStrictJsonValue(text), slow?.value)
    const object = parseStrictJson(input)
    agree('object', object, readObjectSlowly(input))
    if (slow === undefined) return 'refused'
    return object === undefined ? `taken, ${typeof slow.value}` : 'taken, an object'
  },
}

export const jws: Target = {
  name: 'jws',
  source: 'RFC 7515 §3.1, §5.2; RFC 8725 §3',
  dictionary: ['.', '..', 'eyJ', 'e30', 'eyJhbGciOiJub25lIn0', '='],
  generate(random) {
    const header = objectText(random, {
      alg: random.pick(['ES256', 'none', 'HS256', '']),
      kid: random.pick(['key-1', undefined, 'x'.repeat(1025)]),
      typ: random.pick(['at+jwt', 'application/AT+JWT', undefined]),
      ...(random.chance(6) ? { [random.pick(['crit', 'b64', 'zip', 'jwk', 'x5u'])]: ['exp'] } : {}),
    })
    const claims = random.chance(3) ? jsonText(random) : objectText(random, { exp: 1, sub: 'a' })
    const parts = [header, claims, 'signature'].map((part) =>
      Buffer.from(part).toString('base64url'),
    )
    return Buffer.from(parts.join('.'))
  },
  judge(input) {
    const text = textOf(input)
    const read = readJws(text)
    agree('JWS', isRefusal(read) ? undefined : read, readJwsSlowly(text))
    return isRefusal(read)
      ? read.detail
      : `taken, ${read.type === undefined} ${read.keyId === undefined}`
  },
}

function readJwsSlowly(text: string): object | undefined {
  if (text.length > maxTokenLength) return undefined
  const parts = text.split('.')
  if (parts.length !== 3) return undefined
  const [header, claims, signature] = parts.map(decodeSlowly)
  if (header === undefined || claims === undefined || signature === undefined) return undefined
  const [members, payload] = [readObjectSlowly(header), readObjectSlowly(claims)]
  if (members === undefined || payload === undefined) return undefined
  const own = new Map(Object.entries(members))
  if (['crit', 'b64', 'zip'].some((name) => own.has(name))) return undefined
  const short = (name: string) => {
    const value = own.get(name)
    return typeof value === 'string' && value.length <= 1024 ? value : undefined
  }
  if (short('alg') === undefined) return undefined
  for (const name of ['kid', 'typ'])
    if (own.has(name) && short(name) === undefined) return undefined
  const type = short('typ')?.toLowerCase()
  return {
    algorithm: short('alg'),
    keyId: short('kid'),
    type: type?.startsWith('application/') === true ? type.slice(12) : type,
    claims: payload,
  }
}

export const credential: Target = {
  name: 'credential',
  source: 'RFC 6750 §2.1, RFC 9110 §11.4, RFC 9449 §7.1',
  dictionary: ['Bearer ', 'bearer ', 'DPoP ', 'DPOP\t', 'Basic ', ',', '=', 'Negotiate', '  '],
  generate(random) {
    const scheme = random.pick(['Bearer', 'DPoP', 'bEARER', 'Basic', 'Bearer2', 'Bearer,', ''])
    const space = random.pick([' ', '  ', '', '\t', ' \t'])
    const token = random.pick(['a.b.c', 'a=', 'a==', '', '=', 'a b', 'a,b', '-._~+/', 'ä'])
    return Buffer.from(scheme + space + token)
  },
  judge(input) {
    const value = textOf(input)
    const read = readCredential({ kind: 'one', value })
    const fast = isRefusal(read) ? read.refused : read
    agree('credential', fast, readCredentialSlowly(value))
    return typeof fast === 'string' ? fast : `taken, ${fast.scheme}`
  },
}

const tokenChars = `${digits}.!#$%&'*+^\`|~`
const token68Chars = `${digits}.~+/`

function readCredentialSlowly(value: string): object | string {
  let at = 0
  while (at < value.length && tokenChars.includes(value.charAt(at))) at++
  const name = value.slice(0, at).replace(/[A-Z]/g, (char) => char.toLowerCase())
  const scheme = name === 'bearer' ? 'Bearer' : name === 'dpop' ? 'DPoP' : undefined
  if (scheme === undefined) {
    const whole = at > 0 && (at === value.length || value[at] === ' ')
    return whole ? 'credential_missing' : 'credential_malformed'
  }
  const start = at
  while (value[at] === ' ') at++
  const tokenAt = at
  while (at < value.length && token68Chars.includes(value.charAt(at))) at++
  const some = at > tokenAt && tokenAt > start
  while (value[at] === '=') at++
  if (!some || at !== value.length) return 'credential_malformed'
  return { scheme, token: value.slice(tokenAt) }
}

export const workloadId: Target = {
  name: 'spiffe-id',
  source: 'SPIFFE-ID §2, draft-ietf-wimse-identifier §4',
  dictionary: [
    'spiffe://',
    'wimse://',
    'SPIFFE://',
    '/ns/',
    '/..',
    '/.',
    '%2e',
    '?',
    '#',
    ':443',
    '@',
  ],
  generate(random) {
    const scheme = random.pick([
      'spiffe://',
      'spiffe://',
      'wimse://',
      'Spiffe://',
      'spiffe:/',
      'http://',
    ])
    const domain = random.pick([
      'mesh.example',
      'a',
      'A.example',
      'a_b-c.d',
      '',
      'm'.repeat(256),
      'é',
    ])
    const segments = random.many(5, () =>
      random.pick(['ns', 'shop', 'A.b_c-', '.', '..', '', '...', 'a%20b', 'x'.repeat(900)]),
    )
    return Buffer.from(scheme + [domain, ...segments].join('/'))
  },
  judge(input) {
    const text = textOf(input)
    const spiffe = isWorkload(text, 'spiffe')
    const fast = parseSpiffeId(text)
    agree('SPIFFE ID', fast, spiffe === undefined ? undefined : text)
    const found = parseWorkloadIdentifier(text)
    const wimse = isWorkload(text, 'wimse')
    const slow = (spiffe?.path === true && spiffe) || (wimse?.path === true && wimse) || undefined
    agree(
      'workload',
      found && [found.id, found.scheme, found.trustDomain],
      slow && [text, slow.scheme, slow.domain],
    )
    return found === undefined ? (fast === undefined ? 'refused' : 'taken, no path') : found.scheme
  },
}

/** The parts of an identifier of that scheme. */
export function isWorkload(
  text: string,
  scheme: string,
): { readonly scheme: string; readonly domain: string; readonly path: boolean } | undefined {
  if (!text.startsWith(`${scheme}://`)) return undefined
  // As long as its twin in the scheme `spiffe` may be.
  if (text.length + 'spiffe'.length - scheme.length > 2048) return undefined
  const [domain = '', ...segments] = text.slice(scheme.length + 3).split('/')
  const domainChars = 'abcdefghijklmnopqrstuvwxyz0123456789.-_'
  if (domain.length < 1 || domain.length > 255) return undefined
  for (const char of domain) if (!domainChars.includes(char)) return undefined
  for (const segment of segments) {
    if (segment === '' || segment === '.' || segment === '..') return undefined
    for (const char of segment) if (!`${digits}.`.includes(char)) return undefined
  }
  return { scheme, domain, path: segments.length > 0 }
}
