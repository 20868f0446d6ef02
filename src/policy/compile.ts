/** A checked policy document → what a request needs, computed once and frozen: sets, matchers, resolvers, defaults. */

import { createHash } from 'node:crypto'
import type { Grounds } from '../decision/decision.ts'
import { type Algorithm, defaultAlgorithms } from '../token/algorithms.ts'
import { durationSeconds } from './duration.ts'
import { compileMatch, type RouteMatch } from './match.ts'
import type {
  IssuerDocument,
  KeySourceDocument,
  PolicyDocument,
  RequirementDocument,
  RouteDocument,
} from './schema.ts'

declare const unprotected: unique symbol

/** The operator's explicit word that something needs no check: `require: none` or `unmatched: allow`. */
export interface Unprotected extends Grounds {
  readonly [unprotected]: true
}

/** What an issuer needs to know, with defaults filled in; the process edge makes it into a live issuer. */
export interface IssuerPlan {
  readonly name: string
  readonly issuer: string
  readonly keys: KeySourceDocument
  readonly algorithms: readonly Algorithm[]
  readonly types: readonly string[]
  readonly identity: { readonly claim: string } | { readonly kubernetes: string } | undefined
}

export interface CallerMatcher {
  readonly exact: ReadonlySet<string>
  /** Each ends in a slash, so that only whole segments match. */
  readonly below: readonly string[]
}

export interface Requirement<Issuer> {
  readonly issuers: readonly Issuer[]
  readonly bindings: ReadonlySet<string>
  readonly callers: CallerMatcher | undefined
  readonly scopes: readonly string[]
  readonly claims: readonly (readonly [name: string, values: ReadonlySet<unknown>])[]
  readonly rules: {
    readonly clockSkewSeconds: number
    readonly maxAgeSeconds: number
    readonly perIssuer: ReadonlyMap<string, IssuerLimits>
  }
}

/** What a route demands of the tokens of one issuer. */
export interface IssuerLimits {
  readonly audiences: ReadonlySet<string>
  readonly maxLifetimeSeconds: number
}

export interface Route<Issuer> extends RouteMatch {
  readonly name: string
  readonly mode: 'enforce'
  readonly require: Requirement<Issuer> | Unprotected
  readonly removeToken: boolean
  readonly presenterHeader: boolean
}

export interface CompiledPolicy<Issuer> {
  readonly name: string
  /** First 16 hex digits of SHA-256 over the policy's text. */
  readonly revision: string
  readonly peer: {
    readonly evidence: readonly ('certificate' | 'principal')[]
    readonly trustDomains: ReadonlySet<string>
  }
  readonly issuers: readonly Issuer[]
  readonly routes: readonly Route<Issuer>[]
  /** Grounds to allow what no route matches, if the operator said so. */
  readonly unmatched: Unprotected | undefined
}

const defaultMaxLifetime = '24h'
const defaultClockSkew = '30s'
const defaultTypes = ['at+jwt', 'JWT', 'absent']

/**
 * @param text The text that the document was parsed from: the revision covers it.
 * @param createIssuer Makes the live issuer of a plan; called once per issuer, in the document's order.
 */
export function compilePolicy<Issuer>(
  document: PolicyDocument,
  text: string,
  createIssuer: (plan: IssuerPlan) => Issuer,
): CompiledPolicy<Issuer> {
  const { spec } = document
  const issuers = new Map(
    Object.entries(spec.issuers).map(([name, issuer]) => [
      name,
      createIssuer(planIssuer(name, issuer)),
    ]),
  )
  return Object.freeze({
    name: document.metadata.name,
    revision: createHash('sha256').update(text).digest('hex').slice(0, 16),
    peer: Object.freeze({
      evidence: Object.freeze((spec.peer?.evidence ?? ['certificate']).filter(isBuiltEvidence)),
      trustDomains: new Set(spec.trustDomains),
    }),
    issuers: Object.freeze([...issuers.values()]),
    routes: Object.freeze(spec.routes.map((route) => compileRoute(route, document, issuers))),
    unmatched: spec.unmatched === 'allow' ? mintUnprotected() : undefined,
  })
}

export function isUnprotected(require: object): require is Unprotected {
  return 'unprotected' in require
}

function mintUnprotected(): Unprotected {
  return Object.freeze({ unprotected: true }) as unknown as Unprotected
}

function isBuiltEvidence(source: string): source is 'certificate' | 'principal' {
  return source === 'certificate' || source === 'principal'
}

function planIssuer(name: string, issuer: IssuerDocument): IssuerPlan {
  return {
    name,
    issuer: issuer.issuer,
    keys: issuer.keys ?? {},
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
): Route<Issuer> {
  return Object.freeze({
    name: route.name,
    mode: 'enforce',
    ...compileMatch(route.match ?? {}),
    require:
      route.require === 'none'
        ? mintUnprotected()
        : compileRequirement(route.require, document, issuers),
    removeToken: route.forward?.token === 'remove',
    presenterHeader: route.forward?.presenterHeader === true,
  })
}

function compileRequirement<Issuer>(
  require: RequirementDocument,
  { spec }: PolicyDocument,
  issuers: ReadonlyMap<string, Issuer>,
): Requirement<Issuer> {
  const names = require.issuers ?? []
  return Object.freeze({
    issuers: Object.freeze(names.flatMap((name) => issuers.get(name) ?? [])),
    bindings: new Set<string>(require.bindings),
    callers: require.callers === undefined ? undefined : compileCallers(require.callers),
    scopes: Object.freeze(require.scopes ?? []),
    claims: Object.entries(require.claims ?? {}).map(
      ([name, values]) => [name, new Set<unknown>(values)] as const,
    ),
    rules: Object.freeze({
      clockSkewSeconds: durationSeconds(spec.clockSkew ?? defaultClockSkew),
      maxAgeSeconds:
        require.maxAge === undefined ? Number.POSITIVE_INFINITY : durationSeconds(require.maxAge),
      perIssuer: new Map(
        names.flatMap((name) => {
          const issuer = spec.issuers[name]
          return issuer === undefined ? [] : [[name, limitsOf(issuer, require)]]
        }),
      ),
    }),
  })
}

/** A route narrows what its issuers allow; it never widens it. */
function limitsOf(issuer: IssuerDocument, require: RequirementDocument): IssuerLimits {
  const longest = issuer.maxLifetime ?? defaultMaxLifetime
  const ofIssuer = durationSeconds(longest)
  return {
    audiences: new Set(
      issuer.audiences.filter((audience) => require.audiences?.includes(audience) ?? true),
    ),
    maxLifetimeSeconds: Math.min(ofIssuer, durationSeconds(require.maxLifetime ?? longest)),
  }
}

function compileCallers(callers: readonly string[]): CallerMatcher {
  return {
    exact: new Set(callers.filter((caller) => !caller.endsWith('/*'))),
    below: callers.filter((caller) => caller.endsWith('/*')).map((caller) => caller.slice(0, -1)),
  }
}
