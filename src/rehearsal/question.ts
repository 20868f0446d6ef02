/** A test → the Request that Envoy's question about it would decode to. */

import { isRefusal } from '../decision/decision.ts'
import { isUnprotected } from '../policy/compile.ts'
import { matchRoute } from '../policy/match.ts'
import type { Request, SingleHeader } from '../request.ts'
import { single } from '../wire/headers.ts'
import { showEvidence } from './evidence.ts'
import type { TestCase } from './schema.ts'
import type { Stage } from './stage.ts'
import { signProof } from './tokens.ts'
import { signWpt } from './workloads.ts'

/** @param nonce What the service gave the client last, where the policy asks for nonces. */
export async function askQuestion(
  test: TestCase,
  stage: Stage,
  nonce: string | undefined,
): Promise<Request> {
  const { method, host, path, headers = {}, context = {} } = test.request
  const token = stage.tokens.get(test.token ?? '')
  const wit = stage.wits.get(test.wit ?? '')
  const via = typeof test.via === 'string' ? [test.via] : (test.via ?? [])
  const { evidence, trustDomains } = stage.policy.peer
  const request: Request = {
    id: '',
    method,
    host,
    path,
    authorization:
      token === undefined
        ? headerOf(headers['authorization'])
        : headerOf(`${test.scheme ?? token.scheme} ${token.text}`),
    dpop: headerOf(headers['dpop']),
    workloadToken: headerOf(wit?.text ?? headers['workload-identity-token']),
    workloadProof: headerOf(await wptFor(test, stage, token?.text)),
    transactionToken: headerOf(headers['txn-token']),
    traceparent: '',
    reservedHeaders: Object.keys(headers).filter((name) => name.startsWith('x-meshbind-')),
    peer: showEvidence({
      client: stage.peers.get(test.peer ?? ''),
      via: via.flatMap((name) => stage.peers.get(name) ?? []),
      destination: `spiffe://${[...trustDomains][0]}/policy-test/service`,
      evidence: test.evidence ?? evidence,
      forged: headers['x-forwarded-client-cert'],
    }),
    context: new Map(Object.entries(context)),
  }
  const proof = await signFor(request, test, stage, nonce)
  return proof === undefined ? request : { ...request, dpop: headerOf(proof) }
}

async function wptFor(
  { wit: name, wpt = {}, request: { headers = {} } }: TestCase,
  stage: Stage,
  token: string | undefined,
): Promise<string | undefined> {
  const wit = stage.wits.get(name ?? '')
  if (wit === undefined || wpt === 'none') return headers['workload-proof-token']
  return signWpt(wit, { audience: stage.wptAudience, token, now: stage.now }, wpt, stage.keys)
}

function headerOf(value: string | undefined): SingleHeader {
  return single(
    value === undefined ? undefined : { joined: [value], raw: [], contradictory: false },
  )
}

async function signFor(
  request: Request,
  { proof, token, request: { path } }: TestCase,
  stage: Stage,
  nonce: string | undefined,
): Promise<string | undefined> {
  const { key: name, claims = {} } = typeof proof === 'string' ? { key: proof } : (proof ?? {})
  const key = stage.keys.get(name ?? '')
  if (key === undefined) return undefined
  const target = {
    method: request.method,
    uri: `${originOf(request, stage)}${path.replace(/\?.*$/s, '')}`,
    token: stage.tokens.get(token ?? '')?.text ?? '',
    nonce,
    now: stage.now,
  }
  return signProof(key, target, claims)
}

/** The first origin of the route: what its clients see. */
function originOf(request: Request, { policy }: Stage): string {
  const route = matchRoute(policy.index, request)
  const origins =
    route === undefined || isRefusal(route) || isUnprotected(route.require)
      ? undefined
      : route.require.bindingRules.dpop?.origins
  return [...(origins ?? [])][0] ?? `https://${request.host}`
}
