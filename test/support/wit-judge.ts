/** The kit's world in which workloads prove themselves (WIMSE), and what every refusal of one must look like from outside. */

import { KeyObject, sign } from 'node:crypto'
import type { ExecutionContext } from 'ava'
import type { CryptoKey } from 'jose'
import { encodeCheckRequest } from './check-request.ts'
import { audience } from './issuer.ts'
import {
  createWimseWorkload,
  createWitIssuer,
  type ProofParts,
  type WimseWorkload,
  type WitIssuer,
  type WitOverrides,
} from './wimse.ts'
import {
  createWorld,
  headerOf,
  ordersId,
  type Question,
  thiefId,
  type Verdict,
  type World,
  type WorldOptions,
} from './world.ts'

export const wimseOrdersId = ordersId.replace('spiffe:', 'wimse:')
/** An audience that the deployment has agreed on: good on every path. */
export const agreed = 'urn:shop:payments'

/** Routes that take no access token, one by one; those under /t take one. */
export const wimseRoutes = `
    - { name: free, match: { paths: [/v1/payments, /v1/payments/*] }, require: { bindings: [wimse] } }
    - name: callers
      match: { paths: [/callers] }
      require: { bindings: [wimse], callers: [${ordersId}, ${wimseOrdersId}] }
      forward: { token: remove, presenterHeader: true }
    - { name: token, match: { paths: [/t/wimse] }, require: { issuers: [corp, plain], bindings: [wimse] } }
    - { name: mixed, match: { paths: [/t/mixed] }, require: { issuers: [corp, plain], bindings: [wimse, "x5t#S256", dpop] } }
    - { name: scoped, match: { paths: [/t/scoped] }, require: { issuers: [corp], bindings: [wimse], scopes: [pay] } }
    - { name: acted, match: { paths: [/t/acted] }, require: { issuers: [corp], bindings: [wimse], delegation: {} } }
    - { name: certificate, match: { paths: [/t/cert] }, require: { issuers: [corp], bindings: ["x5t#S256"] } }
`

/** By trust domain: mesh.example signs for both schemes, other.example for `spiffe` alone. */
const wimseAnchors = {
  'mesh.example': '[spiffe, wimse]',
  'other.example': undefined,
}

export interface WimsePolicyParts {
  readonly name?: string
  /** More of `spec`, and of `spec.wimse`. */
  readonly spec?: string
  readonly wimse?: string
  /** `schemes` by trust domain. */
  readonly anchors?: { readonly [trustDomain: string]: string | undefined }
  readonly routes?: string
}

/** Issuer `plain` names no workload in its tokens. */
export function wimsePolicy({
  name = 'shop',
  spec = '',
  wimse = '',
  anchors = wimseAnchors,
  routes = wimseRoutes,
}: WimsePolicyParts = {}): string {
  const anchorLines = Object.entries(anchors).map(
    ([domain, schemes]) =>
      `      ${domain}: { keys: { file: keys.json }${schemes === undefined ? '' : `, schemes: ${schemes}`} }`,
  )
  return `
apiVersion: meshbind/v1alpha1
kind: BindingPolicy
metadata: { name: ${name} }
spec:
  trustDomains: [${Object.keys(anchors).join(', ')}]
${spec.replace(/^(?=.)/gm, '  ')}
  wimse:
    audiences: [https://payments.example, ${agreed}]
    trustAnchors:
${anchorLines.join('\n')}
${wimse.replace(/^(?=.)/gm, '    ')}
  dpop: { origins: [https://payments.example] }
  issuers:
    corp: { issuer: https://idp.example, audiences: [${audience}], keys: { file: jwks.json }, identity: { claim: sub } }
    plain: { issuer: https://plain.example, audiences: [${audience}], keys: { file: jwks.json } }
  routes:${routes}`
}

export interface WimseWorld {
  readonly world: World
  readonly mesh: WitIssuer
  readonly other: WitIssuer
  readonly orders: WimseWorkload
  readonly thief: WimseWorkload
  /** One frozen second for every WIT and every question. */
  readonly now: number
  /** A request with these two headers; undefined: no such header. */
  ask(wit: string | undefined, wpt: string | undefined, parts?: Asked): Promise<Verdict>
}

/** Nobody's certificate unless `as` is given. */
export interface Asked extends Question {
  /** Unix seconds; default: the world's `now`. */
  readonly at?: number
}

