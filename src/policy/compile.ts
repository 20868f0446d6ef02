/** A checked policy document → what a request needs, computed once and frozen: sets, matchers, resolvers, defaults. */

import { createHash } from 'node:crypto'
import type { Grounds, Mode } from '../decision/decision.ts'
import type { EvidenceSource } from '../evidence/sources.ts'
import { defaultSchemes, type WorkloadIdScheme } from '../evidence/spiffe-id.ts'
import { type Algorithm, defaultAlgorithms } from '../token/algorithms.ts'
import { type IntrospectionPlan, planIntrospection } from './introspection-plan.ts'
import { compileMatch, type RouteMatch } from './match.ts'
import { compileRequirement, type Requirement } from './requirement.ts'
import { indexRoutes, type RouteIndex } from './route-index.ts'
import type {
  IssuerDocument,
  KeySourceDocument,
  PolicyDocument,
  RevocationDocument,
  RouteDocument,
  WimseDocument,
} from './schema.ts'

declare const unprotected: unique symbol

/** The operator's explicit word that something needs no check: `require: none` or `unmatched: allow`. */
export interface Unprotected extends Grounds {
  readonly [unprotected]: true
}

declare const waiver: unique symbol

/** The operator's explicit word that a refusal is not to be enforced: `mode: audit` or `mode: disabled`. */
export interface Waiver extends Grounds {
  readonly [waiver]: true
}

/** What comes of a refusal. */
export type Stance =
  | { readonly mode: 'enforce'; readonly waiver: undefined }
  | { readonly mode: 'audit' | 'disabled'; readonly waiver: Waiver }

export type Stances = { readonly [mode in Mode]: Stance }

/** What an issuer needs to know, with defaults filled in; the process edge makes it into a live issuer. */
export interface IssuerPlan {
  readonly name: string
  readonly issuer: string
  /** Empty where the issuer is asked instead. */
  readonly keys: KeySourceDocument
  /** Its tokens are opaque: it says what they mean (RFC 7662). */
  readonly introspection: IntrospectionPlan | undefined
  readonly algorithms: readonly Algorithm[]
  readonly types: readonly string[]
  readonly identity: { readonly claim: string } | { readonly kubernetes: string } | undefined
}

/** Who signs the WITs of each trust domain, with defaults filled in. */
export type AnchorPlans = {
  readonly [trustDomain: string]: {
    readonly keys: KeySourceDocument
    readonly schemes: readonly WorkloadIdScheme[]
  }
}

export type Route<Issuer> = RouteMatch & Stance & RouteRules<Issuer>

interface RouteRules<Issuer> {
  readonly name: string
  readonly require: Requirement<Issuer> | Unprotected
  readonly removeToken: boolean
  readonly presenterHeader: boolean
}

export interface CompiledPolicy<Issuer, Trust, Revocation, Workloads> {
  readonly name: string
  /** First 16 hex digits of SHA-256 over the policy's text. */
  readonly revision: string
  readonly peer: {
    readonly evidence: readonly EvidenceSource[]
    readonly trustDomains: ReadonlySet<string>
    /** By SPIFFE ID: whether the forwarder also calls for itself. */
    readonly forwarders: ReadonlyMap<string, { readonly presents: boolean }>
    readonly maxForwards: number
    /** Verifies chains, where the policy has trust bundles. */
    readonly trust: Trust | undefined
  }
  readonly issuers: readonly Issuer[]
  /** Verifies WITs, where the policy has a wimse section. */
  readonly workloads: Workloads | undefined
  readonly revocation: Revocation
  readonly routes: readonly Route<Issuer>[]
  /** The same, to find the one that takes a request. */
  readonly index: RouteIndex<Route<Issuer>>
  /** Of what no route matches: `spec.mode`. */
  readonly unmatchedMode: Mode
  readonly stances: Stances
  /** Grounds to allow what no route matches, if the operator said so. */
  readonly unmatched: Unprotected | undefined
}

const defaultEvidence: readonly EvidenceSource[] = ['certificate']
const defaultMaxForwards = 1
const defaultMode: Mode = 'enforce'
const defaultTypes = ['at+jwt', 'JWT', 'absent']

/** Makes the live parts of a policy from their plans; each is called once per part, in the document's order. */
export interface LiveParts<Issuer, Trust, Revocation, Workloads> {
  readonly issuer: (plan: IssuerPlan) => Issuer
  /** @param files Bundle files by trust domain, as the policy names them. */
  readonly trust: (files: ReadonlyMap<string, string>) => Trust
  readonly workloads: (anchors: AnchorPlans) => Workloads
  /** Called once, also where the policy says nothing of revocation. */
  readonly revocation: (document: RevocationDocument) => Revocation
}

