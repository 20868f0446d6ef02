/**
 * The grammar of `x-forwarded-client-cert` and nothing else: Envoy's text form and its JSON form (Envoy, HTTP header
 * manipulation, x-forwarded-client-cert). What an element proves is judged in hop.ts.
 */

import { isJsonObject, parseStrictJsonValue } from '../strict-json.ts'

/** What one proxy wrote of the client that it saw. Quoted values stand as between their quotes, escapes included. */
export interface XfccElement {
  /** URI SAN of the proxy that wrote the element. */
  readonly by: string | undefined
  /** SHA-256 of the client's certificate in DER, hex. */
  readonly hash: string | undefined
  /** The client's certificate and its chain as percent-encoded PEM. */
  readonly cert: string | undefined
  readonly chain: string | undefined
  readonly subject: string | undefined
  readonly issuer: string | undefined
  /** URI SANs of the client; Envoy writes an empty one where there is none. */
  readonly uris: readonly string[]
  readonly dnsNames: readonly string[]
  /**
   * Whether no SAN can have added pairs of its own to the element: always so in the JSON form; in the text form, where
   * Envoy escapes neither URI nor DNS SANs, only if `URI` is the last pair and there is no `DNS`. (A SAN may still have
   * written the whole element.)
   */
  readonly selfContained: boolean
}

const maxLength = 64 * 1024
const maxElements = 64
/** URI and DNS SANs of one element. */
const maxNames = 64
const singletons = ['by', 'hash', 'cert', 'chain', 'subject', 'issuer'] as const

type Singleton = (typeof singletons)[number]
type Draft = { [name in Singleton]: string | undefined } & {
  uris: string[]
  dnsNames: string[]
  selfContained: boolean
}

/** The elements, the last one written by the proxy that is nearest, or undefined if any part of the text is malformed. */
export function parseXfcc(text: string): readonly XfccElement[] | undefined {
  if (text.length === 0 || text.length > maxLength) return undefined
  const elements = text.startsWith('[') ? parseJson(text) : parseText(text)
  return elements !== undefined && elements.length <= maxElements ? elements : undefined
}

/**
 *     header  = element *( "," element )
 *     element = pair *( ";" pair )
 *     pair    = key "=" ( DQUOTE *( "\" char / any but "\" and DQUOTE ) DQUOTE / *( any but "," ";" "=" DQUOTE "\" ) )
 *
 * Keys compare without case; one that is not known, a second one where only one may be, a quote that does not close
 * and an empty pair refuse the whole header. Envoy writes SANs without quotes or escapes, so one with a comma makes
 * elements of its own, which this grammar cannot tell from others; peer.ts and presenter.ts judge by what stands before.
 */
const pair =
  /(by|hash|cert|chain|subject|issuer|uri|dns)=(?:"((?:[^"\\]|\\[\x20-\x7e])*)"|([^",;=\\]*))([,;]|$)/iy

/**
 * A quote that a client left open in front would hide the element that Envoy appends, up to the next quote in some SAN.
 * Envoy's own quoted values (percent-encoded PEM, names of RFC 2253) never look like this.
 */
const beginsElement = /,(?:by|hash)=/i

const notPrintable = /[^\x20-\x7e]/

function parseText(text: string): readonly XfccElement[] | undefined {
  if (notPrintable.test(text)) return undefined
  const elements: Draft[] = []
  let element = emptyElement()
  for (pair.lastIndex = 0; ; ) {
    const match = pair.exec(text)
    if (match === null) return undefined
    const [, key = '', quoted, plain, end] = match
    if (quoted !== undefined && beginsElement.test(quoted)) return undefined
    if (!take(element, key.toLowerCase(), quoted ?? plain ?? '')) return undefined
    if (end === ';') continue
    element.selfContained = key.toLowerCase() === 'uri' && element.dnsNames.length === 0
    elements.push(element)
    if (end === '') return elements
    element = emptyElement()
  }
}

/** The JSON form has the same keys in lower case; `by`, `uri`, `dns` and `chain` are lists there. */
function parseJson(text: string): readonly XfccElement[] | undefined {
  const items = parseStrictJsonValue(text)
  if (!Array.isArray(items) || items.length === 0) return undefined
  const elements: Draft[] = []
  for (const item of items) {
    if (!isJsonObject(item)) return undefined
    const element = emptyElement()
    for (const [key, value] of Object.entries(item)) {
      const values: unknown[] = Array.isArray(value) ? value : [value]
      const texts = values.filter((each) => typeof each === 'string')
      if (texts.length !== values.length) return undefined
      const taken =
        key === 'chain'
          ? take(element, key, texts.join(''))
          : texts.every((each) => take(element, key, each))
      if (!taken) return undefined
    }
    elements.push(element)
  }
  return elements
}

function emptyElement(): Draft {
  return {
    by: undefined,
    hash: undefined,
    cert: undefined,
    chain: undefined,
    subject: undefined,
    issuer: undefined,
    uris: [],
    dnsNames: [],
    selfContained: true,
  }
}

/** False where the key is not known, or was there before. */
function take(element: Draft, key: string, value: string): boolean {
  if (key === 'uri') return element.uris.push(value) <= maxNames
  if (key === 'dns') return element.dnsNames.push(value) <= maxNames
  if (!isSingleton(key) || element[key] !== undefined) return false
  element[key] = value
  return true
}

function isSingleton(key: string): key is Singleton {
  return (singletons as readonly string[]).includes(key)
}
