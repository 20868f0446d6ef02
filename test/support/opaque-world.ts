/**
 * The kit's world for opaque tokens: a policy file with an issuer of JWTs and one that is asked, the real keeper of the
 * policy with its live parts, an introspection endpoint on loopback, and a clock that stands still.
 */

import { mkdtemp, rename, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { ExecutionContext } from 'ava'
import { isRefusal } from '../../src/decision/decision.ts'
import { createJudge } from '../../src/service/judge.ts'
import { keepPolicy, type PolicyKeeper } from '../../src/service/policy-keeper.ts'
import type { IntrospectionResult } from '../../src/token/introspection-call.ts'
import { decodeCheckRequest } from '../../src/wire/decode.ts'
import { type CheckRequestParts, encodeCheckRequest } from './check-request.ts'
import { type Reply, startIntrospector, type TestIntrospector } from './introspector.ts'
import { audience, createTestIssuer, type TestIssuer } from './issuer.ts'
import { type Authority, createAuthority, type Leaf } from './pki.ts'
import { createTestTools, ordersId, thiefId } from './world.ts'

export const partnerIssuer = 'https://partner.example'
export const secret = 's3cret: with & and = and ü'

export interface OpaqueWorld {
  readonly directory: string
  readonly authority: Authority
  readonly issuer: TestIssuer
  readonly introspector: TestIntrospector
  readonly keeper: PolicyKeeper
  readonly orders: Leaf
  readonly thief: Leaf
  /** What the introspection part was told of, in order. */
  readonly told: readonly (readonly [
    issuer: string,
    result: IntrospectionResult,
    error?: string | undefined,
  ])[]
  /** A sound answer about a token of `orders`, bound to its certificate; `undefined` leaves a member out. */
  active(members?: { readonly [name: string]: unknown }): { readonly json: object }
  /** '' for an allow, else the reason. */
  ask(question: Question): Promise<string>
  /** With what the decision log is told. */
  decide(question: Question): Promise<Answer>
  now(): number
  setNow(seconds: number): void
  put(name: string, content: string): Promise<void>
  /** Resolves once so many reloads have been told. */
  reloaded(count: number): Promise<void>
}

export interface Question extends CheckRequestParts {
  readonly as?: Leaf | null
  readonly budgetMs?: number
}

export interface Answer {
  readonly reason: string
  readonly detail: string
  readonly cache: string | undefined
  readonly subject: string | undefined
}

export interface OpaqueWorldOptions {
  /** In the place of `auth: basic` and its file; a flow map's inside. */
  readonly client?: string
  /** More of `introspection`. */
  readonly more?: string
  /** More of the issuer. */
  readonly issuer?: string
  /** The whole policy. */
  readonly policy?: (url: string) => string
  readonly introspector?: TestIntrospector
  readonly answer?: (world: OpaqueWorld) => Reply
  readonly files?: { readonly [name: string]: string }
}

/** Routes: /v1/* takes both issuers, /jwt only JWTs, /partner only the introspected one, with identity binding. */
export const opaquePolicy = (
  url: string,
  { client, more = '', issuer = '' }: OpaqueWorldOptions = {},
) => `apiVersion: meshbind/v1alpha1
kind: BindingPolicy
metadata: { name: shop }
spec:
  trustDomains: [mesh.example]
  peer: { evidence: [certificate, principal] }
  issuers:
    corp: { issuer: https://idp.example, audiences: [${audience}], keys: { file: jwks.json }, identity: { claim: sub } }
    elsewhere: { issuer: https://elsewhere.example, audiences: [${audience}], keys: { file: jwks.json } }
    partner:
      issuer: ${partnerIssuer}
      audiences: [${audience}]
      identity: { claim: sub }
${issuer}
      introspection:
        { url: "${url}", clientId: "mesh:bind", ${client ?? 'clientSecretFile: secret'}, ${patient(more)} }
  routes:
    - { name: both, match: { paths: [/v1/*] }, require: { issuers: [corp, partner], bindings: ["x5t#S256"] } }
    - { name: jwt, match: { paths: [/jwt] }, require: { issuers: [corp], bindings: ["x5t#S256"] } }
    - { name: partner, match: { paths: [/partner] }, require: { issuers: [partner], bindings: [spiffe] } }
    - { name: scoped, match: { paths: [/scoped] }, require: { issuers: [partner], bindings: ["x5t#S256"], scopes: [pay] } }
`

/** A machine that is busy with other tests may take its time, unless a test is about that. */
function patient(more: string): string {
  return more.includes('timeout:') ? more : `timeout: 10s, ${more}`
}

export async function createOpaqueWorld(
  t: Pick<ExecutionContext, 'teardown'>,
  options: OpaqueWorldOptions = {},
): Promise<OpaqueWorld> {
  const start = Math.floor(Date.now() / 1000)
  let now = start
  const directory = await mkdtemp(join(tmpdir(), 'meshbind-opaque-'))
  t.teardown(() => rm(directory, { recursive: true, force: true }))
  const introspector = options.introspector ?? (await startIntrospector(t))
  const issuer = await createTestIssuer('https://idp.example', { now: () => now })
  const authority = await createAuthority()
  const orders = await authority.issue({ spiffeId: ordersId })
  const thief = await authority.issue({ spiffeId: thiefId })
  const put: OpaqueWorld['put'] = async (name, content) => {
    await writeFile(join(directory, `.${name}`), content)
    await rename(join(directory, `.${name}`), join(directory, name))
  }
  await put('jwks.json', JSON.stringify(issuer.jwks))
  await put('secret', `${secret}\n`)
  for (const [name, content] of Object.entries(options.files ?? {})) await put(name, content)
  const write = options.policy ?? ((url: string) => opaquePolicy(url, options))
  await put('policy.yaml', write(introspector.url))
  const told: OpaqueWorld['told'][number][] = []
  let reloads = 0
  const ignore = () => {}
  const keeper = await keepPolicy({
    file: join(directory, 'policy.yaml'),
    clock: () => now,
    onFetch: ignore,
    onIntrospection: (...call) => void told.push(call),
    onBundle: ignore,
    onDenylist: ignore,
    onStatusList: ignore,
    onWarning: ignore,
    onSwap: ignore,
    onReload: () => void reloads++,
  })
  t.teardown(() => keeper.close())
  await keeper.current.parts.tried()
  const tools = createTestTools(start - 3600)

  const decide: OpaqueWorld['decide'] = async ({ as = orders, budgetMs, ...parts }) => {
    const bytes = encodeCheckRequest({
      certificate: as?.envoyText ?? '',
      principal: as?.spiffeId ?? '',
      path: '/v1/payments',
      ...parts,
    })
    const request = decodeCheckRequest(bytes)
    if (isRefusal(request)) throw new Error(request.detail)
    const judge = createJudge(keeper.current, tools, () => now)
    const decision = await judge.decide(request, { leftMs: () => budgetMs ?? 30_000 })
    const denied = decision.verdict === 'deny'
    return {
      reason: denied ? decision.reason : '',
      detail: denied ? decision.detail : '',
      cache: decision.findings.cache,
      subject: decision.findings.token?.subject,
    }
  }

  const world: OpaqueWorld = {
    directory,
    authority,
    issuer,
    introspector,
    keeper,
    orders,
    thief,
    told,
    active: (members = {}) => ({
      json: {
        active: true,
        iss: partnerIssuer,
        sub: ordersId,
        aud: audience,
        iat: now,
        exp: now + 300,
        token_type: 'Bearer',
        scope: 'pay read',
        cnf: { 'x5t#S256': orders.x5tS256 },
        ...members,
      },
    }),
    ask: async (question) => (await decide(question)).reason,
    decide,
    now: () => now,
    setNow(seconds) {
      now = seconds
    },
    put,
    async reloaded(count) {
      while (reloads < count) await sleep(10)
    },
  }
  introspector.answer(() => options.answer?.(world) ?? world.active())
  return world
}
