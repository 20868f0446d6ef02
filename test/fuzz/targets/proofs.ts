/** Claims of proofs, signed again after every mutation: DPoP, WIT and WPT, each against its rules written down once more. */

import { createHash } from 'node:crypto'
import type { ReplayStore } from '../../../src/state/replay.ts'
import { encodeCheckRequest } from '../../support/check-request.ts'
import { createDpopClient, target } from '../../support/dpop.ts'
import { questionWith } from '../../support/proofs.ts'
import { agreed, craftJws, createWimseWorld } from '../../support/wit-judge.ts'
import { createWorld, type Verdict } from '../../support/world.ts'
import { objectText } from '../json-text.ts'
import { readObjectSlowly } from '../slow/json.ts'
import { readTargetSlowly } from '../slow/uri.ts'
import { agree, demand, type Target } from '../target.ts'

/** Takes every proof as often as it comes. */
const forgetful: ReplayStore = { remembersSince: undefined, spend: () => 'fresh' }
const digest = (text: string) => createHash('sha256').update(text).digest('base64url')
const isInteger = (value: unknown): value is number => typeof value === 'number'
const isId = (value: unknown) => typeof value === 'string' && value !== '' && value.length <= 256
const told = ({ allowed, reason, detail }: Verdict) => (allowed ? 'taken' : `${reason} ${detail}`)
const longest = 8 * 1024
const skew = 30
const targetWords = [
  'https://',
  'payments.example',
  '/v1/payments',
  ':443',
  '%70',
  '/./',
  '?q',
  '#f',
  '//',
]

const policy = `
apiVersion: meshbind/v1alpha1
kind: BindingPolicy
metadata: { name: shop }
spec:
  trustDomains: [mesh.example]
  issuers:
    corp: { issuer: https://idp.example, audiences: [https://payments.mesh.example], keys: { file: jwks.json } }
  dpop: { origins: [https://payments.example], maxAge: 60s }
  routes: [{ name: bound, require: { issuers: [corp], bindings: [dpop] } }]
`
const dpopWorld = await createWorld({ policy, replay: forgetful })
/** Not this second: a corpus is the same input every time. */
const now = 1_800_000_000
const client = await createDpopClient()
const token = await dpopWorld.token({ cnf: { jkt: client.jkt }, iat: now, exp: now + 300 })
const dpopHeader = { typ: 'dpop+jwt', alg: 'ES256', jwk: client.publicJwk }
/** In an input: the token's hash is new in every process, a corpus is not. */
const hashWord = 'THE-HASH'

export const dpop: Target = {
  name: 'dpop',
  source: 'RFC 9449 §4.2, §4.3',
  dictionary: [...targetWords, '"htu":', '"htm":"POST"', '"ath":', '"exp":', '"nbf":', String(now)],
  generate(random) {
    const htu = random.pick([
      target,
      target,
      `${target}?a#b`,
      'https://PAYMENTS.example:443/v1/%70ayments',
      'https://evil.example/',
    ])
    const time = () => now + random.pick([0, 0, -91, -90, 30, 31, 1e9, -1e9])
    return Buffer.from(
      objectText(random, {
        jti: random.pick(['a', 'x'.repeat(256), 'x'.repeat(257)]),
        htm: random.pick(['POST', 'POST', 'post', 'GET']),
        htu,
        iat: time(),
        ath: hashWord,
        ...(random.chance(4) ? { exp: time(), nbf: time() } : {}),
      }),
    )
  },
  async judge(input) {
    const payload = input.toString('utf8').replaceAll(hashWord, digest(token))
    const proof = craftJws(dpopHeader, payload, client.privateKey)
    const { as: _nobody, ...question } = questionWith(token, proof)
    const verdict = await dpopWorld.askBytes(encodeCheckRequest(question), now)
    const sound = proof.length <= longest && dpopIsSound(readObjectSlowly(Buffer.from(payload)))
    agree('allowed', verdict.allowed, sound)
    return told(verdict)
  },
}

function dpopIsSound(claims: { readonly [name: string]: unknown } | undefined): boolean {
  if (claims === undefined) return false
  const own = new Map(Object.entries(claims))
  const [iat, htu] = [own.get('iat'), own.get('htu')]
  if (!isId(own.get('jti')) || own.get('htm') !== 'POST' || typeof htu !== 'string') return false
  const where = readTargetSlowly(htu)
  if (where?.origin !== 'https://payments.example' || where.path !== '/v1/payments') return false
  if (!isInteger(iat) || iat > now + skew || now > iat + 60 + skew) return false
  const [exp, nbf] = [own.get('exp'), own.get('nbf')]
  if (exp !== undefined && (!isInteger(exp) || now >= exp + skew)) return false
  if (nbf !== undefined && (!isInteger(nbf) || now < nbf - skew)) return false
  return own.get('ath') === digest(token)
}

const wimse = await createWimseWorld({ now, replay: forgetful })
const sound = await wimse.orders.wit({ claims: { iat: now, exp: now + 300 } })

