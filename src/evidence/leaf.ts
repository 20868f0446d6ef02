/**
 * What the DER of a leaf certificate says of the workload: its URI names, its validity, and whether it may certify
 * (RFC 5280 §4.1, §4.2). Node joins all names into one string, in which a comma inside a URI looks like the next name,
 * and reads a broken date or a doubled extension as if it were not there; so these four are read from the bytes.
 */

import { type DerElement, readDer, readDerSequence } from './der.ts'

export interface LeafFields {
  /** Every uniformResourceIdentifier of the subjectAltName, byte for byte (RFC 5280 §4.2.1.6). */
  readonly uriNames: readonly string[]
  /** Unix seconds, inclusive on both ends. */
  readonly notBefore: number
  readonly notAfter: number
  /** cA, keyCertSign or cRLSign: forbidden on a workload's leaf (X509-SVID §4.1, §4.3). */
  readonly mayCertify: boolean
}

const tag = {
  boolean: 0x01,
  integer: 0x02,
  bitString: 0x03,
  octetString: 0x04,
  objectIdentifier: 0x06,
  utcTime: 0x17,
  generalizedTime: 0x18,
  sequence: 0x30,
  uri: 0x86,
  version: 0xa0,
  extensions: 0xa3,
}
/** Object identifiers 2.5.29.x in hex. */
const keyUsageId = '551d0f'
const subjectAltNameId = '551d11'
const basicConstraintsId = '551d13'
const keyCertSignOrCrlSign = 0x04 | 0x02

/** The fields, or undefined where the bytes are not a certificate in DER. Signature and chain are not looked at. */
export function readLeaf(der: Uint8Array): LeafFields | undefined {
  const [tbs] = childrenOf(readDer(der)) ?? []
  const fields = childrenOf(tbs)
  if (fields === undefined) return undefined
  // version, serialNumber, signature, issuer, validity: the version may be left out (RFC 5280 §4.1).
  const validity = readValidity(fields[fields[0]?.tag === tag.version ? 4 : 3])
  const extensions = readExtensions(fields.find((field) => field.tag === tag.extensions))
  if (validity === undefined || extensions === undefined) return undefined
  const names = readNames(extensions.get(subjectAltNameId))
  const certifies = [
    mayBeAuthority(extensions.get(basicConstraintsId)),
    maySign(extensions.get(keyUsageId)),
  ]
  if (names === undefined || certifies.includes(undefined)) return undefined
  return { uriNames: names, ...validity, mayCertify: certifies.includes(true) }
}

function childrenOf(element: DerElement | undefined): readonly DerElement[] | undefined {
  return element?.tag === tag.sequence ? readDerSequence(element.content) : undefined
}

/** By identifier; RFC 5280 §4.2 allows each extension once. None at all is an empty map. */
function readExtensions(
  tagged: DerElement | undefined,
): ReadonlyMap<string, Uint8Array> | undefined {
  const found = new Map<string, Uint8Array>()
  if (tagged === undefined) return found
  for (const extension of childrenOf(readDer(tagged.content)) ?? [undefined]) {
    const parts = childrenOf(extension)
    const id = parts?.[0]
    const value = parts?.at(-1)
    if (id?.tag !== tag.objectIdentifier || value?.tag !== tag.octetString) return undefined
    const name = Buffer.from(id.content).toString('hex')
    if (found.has(name)) return undefined
    found.set(name, value.content)
  }
  return found
}

/** RFC 5280 §4.2.1.6: [0] to [8], of which these are constructed. X.690 §10.2 has none of the others in pieces. */
const nameTags = [0xa0, 0x81, 0x82, 0xa3, 0xa4, 0xa5, tag.uri, 0x87, 0x88]

/** Latin-1 keeps every byte apart, so that a NUL or a non-ASCII byte meets the SPIFFE grammar as itself. */
function readNames(extension: Uint8Array | undefined): readonly string[] | undefined {
  if (extension === undefined) return []
  const names = childrenOf(readDer(extension))
  // What others read as one more URI, or as no names at all, is nothing to pass over.
  if (names?.every((name) => nameTags.includes(name.tag)) !== true) return undefined
  return names
    .filter((name) => name.tag === tag.uri)
    .map((name) => Buffer.from(name.content).toString('latin1'))
}

/** RFC 5280 §4.2.1.9: SEQUENCE { cA BOOLEAN DEFAULT FALSE, pathLenConstraint INTEGER OPTIONAL }. FALSE is often written out. */
function mayBeAuthority(extension: Uint8Array | undefined): boolean | undefined {
  if (extension === undefined) return false
  const parts = childrenOf(readDer(extension))
  if (parts === undefined) return undefined
  const [flag, ...others] = parts[0]?.tag === tag.boolean ? parts : [undefined, ...parts]
  if (flag !== undefined && flag.content.length !== 1) return undefined
  const isLength = ({ tag: kind, content }: DerElement) =>
    kind === tag.integer && content.length > 0
  if (others.length > 1 || !others.every((part) => part !== undefined && isLength(part)))
    return undefined
  return flag !== undefined && flag.content[0] !== 0
}

/** RFC 5280 §4.2.1.3: a primitive BIT STRING, its first octet the number of unused bits. */
function maySign(extension: Uint8Array | undefined): boolean | undefined {
  if (extension === undefined) return false
  const bits = readDer(extension)
  if (bits?.tag !== tag.bitString || bits.content.length < 2) return undefined
  return ((bits.content[1] ?? 0) & keyCertSignOrCrlSign) !== 0
}

function readValidity(
  element: DerElement | undefined,
): Pick<LeafFields, 'notBefore' | 'notAfter'> | undefined {
  const [notBefore, notAfter, ...others] = (childrenOf(element) ?? []).map(readTime)
  if (notBefore === undefined || notAfter === undefined || others.length > 0) return undefined
  return { notBefore, notAfter }
}

/** RFC 5280 §4.1.2.5: YYMMDDHHMMSSZ up to 2049, YYYYMMDDHHMMSSZ after; nothing else. */
function readTime({ tag: kind, content }: DerElement): number | undefined {
  const text = Buffer.from(content).toString('latin1')
  const digits = kind === tag.utcTime ? 2 : kind === tag.generalizedTime ? 4 : 0
  const [, year, rest = ''] = /^(\d\d(?:\d\d)?)(\d{10})Z$/.exec(text) ?? []
  if (year === undefined || year.length !== digits) return undefined
  const fullYear = digits === 4 ? year : `${Number(year) < 50 ? '20' : '19'}${year}`
  const [month, day, hour, minute, second] = rest.match(/\d\d/g) ?? []
  const iso = `${fullYear}-${month}-${day}T${hour}:${minute}:${second}.000Z`
  const date = new Date(iso)
  // A date that does not read back as itself (the 31st of June, hour 24) is none.
  return Number.isNaN(date.getTime()) || date.toISOString() !== iso
    ? undefined
    : date.getTime() / 1000
}