/** @param text The text that the document was parsed from: the revision covers it. */
export function compilePolicy<Issuer, Trust, Revocation, Workloads>(
  document: PolicyDocument,
  text: string,
  live: LiveParts<Issuer, Trust, Revocation, Workloads>,
): CompiledPolicy<Issuer, Trust, Revocation, Workloads> {
  const { spec } = document
  const issuers = new Map(
    Object.entries(spec.issuers).map(([name, issuer]) => [
      name,
      live.issuer(planIssuer(name, issuer, spec)),
    ]),
  )
  const stances = compileStances()
  const routes = Object.freeze(
    spec.routes.map((route) => compileRoute(route, document, issuers, stances)),
  )
  return Object.freeze({
    name: document.metadata.name,
    revision: revisionOf(text),
    peer: compilePeer(spec, live.trust),
    issuers: Object.freeze([...issuers.values()]),
    workloads: spec.wimse && live.workloads(planAnchors(spec.wimse.trustAnchors)),
    revocation: live.revocation(spec.revocation ?? {}),
    routes,
    index: indexRoutes(routes),
    unmatchedMode: spec.mode ?? defaultMode,
    stances,
    unmatched: spec.unmatched === 'allow' ? mintUnprotected() : undefined,
  })
}

/** @param text Of a policy, without the manifest that may hold it. */
export function revisionOf(text: string): string {
  return createHash('sha256').update(text).digest('hex').slice(0, 16)
}

export function isUnprotected(require: object): require is Unprotected {
  return 'unprotected' in require
}

function compileStances(): Stances {
  const waiver = Object.freeze({ waived: true }) as unknown as Waiver
  return Object.freeze({
    enforce: Object.freeze({ mode: 'enforce', waiver: undefined }),
    audit: Object.freeze({ mode: 'audit', waiver }),
    disabled: Object.freeze({ mode: 'disabled', waiver }),
  })
}

function mintUnprotected(): Unprotected {
  return Object.freeze({ unprotected: true }) as unknown as Unprotected
}

function compilePeer<Trust>(
  { peer = {}, trustDomains }: PolicyDocument['spec'],
  createTrust: (files: ReadonlyMap<string, string>) => Trust,
): CompiledPolicy<unknown, Trust, unknown, unknown>['peer'] {
  const { trustBundles } = peer
  const files =
    trustBundles && Object.entries(trustBundles).map(([name, { file }]) => [name, file] as const)
  return Object.freeze({
    evidence: Object.freeze(peer.evidence ?? defaultEvidence),
    trustDomains: new Set(trustDomains),
    forwarders: new Map(
      peer.forwarders?.map((entry) =>
        typeof entry === 'string'
          ? [entry, { presents: false }]
          : [entry.id, { presents: entry.presents === true }],
      ),
    ),
    maxForwards: peer.maxForwards ?? defaultMaxForwards,
    trust: files && createTrust(new Map(files)),
  })
}

function planAnchors(anchors: WimseDocument['trustAnchors']): AnchorPlans {
  return Object.fromEntries(
    Object.entries(anchors).map(([domain, { keys, schemes = defaultSchemes }]) => [
      domain,
      { keys, schemes },
    ]),
  )
}

function planIssuer(
  name: string,
  issuer: IssuerDocument,
  spec: PolicyDocument['spec'],
): IssuerPlan {
  return {
    name,
    issuer: issuer.issuer,
    keys: issuer.keys ?? {},
    introspection: issuer.introspection && planIntrospection(issuer.introspection, spec),
    algorithms: issuer.algorithms ?? defaultAlgorithms,
    types: issuer.types ?? defaultTypes,
    identity: planIdentity(issuer.identity),
  }
}

function planIdentity(identity: IssuerDocument['identity']): IssuerPlan['identity'] {
  if (identity?.claim !== undefined) return { claim: identity.claim }
  return identity?.kubernetes === undefined ? undefined : { kubernetes: identity.kubernetes }
}

function compileRoute<Issuer>(
  route: RouteDocument,
  document: PolicyDocument,
  issuers: ReadonlyMap<string, Issuer>,
  stances: Stances,
): Route<Issuer> {
  return Object.freeze({
    name: route.name,
    ...stances[route.mode ?? document.spec.mode ?? defaultMode],
    ...compileMatch(route.match ?? {}),
    require:
      route.require === 'none'
        ? mintUnprotected()
        : compileRequirement(route.require, document, issuers),
    removeToken: route.forward?.token === 'remove',
    presenterHeader: route.forward?.presenterHeader === true,
  })
}
