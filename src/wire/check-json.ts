/**
 * A CheckRequest as proto3 JSON → its bytes. Names and numbers are those of Envoy's full definition, which a test holds
 * against this table; a field that a check makes no use of is taken and left out, a field that Envoy does not have is
 * refused by name.
 */

import protobuf, { type Writer } from 'protobufjs/minimal.js'

type Kind = 'text' | 'bytes' | 'texts' | 'unread' | { readonly one: Message; readonly many?: true }
type Message = { readonly [field: string]: readonly [number: number, kind: Kind] }

const headerValue: Message = { key: [1, 'text'], value: [2, 'text'], raw_value: [3, 'bytes'] }

const peer: Message = {
  address: [1, 'unread'],
  service: [2, 'unread'],
  labels: [3, 'unread'],
  principal: [4, 'text'],
  certificate: [5, 'text'],
}

const http: Message = {
  id: [1, 'text'],
  method: [2, 'text'],
  headers: [3, 'texts'],
  path: [4, 'text'],
  host: [5, 'text'],
  scheme: [6, 'unread'],
  query: [7, 'unread'],
  fragment: [8, 'unread'],
  size: [9, 'unread'],
  protocol: [10, 'unread'],
  body: [11, 'unread'],
  raw_body: [12, 'unread'],
  header_map: [13, { one: { headers: [1, { one: headerValue, many: true }] } }],
}

const checkRequest: Message = {
  attributes: [
    1,
    {
      one: {
        source: [1, { one: peer }],
        destination: [2, { one: peer }],
        request: [4, { one: { time: [1, 'unread'], http: [2, { one: http }] } }],
        context_extensions: [10, 'texts'],
        metadata_context: [11, 'unread'],
        tls_session: [12, 'unread'],
        route_metadata_context: [13, 'unread'],
      },
    },
  ],
}

const lengthDelimited = 2
const base64 = /^[A-Za-z0-9+/_-]*={0,2}$/

/**
 * Field names in camelCase or snake_case; null is the default value, as proto3 JSON says. Throws with a message that
 * names the field and never its value.
 *
 * @param value Parsed JSON, without duplicate keys.
 */
export function encodeCheckJson(value: unknown): Buffer {
  const writer = protobuf.Writer.create()
  writeMessage(writer, checkRequest, value, 'the CheckRequest')
  return Buffer.from(writer.finish())
}

function writeMessage(writer: Writer, message: Message, value: unknown, place: string): void {
  if (!isObject(value)) throw new Error(`${place}: must be an object`)
  const seen = new Set<number>()
  for (const [written, item] of Object.entries(value)) {
    const name = written.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)
    const field = Object.hasOwn(message, name) ? message[name] : undefined
    if (field === undefined) throw new Error(`${place}: ${unknownField(written, message)}`)
    const [number, kind] = field
    if (seen.has(number)) throw new Error(`${place}: \`${name}\` is given in two spellings`)
    seen.add(number)
    if (item !== null) writeField(writer, number, kind, item, `${place}: \`${written}\``)
  }
}

/** A name that is no name may be anything, a token put in the wrong place among others: it is not repeated. */
function unknownField(written: string, message: Message): string {
  const named = /^[A-Za-z_][A-Za-z0-9_]{0,63}$/.test(written)
    ? `field \`${written}\``
    : 'such field'
  return `there is no ${named}; there are ${Object.keys(message).join(', ')}`
}

function writeField(
  writer: Writer,
  number: number,
  kind: Kind,
  value: unknown,
  place: string,
): void {
  switch (kind) {
    case 'unread':
      break
    case 'text':
      open(writer, number).string(requireText(value, place))
      break
    case 'bytes':
      open(writer, number).bytes(requireBytes(value, place))
      break
    case 'texts':
      if (!isObject(value)) throw new Error(`${place}: must be an object of texts`)
      for (const [key, item] of Object.entries(value)) {
        const entry = open(writer, number).fork()
        open(entry, 1).string(key)
        open(entry, 2).string(requireText(item, `${place}: every member`))
        entry.ldelim()
      }
      break
    default:
      writeMessages(writer, number, kind, value, place)
  }
}

function writeMessages(
  writer: Writer,
  number: number,
  { one, many }: Exclude<Kind, string>,
  value: unknown,
  place: string,
): void {
  if (many === true && !Array.isArray(value)) throw new Error(`${place}: must be a list`)
  for (const item of many === true ? (value as unknown[]) : [value]) {
    writeMessage(open(writer, number).fork(), one, item, place)
    writer.ldelim()
  }
}

function open(writer: Writer, number: number): Writer {
  return writer.uint32((number << 3) | lengthDelimited)
}

function requireText(value: unknown, place: string): string {
  if (typeof value !== 'string') throw new Error(`${place}: must be a text`)
  return value
}

/** proto3 JSON: standard or URL-safe base64, with or without padding. */
function requireBytes(value: unknown, place: string): Buffer {
  if (typeof value !== 'string' || !base64.test(value)) throw new Error(`${place}: must be base64`)
  return Buffer.from(value, 'base64')
}

function isObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
