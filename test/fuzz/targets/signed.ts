/** What others sign or answer: status lists, security events, introspection. What is mutated is signed again: the claims are judged, not the signature. */

import { deflateSync, inflateSync } from 'node:zlib'
import { isRefusal } from '../../../src/decision/decision.ts'
import { parseStrictJson } from '../../../src/strict-json.ts'
import { algorithms } from '../../../src/token/algorithms.ts'
import {
  readAnswer,
  readPlainAnswer,
  readSignedAnswer,
} from '../../../src/token/introspection-answer.ts'
import { createKeySource } from '../../../src/token/key-source.ts'
import { readSecurityEvent } from '../../../src/token/security-event.ts'
import { readStatusClaim, readStatusList } from '../../../src/token/status-list.ts'
import { audience, createTestIssuer } from '../../support/issuer.ts'
import { craftJws } from '../../support/wit-judge.ts'
import { jsonText, objectText } from '../json-text.ts'
import { decodeSlowly } from '../slow/base64url.ts'
import { readObjectSlowly } from '../slow/json.ts'
import { agree, demand, type Target } from '../target.ts'

/** Not this second: a corpus is the same input every time. */
const now = 1_800_000_000
const issuer = await createTestIssuer()
const keys = createKeySource({
  load: async () => ({ bytes: Buffer.from(JSON.stringify(issuer.jwks)) }),
  algorithms,
  clock: () => now,
  refreshSeconds: 300,
})
await keys.tried
const header = (typ: string) => ({ typ, alg: 'ES256', kid: issuer.keyId })

export const statusList: Target = {
  name: 'status-list',
  source: 'draft-ietf-oauth-status-list-20 §4',
  dictionary: ['eNo', 'eJw', 'AAAA', '=', '-', '_'],
  generate(random) {
    const list = Buffer.from(random.many(60, () => random.int(256)))
    const packed = deflateSync(list, { level: random.int(10) })
    const junk = Buffer.from(random.many(random.chance(3) ? 4 : 0, () => random.int(256)))
    const cut = random.chance(4) ? random.int(packed.length) : 0
    const bytes = Buffer.concat([packed.subarray(0, packed.length - cut), junk])
    return Buffer.from(random.pick(['1', '2', '4', '8']) + bytes.toString('base64url'))
  },
  async judge(input) {
    const text = input.toString('utf8')
    const bits = ([1, 2, 4, 8] as const).find((size) => text.startsWith(String(size))) ?? 1
    const found = await readStatusList(text.slice(1), bits)
    const slow = inflateSlowly(text.slice(1))
    demand('taken by both or by none', (found === undefined) === (slow === undefined))
    const count = ((slow?.length ?? 0) * 8) / bits
    for (let index = 0; index < Math.min(count, 512); index++) {
      let status = 0
      for (let bit = bits - 1; bit >= 0; bit--) {
        const place = index * bits + bit
        status = status * 2 + (((slow?.[place >> 3] ?? 0) >> (place & 7)) & 1)
      }
      agree(`status ${index}`, found?.status(index), status)
    }
    for (const beyond of [count, -1, 0.5, Number.NaN, 2 ** 53])
      agree('beyond the list', found?.status(beyond), undefined)
    return found === undefined ? 'refused' : `taken, ${bits}, ${count > 0}`
  },
}

/** One ZLIB stream and no byte more: without its last byte it would be none. */
function inflateSlowly(lst: string): Buffer | undefined {
  const packed = decodeSlowly(lst)
  const inflate = (bytes: Buffer) => {
    try {
      return inflateSync(bytes, { maxOutputLength: 4 * 1024 * 1024 })
    } catch {
      return undefined
    }
  }
  if (packed === undefined || packed.length === 0) return undefined
  return inflate(packed.subarray(0, -1)) === undefined ? inflate(packed) : undefined
}

const transmitter = { issuer: 'https://idp.example', audience: 'https://meshbind.mesh.example' }
const tokenIssuers = new Set(['https://idp.example', 'https://other.example'])
const eventTypes = ['session-revoked', 'token-claims-change', 'credential-change', 'nothing-known']

