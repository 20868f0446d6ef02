/** What the fuzzer found in certificates, key sets and trace headers: none of it a false allow, all of it looser than it says. */

import { readFileSync } from 'node:fs'
import test from 'ava'
import { denyOutright } from '../../src/decision/decision.ts'
import { createCertificateReader } from '../../src/evidence/certificate.ts'
import { decisionLine } from '../../src/observe/decision-log.ts'
import { algorithms } from '../../src/token/algorithms.ts'
import { importKeySet } from '../../src/token/key-set.ts'
import { createTestIssuer } from '../support/issuer.ts'

const issuer = await createTestIssuer()

function readKept(name: string) {
  const der = readFileSync(new URL(`../fuzz/corpus/certificate/${name}.bin`, import.meta.url))
  const lines = der.toString('base64').match(/.{1,64}/g) ?? []
  const pem = ['-----BEGIN CERTIFICATE-----', ...lines, '-----END CERTIFICATE-----', ''].join('\n')
  return createCertificateReader().read(encodeURIComponent(pem))
}

test('a second URI name that is constructed is not passed over: others read it as one more (X.690 §10.2, X509-SVID §2)', (t) => {
  t.like(readKept('deb7a448cd19bf02'), { refused: 'presenter_invalid' })
})

test('names that OpenSSL cannot read are taken by nobody, beside a URI that it could (RFC 5280 §4.2.1.6)', (t) => {
  t.like(readKept('2432d75f4a301f72'), { refused: 'presenter_invalid' })
})

const keysOf = async (...others: readonly object[]) => {
  const set = Buffer.from(JSON.stringify({ keys: [...issuer.jwks.keys, ...others] }))
  const keys = await importKeySet(set, algorithms, [], 'sig')
  return Array.isArray(keys) ? keys.length : keys
}

test('a key whose use or curve is an object that cannot be written out is left out, and the others stay (RFC 7517 §5)', async (t) => {
  const odd = { toString: 1 }
  const good = await keysOf()
  t.is(await keysOf({ kty: 'EC', use: odd }), good)
  t.is(await keysOf({ kty: 'EC', crv: odd, x: 'AA', y: 'AA' }), good)
})

test('a coordinate that is no text, or not as long as its curve has it, makes no key (RFC 7518 §6.2.1, RFC 8037 §2)', async (t) => {
  const good = await keysOf()
  const x = 'A'.repeat(43)
  t.is(await keysOf({ kty: 'OKP', crv: 'Ed25519', x: [null, x] }), good)
  t.is(await keysOf({ kty: 'OKP', crv: 'Ed25519', x: `${x}=` }), good)
})

test('a traceparent that begins no trace is none in the decision log either, and hides no sound one (W3C Trace Context §3.2, §4.3)', (t) => {
  const sound = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01'
  const traceOf = (ofCall: string | undefined, traceparent: string) =>
    JSON.parse(
      decisionLine({
        ...{ id: 'decision-1', decision: denyOutright('overloaded'), time: 0 },
        request: { id: '', method: 'GET', host: 'a', path: '/', traceparent },
        durationMicroseconds: 1,
        callTraceparent: () => ofCall,
      }),
    ).trace_id
  t.is(traceOf(undefined, sound), sound.slice(3, 35))
  t.is(traceOf('junk', sound), sound.slice(3, 35))
  t.is(traceOf(undefined, sound.replace('00-', 'ff-')), null)
  t.is(traceOf(undefined, `${sound}-more`), null)
})
