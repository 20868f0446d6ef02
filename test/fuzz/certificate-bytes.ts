/** Certificates as DER: a sound leaf whose parts are now and then others, written by hand, for nobody verifies the signature. */

import { createPublicKey } from 'node:crypto'
import rfc7515 from '../vectors/jws_rfc7515_rfc8037.json' with { type: 'json' }
import { der } from './der-bytes.ts'
import type { Random } from './random.ts'

const keys = [rfc7515.es256.jwk, rfc7515.eddsa.jwk].map((jwk) =>
  createPublicKey({ key: jwk, format: 'jwk' }).export({ type: 'spki', format: 'der' }),
)
const hex = (text: string) => Buffer.from(text, 'hex')
const ecdsa = hex('300a06082a8648ce3d040302')
const version3 = hex('a003020102')
const signature = hex('0341003006020101020101'.padEnd(134, '0'))
const commonName = der(
  0x30,
  der(0x31, der(0x30, hex('0603550403'), der(0x0c, Buffer.from('mesh')))),
)
const nobody = hex('3000')
const truth = hex('0101ff')

const extension = (id: number, value: Buffer, ...critical: readonly Buffer[]) =>
  der(0x30, hex('0603551d'), Buffer.of(id), ...critical, der(0x04, value))

const uris = [
  'spiffe://mesh.example/ns/shop/sa/orders',
  'spiffe://mesh.example/ns/web/sa/blog',
  'spiffe://mesh.example',
  'spiffe://MESH.example/a',
  'spiffe://mesh.example/a/../b',
  'spiffe://mesh.example/a, URI:spiffe://mesh.example/b',
  'spiffe://mesh.example/a\0',
  'spiffe://mesh.example/\u00e9',
  'https://mesh.example/a',
  `spiffe://mesh.example/${'x'.repeat(2027)}`,
  '',
]

function names(random: Random): Buffer {
  const uri = () => der(0x86, Buffer.from(random.pick(random.chance(2) ? uris : uris.slice(0, 2))))
  const other = () =>
    random.pick([
      der(0x82, Buffer.from(random.pick(['orders.shop', `a, URI:${uris[1]}`]))),
      der(0x87, hex('0a000001')),
      der(0x81, Buffer.from('a@b.example')),
      der(0xa4, commonName),
      der(0xa0, hex('06032a0304'), der(0xa0, der(0x0c, Buffer.from(uris[1] ?? '')))),
      der(0xa6, der(0x16, Buffer.from(uris[1] ?? ''))),
    ])
  return der(
    0x30,
    ...random.many(random.chance(3) ? 2 : 0, other),
    uri(),
    ...(random.chance(8) ? [uri()] : []),
  )
}

const times = [
  der(0x17, Buffer.from('260101000000Z')),
  der(0x17, Buffer.from('491231235959Z')),
  der(0x17, Buffer.from('500101000000Z')),
  der(0x18, Buffer.from('20500101000000Z')),
  der(0x18, Buffer.from('99991231235959Z')),
  der(0x18, Buffer.from('20260101000000Z')),
  der(0x18, Buffer.from('00000101000000Z')),
  der(0x17, Buffer.from('240229235959Z')),
  der(0x17, Buffer.from('230229235959Z')),
  der(0x17, Buffer.from('2601010000Z')),
  der(0x17, Buffer.from('260101000000+0100')),
  der(0x18, Buffer.from('20500101000000.5Z')),
  der(0x17, Buffer.from('260101235960Z')),
]
const constraints = [
  '3000',
  '30030101ff',
  '30060101ff020100',
  '3003010100',
  '3003010101',
  '3003020100',
  '0500',
]
const usages = [
  '03020780',
  '030205a0',
  '03020204',
  '03020102',
  '03020780',
  '03020186',
  '0303070480',
  '030100',
  '03020004',
  '230403020204',
]
const purposes = hex('301406082b0601050507030206082b06010505070301')

function extensions(random: Random): readonly Buffer[] {
  const critical = () => random.pick([[truth], [truth], [], [hex('010100')]])
  const basic = () =>
    extension(
      19,
      hex(random.pick(random.chance(3) ? constraints : constraints.slice(0, 1))),
      ...critical(),
    )
  const usage = () =>
    extension(15, hex(random.pick(random.chance(3) ? usages : usages.slice(0, 2))), ...critical())
  const others = [
    extension(37, purposes),
    extension(14, der(0x04, hex('0011223344'))),
    extension(99, hex('0500'), truth),
    der(0x30, hex('06052a03040506'), der(0x04, hex('ffff'))),
    basic(),
    usage(),
  ]
  return [
    ...(random.chance(6) ? [] : [basic()]),
    ...(random.chance(6) ? [] : [usage()]),
    ...(random.chance(3) ? [random.pick(others)] : []),
    ...(random.chance(12) ? [] : [extension(17, names(random), ...critical())]),
    ...(random.chance(20) ? [extension(17, names(random), truth)] : []),
  ]
}

export function certificateDer(random: Random): Buffer {
  const time = () => random.pick(random.chance(4) ? times : times.slice(0, 4))
  const version = random.chance(15)
    ? random.pick([hex('a003020101'), hex('a003020100'), hex('')])
    : version3
  const serial = random.pick([
    hex('020101'),
    hex('0209008000000000000001'),
    hex('0201ff'),
    hex('02020001'),
  ])
  const subject = random.pick([nobody, nobody, commonName])
  const list = random.chance(30) ? [] : [der(0xa3, der(0x30, ...extensions(random)))]
  const id = random.chance(30) ? [hex('810100'), hex('820100')] : []
  const key = random.chance(30) ? der(0x30, ecdsa, hex('030100')) : random.pick(keys)
  const tbs = der(
    0x30,
    version,
    serial,
    ecdsa,
    commonName,
    der(0x30, time(), time()),
    subject,
    key,
    ...id,
    ...list,
  )
  return der(0x30, tbs, ecdsa, signature)
}