/** @param options `now` is Unix seconds. */
export async function createWimseWorld({
  now = Math.floor(Date.now() / 1000),
  issuers = {},
  ...options
}: WorldOptions & {
  readonly now?: number
  readonly issuers?: { readonly mesh?: WitIssuer; readonly other?: WitIssuer }
} = {}): Promise<WimseWorld> {
  const clock = () => now
  const {
    mesh = await createWitIssuer({ trustDomain: 'mesh.example', now: clock }),
    other = await createWitIssuer({ trustDomain: 'other.example', now: clock }),
  } = issuers
  const witKeys = { 'mesh.example': mesh.jwks, 'other.example': other.jwks }
  const world = await createWorld({ policy: wimsePolicy(), witKeys, ...options })
  return {
    world,
    mesh,
    other,
    orders: await createWimseWorkload(mesh, ordersId, { now: clock }),
    thief: await createWimseWorkload(mesh, thiefId, { now: clock }),
    now,
    ask(wit, wpt, { at = now, as = null, headers = {}, ...parts } = {}) {
      const question = encodeCheckRequest({
        certificate: as?.envoyText ?? '',
        principal: as?.spiffeId ?? '',
        ...parts,
        headers: {
          ...(wit === undefined ? {} : { 'workload-identity-token': wit }),
          ...(wpt === undefined ? {} : { 'workload-proof-token': wpt }),
          ...headers,
        },
      })
      return world.askBytes(question, at)
    },
  }
}

/** `reason detail`, or `allowed`. */
export function outcome({ allowed, reason, detail }: Verdict): string {
  return allowed ? 'allowed' : `${reason} ${detail}`.trim()
}

/** WIMSE wpt-01 §3.4, workload-creds-02 §3.2: 400, problem+json, no challenge, and no word of what was sent. */
export function checkRefusal(t: ExecutionContext, verdict: Verdict, sent: readonly string[]): void {
  const { http, grpc, challenge, reason, response, line } = verdict
  t.deepEqual([http, grpc, challenge], [400, 3, ''], reason)
  t.is(headerOf(response, 'content-type'), 'application/problem+json', reason)
  const body = JSON.parse(response.denied_response?.body ?? '{}')
  t.deepEqual([body.status, body.code], [400, reason])
  const output = JSON.stringify(response) + line
  const secrets = sent.flatMap((text) => text.split(/[., ]/)).filter((text) => text.length > 16)
  t.false(secrets.some((text) => output.includes(text)))
}

export interface WitJudge {
  /** What comes of two headers must be this refusal, and be told as one. */
  refused(
    t: ExecutionContext,
    headers: readonly [wit: string | undefined, wpt: string | undefined],
    expected: string,
    parts?: Asked,
  ): Promise<void>
  /** A WIT of `orders` with this flaw, and a sound proof of it: `workload_token_invalid` with this detail, or '' for an allow. */
  judgeWit(t: ExecutionContext, flaw: WitOverrides, detail: string, parts?: Asked): Promise<void>
  /** A sound WIT of `orders`, and a proof with this flaw: `workload_proof_invalid` with this detail, or '' for an allow. */
  judgeProof(
    t: ExecutionContext,
    flaw: Partial<ProofParts>,
    detail: string,
    parts?: Asked,
  ): Promise<void>
}

export function witJudge({ ask, orders }: WimseWorld, workload: WimseWorkload = orders): WitJudge {
  async function judge(
    t: ExecutionContext,
    [wit, wpt]: readonly [string | undefined, string | undefined],
    expected: string,
    parts?: Asked,
  ) {
    const verdict = await ask(wit, wpt, parts)
    t.is(outcome(verdict), expected)
    if (expected !== 'allowed') checkRefusal(t, verdict, [wit ?? '', wpt ?? ''])
  }
  const expectation = (reason: string, detail: string) =>
    detail === '' ? 'allowed' : `${reason} ${detail}`
  return {
    refused: judge,
    async judgeWit(t, flaw, detail, parts) {
      const wit = await workload.wit(flaw)
      const wpt = await workload.proof({ wit })
      await judge(t, [wit, wpt], expectation('workload_token_invalid', detail), parts)
    },
    async judgeProof(t, flaw, detail, parts) {
      const wit = await workload.wit()
      const wpt = await workload.proof({ wit, ...flaw })
      await judge(t, [wit, wpt], expectation('workload_proof_invalid', detail), parts)
    },
  }
}

/** Signed with ES256 whatever the two parts are: texts as they stand, objects as JSON. */
export function craftJws(
  header: string | object,
  payload: string | object,
  privateKey: CryptoKey,
): string {
  const encode = (part: string | object) =>
    Buffer.from(typeof part === 'string' ? part : JSON.stringify(part)).toString('base64url')
  const input = `${encode(header)}.${encode(payload)}`
  const key = KeyObject.from(privateKey)
  const signature = sign('sha256', Buffer.from(input), { key, dsaEncoding: 'ieee-p1363' })
  return `${input}.${signature.toString('base64url')}`
}