export const workloadProof: Target = {
  name: 'wpt',
  source: 'draft-ietf-wimse-wpt-01 §3.1, §3.3',
  dictionary: [
    ...targetWords,
    agreed,
    '"aud":',
    '"wth":',
    '"oth":{}',
    '"ath":',
    '"tth":',
    String(now),
  ],
  generate(random) {
    return Buffer.from(
      objectText(random, {
        aud: random.pick([
          target,
          agreed,
          `${target}#f`,
          'https://payments.example',
          [agreed],
          'https://evil.example/',
        ]),
        exp: now + random.pick([60, -30, -29, 150, 151, 0]),
        jti: random.pick(['a', 'x'.repeat(257)]),
        wth: hashWord,
        ...(random.chance(4) ? { oth: random.pick([{}, { dpop: 'a' }, [], null]) } : {}),
        ...(random.chance(4) ? { iat: now + random.pick([0, 30, 31]) } : {}),
        ...(random.chance(9) ? { ath: hashWord } : {}),
      }),
    )
  },
  async judge(input) {
    const payload = input.toString('utf8').replaceAll(hashWord, digest(sound))
    const proof = craftJws({ typ: 'wpt+jwt', alg: 'ES256' }, payload, wimse.orders.privateKey)
    const verdict = await wimse.ask(sound, proof, { at: now })
    const fits = proof.length <= longest && wptIsSound(readObjectSlowly(Buffer.from(payload)))
    agree('allowed', verdict.allowed, fits)
    return told(verdict)
  },
}

function wptIsSound(claims: { readonly [name: string]: unknown } | undefined): boolean {
  if (claims === undefined) return false
  const own = new Map(Object.entries(claims))
  const [aud, exp, oth] = [own.get('aud'), own.get('exp'), own.get('oth')]
  if (!isId(own.get('jti')) || own.get('wth') !== digest(sound) || typeof aud !== 'string')
    return false
  const where = readTargetSlowly(aud)
  const here =
    aud.startsWith('https://payments.example') &&
    where?.origin === 'https://payments.example' &&
    where.path === '/v1/payments'
  if (aud !== agreed && aud !== 'https://payments.example' && !here) return false
  if (own.has('ath') || own.has('tth')) return false
  const nothing =
    typeof oth === 'object' && oth !== null && !Array.isArray(oth) && Object.keys(oth).length === 0
  if (own.has('oth') && !nothing) return false
  if (!isInteger(exp) || now >= exp + skew || exp > now + 120 + skew) return false
  return ['iat', 'nbf'].every((name) => {
    const time = own.get(name)
    return time === undefined || (isInteger(time) && time <= now + skew)
  })
}

export const workloadToken: Target = {
  name: 'wit',
  source: 'draft-ietf-wimse-workload-creds-02 §3.1, SPIFFE WIT-SVID §3',
  dictionary: [
    'spiffe://mesh.example/',
    'wimse://mesh.example/',
    '"cnf":{"jwk":',
    '"aud":',
    '"alg":"ES256"',
    '"d":"AA"',
  ],
  generate(random) {
    const key = { kty: 'EC', crv: 'P-256', x: 'THE-X', y: 'THE-Y', alg: 'ES256' }
    const jwk = random.chance(4)
      ? {
          ...key,
          ...random.pick([
            { alg: 'ES384' },
            { alg: 'none' },
            { d: 'AA' },
            { use: 'enc' },
            { kty: 'oct', k: 'AA' },
            { y: 'AA' },
          ]),
        }
      : key
    return Buffer.from(
      objectText(random, {
        sub: random.pick([
          wimse.orders.sub,
          wimse.orders.sub.replace('spiffe', 'wimse'),
          'spiffe://other.example/a',
          'orders',
        ]),
        exp: now + random.pick([300, 300, -30, -29, 86_400, 86_431]),
        cnf: { jwk },
        ...(random.chance(4) ? { nbf: now + random.pick([0, 30, 31]) } : {}),
        ...(random.chance(8) ? { aud: 'a', iss: '' } : {}),
      }),
    )
  },
  async judge(input) {
    const { x = '', y = '' } = wimse.orders.publicJwk
    const payload = input.toString('utf8').replaceAll('THE-X', x).replaceAll('THE-Y', y)
    const header = { typ: 'wit+jwt', alg: 'ES256', kid: wimse.mesh.keyId }
    const wit = craftJws(header, payload, wimse.mesh.privateKey)
    const proof = craftJws(
      { typ: 'wpt+jwt', alg: 'ES256' },
      { aud: agreed, exp: now + 60, jti: 'a', wth: digest(wit) },
      wimse.orders.privateKey,
    )
    const verdict = await wimse.ask(wit, proof, { at: now })
    if (verdict.allowed)
      demand('an allow rests on sound claims', witIsSound(Buffer.from(payload), x, y))
    return told(verdict)
  },
}

/** What has to be true of a WIT of this issuer that is taken; whether all that is true suffices, other tests say. */
function witIsSound(payload: Buffer, x: string, y: string): boolean {
  const own = new Map(Object.entries(readObjectSlowly(payload) ?? {}))
  const [sub, exp, nbf, cnf] = ['sub', 'exp', 'nbf', 'cnf'].map((name) => own.get(name))
  if (typeof sub !== 'string' || !/^(spiffe|wimse):\/\/mesh\.example\/[\w./-]+$/.test(sub))
    return false
  if (sub.startsWith('spiffe:') && own.has('aud')) return false
  if (!isInteger(exp) || now >= exp + skew || exp > now + 86_400 + skew) return false
  if (nbf !== undefined && (!isInteger(nbf) || nbf > now + skew)) return false
  const { jwk } = (cnf ?? {}) as { readonly jwk?: { readonly [name: string]: unknown } }
  return jwk?.['x'] === x && jwk['y'] === y && jwk['alg'] === 'ES256' && !('d' in jwk)
}
