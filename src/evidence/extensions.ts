/**
 * Reads the two certificate extensions that decide who a workload is, from the DER itself. Node's `subjectAltName`
 * is one joined string in which a comma inside a URI looks like the start of the next name; here each name is its own.
 */

import {
  type BaseBlock,
  BitString,
  Constructed,
  fromBER,
  ObjectIdentifier,
  OctetString,
  Sequence,
} from 'asn1js'

export interface Extensions {
  /** Every uniformResourceIdentifier of the subjectAltName, byte for byte (RFC 5280 §4.2.1.6). */
  readonly uriNames: readonly string[]
  /** keyCertSign or cRLSign is set in keyUsage (RFC 5280 §4.2.1.3): forbidden on a workload's leaf (X509-SVID §4.3). */
  readonly mayCertify: boolean
}

const keyUsageOid = '2.5.29.15'
const subjectAltNameOid = '2.5.29.17'
const contextClass = 3
const extensionsTag = 3
const uriTag = 6
const keyCertSignOrCrlSign = 0x04 | 0x02

/** The extensions, or undefined where they are not what RFC 5280 §4.2 says, which allows each of them once. */
export function readExtensions(der: Uint8Array): Extensions | undefined {
  const found = new Map<string, BaseBlock>()
  for (const extension of extensionsOf(parse(der))) {
    const parts = childrenOf(extension)
    const id = parts[0]
    const value = parts.at(-1)
    if (!(id instanceof ObjectIdentifier) || !(value instanceof OctetString)) return undefined
    const name = id.getValue()
    if (name !== keyUsageOid && name !== subjectAltNameOid) continue
    const content = parse(new Uint8Array(value.getValue()))
    if (content === undefined || found.has(name)) return undefined
    found.set(name, content)
  }
  const keyUsage = found.get(keyUsageOid)
  if (keyUsage !== undefined && !(keyUsage instanceof BitString)) return undefined
  const usageBits = keyUsage?.valueBlock.valueHexView[0] ?? 0
  return {
    uriNames: childrenOf(found.get(subjectAltNameOid)).filter(isUri).map(textOf),
    mayCertify: (usageBits & keyCertSignOrCrlSign) !== 0,
  }
}

function parse(bytes: Uint8Array): BaseBlock | undefined {
  const { offset, result } = fromBER(bytes)
  return offset === bytes.length ? result : undefined
}

/** Certificate → tbsCertificate → [3] EXPLICIT Extensions. */
function extensionsOf(certificate: BaseBlock | undefined): readonly BaseBlock[] {
  const tbs = childrenOf(certificate)[0]
  const tagged = childrenOf(tbs).find((block) => hasContextTag(block, extensionsTag))
  return childrenOf(childrenOf(tagged)[0])
}

function childrenOf(block: BaseBlock | undefined): readonly BaseBlock[] {
  return block instanceof Sequence || block instanceof Constructed
    ? (block.valueBlock.value as BaseBlock[])
    : []
}

function hasContextTag(block: BaseBlock, tag: number): boolean {
  return block.idBlock.tagClass === contextClass && block.idBlock.tagNumber === tag
}

const isUri = (block: BaseBlock): boolean => hasContextTag(block, uriTag)

/** Latin-1 keeps every byte apart, so that a NUL or a non-ASCII byte meets the grammar as itself and is refused. */
function textOf(block: BaseBlock): string {
  return Buffer.from(block.valueBeforeDecodeView).subarray(headerLength(block)).toString('latin1')
}

function headerLength(block: BaseBlock): number {
  return block.idBlock.blockLength + block.lenBlock.blockLength
}
