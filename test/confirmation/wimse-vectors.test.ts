/** What the WIMSE drafts and SPIFFE publish, through this room's own judgement of WITs and WPTs. */

import { createHash } from 'node:crypto'
import test from 'ava'
import type { ProvenWorkload, WorkloadQuestion } from '../../src/confirmation/method.ts'
import { wimse } from '../../src/confirmation/wimse.ts'
import { createWorkloadTokens, type TrustAnchor } from '../../src/confirmation/wit.ts'
import { isRefusal, type Refusal } from '../../src/decision/decision.ts'
import type { WorkloadIdScheme } from '../../src/evidence/spiffe-id.ts'
import type { SingleHeader } from '../../src/request.ts'
import { algorithms } from '../../src/token/algorithms.ts'
import { readTypedJws } from '../../src/token/jws.ts'
import { createKeySource } from '../../src/token/key-source.ts'
import { bindingRules } from '../support/confirmation.ts'
import { bareRequest } from '../support/request.ts'
import svid from '../vectors/spiffe_wit_svid.json' with { type: 'json' }
import drafts from '../vectors/wimse.json' with { type: 'json' }
import legacy from '../vectors/wimse_legacy_negative.json' with { type: 'json' }

const skew = bindingRules.clockSkewSeconds
const { wit, wpt } = drafts
const issuerKeys = { keys: [{ ...wit.issuer_jwk, use: 'sig' }] }

interface Changes {
  readonly wit?: string
  readonly wpt?: string
  readonly token?: string | undefined
  readonly path?: string
  readonly method?: string
  readonly audience?: string
  readonly now?: number
  readonly jwks?: object
  readonly schemes?: readonly WorkloadIdScheme[]
}

async function anchorWith(
  jwks: object,
  schemes: readonly WorkloadIdScheme[],
): Promise<TrustAnchor> {
  const keys = createKeySource({
    load: async () => ({ bytes: Buffer.from(JSON.stringify(jwks)) }),
    algorithms,
    use: 'wit-svid',
    clock: () => 0,
    refreshSeconds: 300,
  })
  await keys.tried
  return { keys, schemes: new Set(schemes) }
}

/** The workload that the drafts' own request proves, with these changes, or the reason and its detail. */
async function judged(changes: Changes = {}): Promise<ProvenWorkload | string> {
  const anchor = await anchorWith(
    changes.jwks ?? issuerKeys,
    changes.schemes ?? ['spiffe', 'wimse'],
  )
  const one = (value: string): SingleHeader => ({ kind: 'one', value })
  const token = 'token' in changes ? changes.token : wpt.access_token
  const audience = changes.audience ?? 'https://workload.example.com'
  const question: WorkloadQuestion = {
    request: bareRequest({
      method: changes.method ?? 'POST',
      path: changes.path ?? '/path',
      workloadToken: one(changes.wit ?? wit.token),
      workloadProof: one(changes.wpt ?? wpt.token),
    }),
    credential: token === undefined ? undefined : { scheme: 'Bearer', token },
    presenter: undefined,
    rules: {
      ...bindingRules,
      wimse: {
        audiences: new Set([audience]),
        origins: new Set([audience]),
        maxLifetimeSeconds: 120,
      },
    },
    tokens: createWorkloadTokens(new Map([['example.com', anchor]])),
    now: changes.now ?? wpt.valid_at,
  }
  const proven: ProvenWorkload | Refusal | undefined = await wimse.proveWorkload?.(question)
  if (proven === undefined) return 'nothing was shown'
  return isRefusal(proven) ? `${proven.refused} ${proven.detail}`.trim() : proven
}

test('wpt-01 App. A: WIT and WPT of the drafts prove their workload at their time, for POST /path', async (t) => {
  const proven = await judged()
  if (typeof proven === 'string') return t.fail(proven)
  t.is(proven.spiffeId, wit.claims.sub as never)
  t.is(proven.issuedAt, wit.claims.iat)
  t.is(proven.proof.rememberUntil, wpt.claims.exp + 2 * skew)
  t.is(proven.proof.takenFrom, wpt.claims.exp - 120 - skew)
})

