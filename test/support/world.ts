/**
 * The kit's world: a policy, an issuer, a mesh CA and the whole way of a check in one process. A question is encoded
 * with upstream's definitions and the answer decoded with them, so every test sees what Envoy would see.
 */

import { giveUp } from '../../src/answer.ts'
import { check, type Policy, type Tools } from '../../src/check.ts'
import { createWorkloadTokens } from '../../src/confirmation/wit.ts'
import { isRefusal } from '../../src/decision/decision.ts'
import { createTrustStore } from '../../src/evidence/trust.ts'
import { decisionLine } from '../../src/observe/decision-log.ts'
import { compilePolicy } from '../../src/policy/compile.ts'
import { parsePolicy } from '../../src/policy/parse.ts'
import type { Request } from '../../src/request.ts'
import { assembleTools } from '../../src/service/tool-set.ts'
import { createMemoryReplay } from '../../src/state/memory.ts'
import type { ReplayStore } from '../../src/state/replay.ts'
import { createMemoryRevocations, type RevocationFeed } from '../../src/state/revocation-feed.ts'
import type { RevocationIndex } from '../../src/state/revocations.ts'
import { algorithms } from '../../src/token/algorithms.ts'
import { createKeySource } from '../../src/token/key-source.ts'
import { createTokenIssuer } from '../../src/token/token-issuer.ts'
import { decodeCheckRequest } from '../../src/wire/decode.ts'
import { encodeCheckResponse } from '../../src/wire/encode.ts'
import {
  type CheckRequestParts,
  decodeCheckResponse,
  encodeCheckRequest,
  type UpstreamCheckResponse,
} from './check-request.ts'
import { audience, type Claims, createTestIssuer, type TestIssuer } from './issuer.ts'
import { type Authority, createAuthority, type Leaf } from './pki.ts'

export const ordersId = 'spiffe://mesh.example/ns/shop/sa/orders'
export const thiefId = 'spiffe://mesh.example/ns/web/sa/blog'

/** The policy of most tests. `{{…}}` parts can be replaced. */
export const basePolicy = `
apiVersion: meshbind/v1alpha1
kind: BindingPolicy
metadata: { name: shop }
spec:
  trustDomains: [mesh.example]
  peer: { evidence: [certificate, principal] }
  issuers:
    corp:
      issuer: https://idp.example
      audiences: [${audience}]
      keys: { file: jwks.json }
      maxLifetime: 15m
      identity: { claim: sub }
  routes:
    - name: public
      match: { paths: [/public/*, /healthz] }
      require: none
    - name: identity
      match: { paths: [/identity] }
      require: { issuers: [corp], bindings: [spiffe] }
    - name: any-binding
      match: { paths: [/any] }
      require: { issuers: [corp], bindings: ["x5t#S256", jwk, spiffe] }
    - name: bound
      match: { paths: [/v1/payments, /v1/payments/*] }
      require: { issuers: [corp], bindings: ["x5t#S256", jwk] }
    - name: privileged
      match: { paths: [/admin, /admin/*] }
      require:
        issuers: [corp]
        bindings: ["x5t#S256"]
        callers: [spiffe://mesh.example/ns/shop/sa/orders, spiffe://mesh.example/ns/batch/*]
        scopes: [admin.write]
        claims: { tenant: [acme] }
        maxAge: 2m
      forward: { token: remove, presenterHeader: true }
`

export interface World {
  readonly authority: Authority
  readonly issuer: TestIssuer
  readonly policy: Policy
  /** The owner of most tokens, and somebody else. */
  readonly orders: Leaf
  readonly thief: Leaf
  /** A token bound to `orders` by x5t#S256; \`cnf: undefined\` in claims unbinds it. */
  token(claims?: Claims, header?: Claims): Promise<string>
  ask(question?: Question): Promise<Verdict>
  /** The question as meshbind reads it. */
  requestOf(question?: Question): Request
  /** Any bytes at all as the question. */
  askBytes(bytes: Buffer, now?: number): Promise<Verdict>
  /** Unix seconds; the issuer and the checks use it. */
  now(): number
  setNow(seconds: number): void
  readonly tools: Tools
}

export interface Question extends CheckRequestParts {
  /** Who presents: certificate and principal. Default: `orders`; null: nobody. */
  readonly as?: Leaf | null
}

export interface Verdict {
  readonly allowed: boolean
  /** '' on an allow. */
  readonly reason: string
  readonly detail: string
  /** HTTP status of a refusal, 0 on an allow. */
  readonly http: number
  readonly grpc: number
  readonly challenge: string
  readonly response: UpstreamCheckResponse
  /** The decision log line. */
  readonly line: string
}

export interface WorldOptions {
  readonly policy?: string
  readonly issuer?: TestIssuer
  /** In place of the issuer's own JWK Set. */
  readonly jwks?: object | (() => object)
  /** In place of a memory that has been running for an hour. */
  readonly replay?: ReplayStore
  /** In place of a memory that nothing was written to. */
  readonly revocations?: RevocationFeed
  /** The entries of the policy's denylist, as they are when they are asked for. */
  readonly denylist?: () => RevocationIndex
  /** JWK Sets of those who sign WITs, by trust domain, for a policy with wimse. */
  readonly witKeys?: { readonly [trustDomain: string]: object }
  /** PEM bundles by trust domain, for a policy with trustBundles. */
  readonly bundles?: (authority: Authority) => { readonly [trustDomain: string]: string }
}

