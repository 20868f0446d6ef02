/** What operators give as a trust domain's bundle: PEM blocks and nothing else, and what chains to them. */

import { X509Certificate } from 'node:crypto'
import { isRefusal } from '../../../src/decision/decision.ts'
import { createCertificateReader } from '../../../src/evidence/certificate.ts'
import { createTrustStore } from '../../../src/evidence/trust.ts'
import { splitBundle } from '../../../src/evidence/trust-bundle.ts'
import { envoyTextOf, pemOf } from '../../support/pki.ts'
import certificates from '../certificates.json' with { type: 'json' }
import { reshapeDer } from '../der-bytes.ts'
import type { Random } from '../random.ts'
import { decodeBase64Slowly, readCertificateSlowly } from '../slow/certificate.ts'
import { agree, demand, type Target } from '../target.ts'

const { leaves, authorities } = certificates
const derOf = (text: string) => Buffer.from(text, 'base64')
const issuers = Object.values(authorities).map(derOf)
const [root, newer] = [authorities.root, authorities.newer].map(derOf) as [Buffer, Buffer]
const leaf = createCertificateReader().read(envoyTextOf(pemOf(derOf(leaves.plain))))
const leafCertificate = new X509Certificate(derOf(leaves.plain))
/** Not this second: a corpus is the same input every time. */
const now = 1_800_000_000
const begin = '-----BEGIN CERTIFICATE-----'
const end = '-----END CERTIFICATE-----'

export const trustBundle: Target = {
  name: 'trust-bundle',
  source: 'RFC 7468 §5.1, RFC 5280 §6.1, X509-SVID §3, §5',
  dictionary: [
    `${begin}\n`,
    `\n${end}\n`,
    '-----BEGIN PRIVATE KEY-----\n',
    '\r\n',
    '\n\n',
    '# root\n',
    '=\n',
    '\u00a0',
  ],
  generate(random) {
    const block = () => {
      const der = random.pick(random.chance(8) ? Object.values(leaves).map(derOf) : issuers)
      const pem = pemOf(der)
      if (!random.chance(4)) return pem
      return random.pick([
        pem.replaceAll('\n', '\r\n'),
        `\n\n${pem}\n `,
        pem.trim(),
        `subject: mesh\n${pem}`,
        `${begin}\n${der.toString('base64')}\n${end}\n`,
        pem.replaceAll('CERTIFICATE', 'TRUSTED CERTIFICATE'),
      ])
    }
    return Buffer.from(random.many(4, block).join(''))
  },
  reshape(input, random, other) {
    const blocks = splitSlowly(input.toString('utf8'))
    if (blocks === undefined || blocks.length === 0) return undefined
    const at = random.int(blocks.length)
    const anyBlock = () => pickBlock(random, other)
    const changed = reshapeDer(blocks[at] ?? root, random, anyBlock)
    return changed && Buffer.from(blocks.toSpliced(at, 1, changed).map(pemOf).join(''))
  },
  async judge(input) {
    const text = input.toString('utf8')
    const split = splitBundle(text)
    const slow = text.length <= 256 * 1024 ? splitSlowly(text) : undefined
    agree('blocks', typeof split === 'string' ? [] : split, slow ?? [])
    const store = createTrustStore()
    const problem = store.replace('mesh.example', text)
    agree('what is read twice', createTrustStore().replace('mesh.example', text), problem)
    if (problem !== undefined) return checkProblem(problem, slow)
    demand('a bundle has certificates', slow !== undefined && slow.length > 0)
    // What OpenSSL cannot read may stand there as an intermediate; it is no anchor.
    const found = (slow ?? []).map(read).filter((each) => each !== undefined)
    for (const each of found) demand('each is a CA', each.ca || isLoose(each))
    demand('one signed itself', found.some(signedBy()))
    if (isRefusal(leaf)) throw new TypeError(leaf.detail)
    const refused = await store.verify(leaf, [], now)
    const issued = found.some(
      (each) => leafCertificate.checkIssued(each) && signedBy(each)(leafCertificate),
    )
    if (refused === undefined) demand('one of them issued the leaf', issued)
    else agree('reason', refused.refused, 'presenter_invalid')
    if (slow?.some((der) => der.equals(root))) agree('the root’s own leaf', refused, undefined)
    return `taken, ${slow?.length === 1 ? 'one' : 'several'}, ${refused?.detail ?? 'the leaf’s'}`
  },
}

function read(der: Buffer): X509Certificate | undefined {
  try {
    return new X509Certificate(der)
  } catch {
    return undefined
  }
}

/** pkijs takes BER, and for cA and the path length also what is none (a BOOLEAN of four octets): OpenSSL knows of no CA there. */
function isLoose({ raw }: X509Certificate): boolean {
  return readCertificateSlowly(raw) === undefined
}

function signedBy(issuer?: X509Certificate): (each: X509Certificate) => boolean {
  return (each) => {
    try {
      return each.verify((issuer ?? each).publicKey)
    } catch {
      return false
    }
  }
}

function pickBlock(random: Random, other: () => Buffer): Buffer {
  const blocks = splitSlowly(other().toString('utf8')) ?? []
  return random.pick(blocks.length > 0 ? blocks : issuers)
}

/** Names the block and what to do, never anything from the bundle. */
function checkProblem(problem: string, slow: readonly Buffer[] | undefined): string {
  const form = /^(?:the bundle |block \d+ of the bundle is not (a PEM|taken))/.exec(problem)
  demand(`words of its own: ${problem}`, form !== null && problem.length < 300)
  if (slow === undefined) demand('no PEM', form?.[1] !== 'taken')
  else {
    const known = slow.every((der) => issuers.some((issuer) => issuer.equals(der)))
    const rooted = slow.some((der) => der.equals(root) || der.equals(newer))
    demand('a sound bundle is taken', !known || !rooted)
  }
  return problem.replace(/\d+/, 'N').slice(0, 90)
}

/** RFC 7468 §3 with white space around the blocks; undefined where anything else is in it. */
function splitSlowly(text: string): readonly Buffer[] | undefined {
  const blocks: Buffer[] = []
  let rest = text
  while (rest !== '') {
    rest = rest.trimStart()
    if (!rest.startsWith(begin)) return undefined
    const close = rest.indexOf(end)
    const lines = rest.slice(begin.length, close).replaceAll('\r\n', '\n').split('\n')
    if (close === -1 || lines.shift() !== '' || lines.pop() !== '') return undefined
    if (lines.length === 0 || lines.some((line) => line === '' || line.startsWith('=')))
      return undefined
    const der = decodeBase64Slowly(lines.join(''))
    if (der === undefined) return undefined
    blocks.push(der)
    const after = rest.slice(close + end.length)
    rest = after.trimStart()
    if (rest === after && rest !== '') return undefined
  }
  return blocks
}