test('wpt-01 §3.1: wth and ath of the drafts are the hashes of the texts', (t) => {
  const digest = (text: string) => createHash('sha256').update(text, 'ascii').digest('base64url')
  t.is(digest(wit.token), wpt.claims.wth)
  t.is(digest(wpt.access_token), wpt.claims.ath)
})

test('wpt-01 §3.3: the drafts’ WPT is taken for no other request, token or service', async (t) => {
  const proof = (detail: string) => `workload_proof_invalid ${detail}`
  t.is(await judged({ path: '/path/' }), proof('aud is of another path'))
  t.is(await judged({ path: '/' }), proof('aud is of another path'))
  t.is(await judged({ audience: 'https://other.example.com' }), proof('aud is of another service'))
  t.is(await judged({ token: `${wpt.access_token}x` }), proof('ath'))
  t.is(await judged({ token: undefined }), proof('ath'))
  t.is(typeof (await judged({ path: '/path?query' })), 'object')
  // Documented: a WPT does not cover the method.
  t.is(typeof (await judged({ method: 'GET' })), 'object')
})

test('wpt-01 §3.3, workload-creds-02 §3.1: the drafts’ tokens are taken in their time', async (t) => {
  const { exp } = wpt.claims
  t.is(typeof (await judged({ now: exp + skew - 1 })), 'object')
  t.is(await judged({ now: exp + skew }), 'workload_proof_invalid expired')
  t.is(typeof (await judged({ now: exp - 120 - skew })), 'object')
  t.is(await judged({ now: exp - 120 - skew - 1 }), 'workload_proof_invalid exp is too far ahead')
  t.is(await judged({ now: wit.valid_at }), 'workload_proof_invalid exp is too far ahead')
  t.is(await judged({ now: wit.claims.exp + skew }), 'workload_token_invalid expired')
})

test('docs/wimse.md: the drafts’ identifiers are of the scheme wimse, which an anchor does not take unless it says so', async (t) => {
  const expected =
    'workload_token_invalid the trust anchors are not for identifiers of the scheme wimse'
  t.is(await judged({ schemes: ['spiffe'] }), expected)
  t.is(typeof (await judged({ schemes: ['wimse'] })), 'object')
})

test('workload-creds-02 §3.2: the drafts’ WIT is of its issuer’s key and of no other', async (t) => {
  const { x, y } = svid.claims.cnf.jwk
  const others = { keys: [{ ...wit.issuer_jwk, x, y }] }
  t.is(await judged({ jwks: others }), 'workload_token_invalid signature')
  const renamed = { keys: [{ ...wit.issuer_jwk, kid: 'June 6' }] }
  t.is(await judged({ jwks: renamed }), 'workload_token_invalid the key is not known')
  const [header, payload] = wit.token.split('.')
  const signature = wpt.token.split('.')[2]
  const swapped = `${header}.${payload}.${signature}`
  t.is(await judged({ wit: swapped }), 'workload_token_invalid signature')
})

test('WIT-SVID App. A: the example is read as published; its issuer’s key is not, so it is not believed', async (t) => {
  const jws = readTypedJws(svid.token, 'wit+jwt', 8192)
  if (typeof jws === 'string') return t.fail(jws)
  t.deepEqual({ ...jws.claims, cnf: svid.claims.cnf }, svid.claims)
  t.deepEqual([jws.algorithm, jws.keyId], [svid.header.alg, svid.header.kid])
  t.is(jws.claims['sub'], svid.claims.sub)
  const now = svid.claims.iat
  t.is(await judged({ wit: svid.token, now }), 'workload_token_invalid the key is not known')
  const claimed = { keys: [{ ...wit.issuer_jwk, kid: svid.header.kid, use: 'wit-svid' }] }
  t.is(await judged({ wit: svid.token, now, jwks: claimed }), 'workload_token_invalid signature')
})

test('workload-creds-02 §3.1: the WIT of an older draft is refused by its typ', async (t) => {
  const [header, claims] = legacy.request.wit_decoded
  t.is(header?.typ, 'wimse-id+jwt')
  const found = await judged({ wit: legacy.request.wit, now: claims?.iat ?? 0 })
  t.is(found, 'workload_token_invalid typ is not wit+jwt')
})