/** The live parts of a process that began to remember at that time. */
export function createTestTools(
  startedAt: number,
  replay: ReplayStore = createMemoryReplay(startedAt),
  nonceKey: Buffer | 'unknown' = Buffer.alloc(32, 7),
  revocations: RevocationFeed = createMemoryRevocations(() => startedAt),
): Tools {
  return assembleTools({ replay, revocations }, () =>
    nonceKey === 'unknown' ? undefined : nonceKey,
  )
}

/** A fixed point in time, inside the validity of every certificate that is made without dates. */
export async function createWorld(options: WorldOptions = {}): Promise<World> {
  let offset = 0
  const now = () => Math.floor(Date.now() / 1000) + offset
  const issuer = options.issuer ?? (await createTestIssuer('https://idp.example', { now }))
  const authority = await createAuthority()
  const orders = await authority.issue({ spiffeId: ordersId })
  const thief = await authority.issue({ spiffeId: thiefId })
  const policy = await livePolicy(
    options.policy ?? basePolicy,
    () => bytesOf(options.jwks ?? issuer.jwks),
    now,
    options.bundles?.(authority) ?? {},
    options.denylist,
    options.witKeys ?? {},
  )
  const revocations = options.revocations ?? createMemoryRevocations(now)
  const tools = createTestTools(now() - 3600, options.replay, undefined, revocations)

  async function askBytes(bytes: Buffer, at = now()): Promise<Verdict> {
    const request = decodeCheckRequest(bytes)
    const decision = isRefusal(request)
      ? giveUp(policy, tools.proofs.nonces, request, undefined, at)
      : await check(request, policy, tools, at)
    const response = decodeCheckResponse(encodeCheckResponse(decision, 'decision-1'))
    const denied = decision.verdict === 'deny'
    const line = decisionLine({
      id: 'decision-1',
      decision,
      request: isRefusal(request) ? undefined : request,
      time: at * 1000,
      durationMicroseconds: 1,
    })
    return {
      allowed: response.status?.code === 0,
      reason: denied ? decision.reason : '',
      detail: denied ? decision.detail : '',
      http: denied ? Number(JSON.parse(response.denied_response?.body ?? '{}').status) : 0,
      grpc: response.status?.code ?? 0,
      challenge: headerOf(response, 'www-authenticate'),
      response,
      line,
    }
  }

  const bytesOfQuestion = ({ as = orders, ...parts }: Question = {}) =>
    encodeCheckRequest({
      certificate: as?.envoyText ?? '',
      principal: principalOf(as),
      ...parts,
    })

  return {
    authority,
    issuer,
    policy,
    orders,
    thief,
    now,
    tools,
    setNow: (seconds) => {
      offset = seconds - Math.floor(Date.now() / 1000)
    },
    token: (claims = {}, header = {}) =>
      issuer.sign({ cnf: { 'x5t#S256': orders.x5tS256 }, ...claims }, header),
    askBytes,
    requestOf(question) {
      const request = decodeCheckRequest(bytesOfQuestion(question))
      if (isRefusal(request)) throw new Error(request.detail)
      return request
    },
    ask: (question) => askBytes(bytesOfQuestion(question)),
  }
}

async function livePolicy(
  text: string,
  jwks: () => Buffer,
  clock: () => number,
  bundles: { readonly [trustDomain: string]: string },
  denylist: WorldOptions['denylist'],
  witKeys: NonNullable<WorldOptions['witKeys']>,
): Promise<Policy> {
  const parsed = parsePolicy(text)
  if (!parsed.ok)
    throw new Error(parsed.problems.map(({ line, message }) => `${line}: ${message}`).join('\n'))
  const tried: Promise<void>[] = []
  const policy = compilePolicy(parsed.policy, text, {
    issuer(plan) {
      const keys = createKeySource({
        load: async () => ({ bytes: jwks() }),
        algorithms: plan.algorithms,
        clock,
        refreshSeconds: 300,
      })
      tried.push(keys.tried)
      return createTokenIssuer(plan, keys)
    },
    trust() {
      const store = createTrustStore()
      for (const [domain, pem] of Object.entries(bundles)) {
        const problem = store.replace(domain, pem)
        if (problem !== undefined) throw new Error(problem)
      }
      return store
    },
    workloads(anchors) {
      const sources = Object.entries(anchors).map(([domain, { schemes }]) => {
        const keys = createKeySource({
          load: async () => ({ bytes: bytesOf(witKeys[domain] ?? {}) }),
          algorithms,
          use: 'wit-svid',
          clock,
          refreshSeconds: 300,
        })
        tried.push(keys.tried)
        return [domain, { keys, schemes: new Set(schemes) }] as const
      })
      return createWorkloadTokens(new Map(sources))
    },
    revocation: () => ({
      get denylist() {
        return denylist?.()
      },
      statusLists: undefined,
    }),
  })
  await Promise.all(tried)
  return policy
}

function bytesOf(jwks: object | (() => object)): Buffer {
  return Buffer.from(JSON.stringify(typeof jwks === 'function' ? jwks() : jwks))
}

/** Envoy's principal is the first URI SAN; the kit's leaves have the one they were asked for. */
function principalOf(leaf: Leaf | null | undefined): string {
  return leaf?.spiffeId ?? ''
}

export function headerOf(response: UpstreamCheckResponse, name: string): string {
  const headers = response.denied_response?.headers ?? response.ok_response?.headers ?? []
  return headers.find(({ header }) => header.key === name)?.header.value ?? ''
}
