/** DER as bytes, sound and flawed: values written with their lengths, and changes that keep the lengths around them right. */

import type { Random } from './random.ts'
import { isConstructed, lengthOctets, readDerSlowly } from './slow/der.ts'

export function der(tag: number, ...contents: readonly Uint8Array[]): Buffer {
  const content = Buffer.concat(contents)
  return Buffer.concat([Buffer.of(tag, ...lengthOctets(content.length)), content])
}

/** What is changed stands as it will be written; around it everything is read. */
interface Node {
  readonly tag: number
  content: Buffer
  /** Of a constructed one, and of a text that holds DER itself, as the value of an extension does. */
  readonly parts: Node[]
  /** In place of all of it. */
  written: Buffer | undefined
}

const bitString = 0x03
const octetString = 0x04

function nodesOf(bytes: Buffer): Node[] | undefined {
  return readDerSlowly(bytes)?.map(({ tag, content }) => {
    const holds = isConstructed(tag) || tag === octetString
    const parts = (holds && content.length > 0 ? nodesOf(content) : undefined) ?? []
    return { tag, content, parts, written: undefined }
  })
}

function write(node: Node): Buffer {
  if (node.written !== undefined) return node.written
  return der(node.tag, node.parts.length > 0 ? Buffer.concat(node.parts.map(write)) : node.content)
}

function all(nodes: readonly Node[]): Node[] {
  return nodes.flatMap((node) => [node, ...all(node.parts)])
}

/** The same with one to three changes, or undefined where it is not DER to begin with. */
export function reshapeDer(bytes: Buffer, random: Random, other: () => Buffer): Buffer | undefined {
  const roots = nodesOf(bytes)
  if (roots === undefined || roots.length === 0) return undefined
  for (let changes = 1 + random.int(3); changes > 0 && roots.length > 0; changes--) {
    const node = random.pick(all(roots))
    const among = [roots, ...all(roots).map(({ parts }) => parts)].find((list) =>
      list.includes(node),
    )
    if (among === undefined) continue
    const at = among.indexOf(node)
    switch (random.int(7)) {
      case 0:
        among.splice(at, 1)
        break
      case 1:
        among.splice(at, 0, node)
        break
      case 2:
        among.splice(random.int(among.length + 1), 0, ...among.splice(at, 1))
        break
      case 3: {
        const theirs = all(nodesOf(other()) ?? [])
        const alike = theirs.filter(({ tag }) => tag === node.tag)
        if (theirs.length > 0)
          node.written = write(random.pick(alike.length > 0 && random.chance(2) ? alike : theirs))
        break
      }
      case 4:
        node.written = flawed(node, random)
        break
      case 5:
        node.written = der(random.pick(tags), write(node))
        break
      default:
        node.written = der(node.tag, changeContent(node, random))
    }
  }
  return Buffer.concat(roots.map(write))
}

const tags = [0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x0c, 0x17, 0x18, 0x30, 0x31, 0x82, 0x86, 0xa0]
const moreTags = [...tags, 0xa3, 0xa6, 0x1f, 0x23, 0x24]

/** Other spellings of the same (X.690 §8.1.3), and lengths that are wrong. */
function flawed(node: Node, random: Random): Buffer {
  const written = write({ ...node, written: undefined })
  const content = written.subarray(written.length - contentLength(written))
  const long = Buffer.alloc(4)
  long.writeUInt32BE(content.length)
  return random.pick([
    () => Buffer.concat([Buffer.of(node.tag, 0x84), long, content]),
    () => Buffer.concat([Buffer.of(node.tag, 0x82), long.subarray(2), content]),
    () => Buffer.concat([Buffer.of(node.tag | 0x20, 0x80), content, Buffer.alloc(2)]),
    () => Buffer.concat([Buffer.of(node.tag, ...lengthOctets(content.length + 1)), content]),
    () => Buffer.concat([written, Buffer.of(random.pick([0, 5]), 0)]),
    () => der(random.pick(moreTags), content),
    () => der(node.tag ^ 0x20, isConstructed(node.tag) ? content : der(node.tag, content)),
  ])()
}

function contentLength(written: Buffer): number {
  const [only] = readDerSlowly(written) ?? []
  return only?.content.length ?? 0
}

function changeContent(node: Node, random: Random): Buffer {
  const content = Buffer.from(
    node.parts.length > 0 ? Buffer.concat(node.parts.map(write)) : node.content,
  )
  const at = random.int(content.length + 1)
  const from = node.tag === bitString ? Math.min(at, 2) : at
  const octet = Buffer.of(random.pick([0, 1, 2, 4, 6, 0x7f, 0x80, 0xff, 0x30, 0x2c, 0x2e, 0x2f]))
  const until = Math.min(content.length, from + random.int(3))
  return Buffer.concat([content.subarray(0, from), octet, content.subarray(until)])
}