export const securityEvent: Target = {
  name: 'security-event',
  source: 'RFC 8417 §2.2, OpenID SSF 1.0 §3, CAEP 1.0 §3',
  dictionary: [
    '"format":',
    '"iss_sub"',
    '"opaque"',
    '"aliases"',
    '"complex"',
    '"jwt_id"',
    '"uri"',
    '"event_timestamp":',
  ],
  generate(random) {
    const simple = random.pick([
      { format: 'iss_sub', iss: random.pick([...tokenIssuers, 'https://evil.example']), sub: 'a' },
      { format: 'opaque', id: 'a' },
      { format: 'jwt_id', iss: transmitter.issuer, jti: 'a' },
      { format: 'uri', uri: 'spiffe://mesh.example/ns/a/sa/b' },
      { format: 'email', email: 'a@b.example' },
      { format: 'aliases', identifiers: [{ format: 'opaque', id: 'b' }] },
    ])
    const subject = random.pick([
      simple,
      { format: 'complex', user: simple, session: simple },
      { format: 'complex', tenant: simple },
    ])
    const type = `https://schemas.openid.net/secevent/caep/event-type/${random.pick(eventTypes)}`
    const event = {
      change_type: random.pick(['revoke', 'update', 'create', undefined]),
      event_timestamp: random.pick([now, now + 1e9, undefined]),
    }
    const set = {
      iss: transmitter.issuer,
      aud: transmitter.audience,
      jti: 'set-1',
      iat: now,
      sub_id: subject,
      events: { [type]: event },
    }
    return Buffer.from(objectText(random, set))
  },
  async judge(input) {
    const text = craftJws(header('secevent+jwt'), input.toString('latin1'), issuer.privateKey)
    const stream = { ...transmitter, tokenIssuers, keys, clockSkewSeconds: 30 }
    const found = await readSecurityEvent(text, stream, now)
    if (found === 'unavailable') return found
    if ('err' in found) return `${found.err} ${found.description}`
    const slow = readObjectSlowly(Buffer.from(input.toString('latin1')))
    demand('what is taken is strict JSON', slow !== undefined)
    agree('iss', slow?.['iss'], transmitter.issuer)
    demand('aud', [slow?.['aud']].flat(1).includes(transmitter.audience))
    agree('jti', found.id, slow?.['jti'])
    for (const revocation of found.revocations) {
      demand('of an issuer of the stream', tokenIssuers.has(revocation.issuer))
      const before = 'before' in revocation ? revocation.before : 1
      demand('not of the future', Number.isSafeInteger(before) && before <= now + 31)
      const named = Object.values(revocation).every(
        (value) => typeof value === 'number' || value.length > 0,
      )
      demand('something is named', named)
    }
    return `taken, ${found.revocations.map((each) => Object.keys(each)[1]).join(' ')}`
  },
}

const settings = { name: 'partner', issuer: 'https://partner.example', identity: { claim: 'sub' } }

export const introspection: Target = {
  name: 'introspection',
  source: 'RFC 7662 §2.2, RFC 9701 §5',
  dictionary: [
    '"active":',
    'true',
    '"token_type":"DPoP"',
    '"cnf":{"jkt":"a"}',
    '"client_id":',
    '"status":',
  ],
  generate(random) {
    if (random.chance(12)) return Buffer.from(jsonText(random))
    return Buffer.from(
      objectText(random, {
        active: random.chance(5) ? random.pick(['true', 1, false, null]) : true,
        iss: random.pick([settings.issuer, undefined, 'https://partner.example/']),
        sub: random.pick(['a', undefined, 'spiffe://mesh.example/ns/a/sa/b']),
        client_id: random.pick(['c', undefined]),
        aud: random.pick([audience, [audience, 'x'], [], undefined]),
        token_type: random.pick(['Bearer', 'dpop', 'refresh_token', undefined]),
        iat: now,
        exp: now + 300,
        cnf: random.pick([{ jkt: 'a' }, undefined, {}]),
        status: random.pick([undefined, { status_list: { idx: 1, uri: 'https://idp.example/1' } }]),
      }),
    )
  },
  async judge(input) {
    const slow = readObjectSlowly(input)
    const plain = readPlainAnswer(input)
    agree('answer', typeof plain === 'string' ? undefined : plain, slow)
    const wrapped = `{"iss":"${settings.issuer}","aud":"me","iat":${now},"token_introspection":${input.toString('utf8')}}`
    const signed = craftJws(header('token-introspection+jwt'), wrapped, issuer.privateKey)
    const rules = {
      issuer: settings.issuer,
      clientId: 'me',
      keys,
      clockSkewSeconds: 30,
      maxLength: 1 << 20,
    }
    const inner = await readSignedAnswer(Buffer.from(signed), rules, now)
    // As the payload has it: one level deeper, and what follows the object may add members to its wrapper.
    const outer = readObjectSlowly(Buffer.from(wrapped))?.['token_introspection']
    if (typeof inner !== 'string') agree('signed answer', inner, outer)
    if (typeof plain === 'string') return plain
    const status = readStatusClaim(parseStrictJson(input) ?? {})
    const token = readAnswer(plain, settings)
    if (isRefusal(token)) return `${token.refused} ${token.detail}`
    agree('active', slow?.['active'], true)
    demand('iss', slow?.['iss'] === undefined || slow['iss'] === settings.issuer)
    agree(
      'sub',
      token.subject,
      Object.hasOwn(slow ?? {}, 'sub') ? slow?.['sub'] : slow?.['client_id'],
    )
    demand(
      'times',
      [token.expiresAt, token.issuedAt].every((time) => Number.isSafeInteger(time) && time > 0),
    )
    return `taken, ${status === undefined ? 'no status' : isRefusal(status) ? status.detail : 'status'}`
  },
}
