/** What a route requires, compiled: sets, matchers, limits and defaults. */

import type { Algorithm } from '../token/algorithms.ts'
import { durationSeconds } from './duration.ts'
import { readOrigin } from './origins.ts'
import type {
  DpopDocument,
  IssuerDocument,
  PolicyDocument,
  RequirementDocument,
  WimseDocument,
} from './schema.ts'

export interface CallerMatcher {
  readonly exact: ReadonlySet<string>
  /** Each ends in a slash, so that only whole segments match. */
  readonly below: readonly string[]
}

/** What a route takes of tokens with `act`. */
export interface DelegationRules {
  /** The longest chain of actors, the current one included. */
  readonly maxDepth: number
  /** Who may be the current actor; undefined: whoever presents it. */
  readonly actors: CallerMatcher | undefined
}

export interface Requirement<Issuer> {
  readonly issuers: readonly Issuer[]
  /** Names of confirmation methods, and what they need to know. */
  readonly bindings: ReadonlySet<string>
  /** Whether a token without `cnf` may pass. */
  readonly unbound: boolean
  readonly bindingRules: {
    readonly policy: string
    readonly clockSkewSeconds: number
    readonly rotation:
      | { readonly graceSeconds: number; readonly backdateSeconds: number }
      | undefined
    readonly dpop:
      | {
          readonly origins: ReadonlySet<string>
          readonly maxAgeSeconds: number
          readonly nonce: 'disabled' | 'optional' | 'required'
          readonly algorithms: readonly string[]
        }
      | undefined
    readonly wimse:
      | {
          readonly audiences: ReadonlySet<string>
          readonly origins: ReadonlySet<string>
          readonly maxLifetimeSeconds: number
        }
      | undefined
  }
  /** Whether an access token has to be there; where not, none may be. */
  readonly takesTokens: boolean
  readonly schemes: readonly ('Bearer' | 'DPoP')[]
  /** Undefined: a token with `act` is refused. */
  readonly delegation: DelegationRules | undefined
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

const defaultMaxLifetime = '24h'
const defaultBackdate = '2m'
const defaultProofLifetime = '2m'
/** The current actor and nobody before it. */
const defaultMaxDepth = 1
const defaultProofAlgorithms: readonly Algorithm[] = ['ES256', 'EdDSA', 'Ed25519']

export function clockSkewSecondsOf({ clockSkew = '30s' }: PolicyDocument['spec']): number {
  return durationSeconds(clockSkew)
}

/** How old a proof may be; the default also where nothing takes proofs yet. */
export function proofMaxAgeSecondsOf(dpop: DpopDocument | undefined): number {
  return durationSeconds(dpop?.maxAge ?? '60s')
}

/** How long a WPT may be good for; the default also where nothing takes WPTs yet. */
export function proofLifetimeSecondsOf(wimse: WimseDocument | undefined): number {
  return durationSeconds(wimse?.maxLifetime ?? defaultProofLifetime)
}

export function compileRequirement<Issuer>(
  require: RequirementDocument,
  { spec, metadata }: PolicyDocument,
  issuers: ReadonlyMap<string, Issuer>,
): Requirement<Issuer> {
  const names = require.issuers ?? []
  const clockSkewSeconds = clockSkewSecondsOf(spec)
  return Object.freeze({
    issuers: Object.freeze(names.flatMap((name) => issuers.get(name) ?? [])),
    bindings: new Set<string>(require.bindings),
    unbound: require.unbound === 'allow',
    bindingRules: Object.freeze({
      policy: metadata.name,
      clockSkewSeconds,
      rotation: compileRotation(require.rotation),
      dpop: compileDpop(spec.dpop, require.dpop?.origins),
      wimse: spec.wimse && compileWimse(spec.wimse),
    }),
    takesTokens: takesTokens(require),
    schemes: Object.freeze(schemesOf(require)),
    delegation: require.delegation && compileDelegation(require.delegation),
    callers: require.callers === undefined ? undefined : compileCallers(require.callers),
    scopes: Object.freeze(require.scopes ?? []),
    claims: Object.entries(require.claims ?? {}).map(
      ([name, values]) => [name, new Set<unknown>(values)] as const,
    ),
    rules: Object.freeze({
      clockSkewSeconds,
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

/** False where a WIT and its proof are all that the route asks for: then no token has to come with them. */
export function takesTokens({ bindings, issuers }: RequirementDocument): boolean {
  return issuers !== undefined || bindings.some((binding) => binding !== 'wimse')
}

/** A route narrows what its issuers allow; it never widens it. */
function limitsOf(issuer: IssuerDocument, require: RequirementDocument): IssuerLimits {
  return {
    audiences: new Set(
      issuer.audiences.filter((audience) => require.audiences?.includes(audience) ?? true),
    ),
    maxLifetimeSeconds: longestLifetimeSeconds(issuer, require),
  }
}

/** How long a token of the issuer may be good for on the route: `exp` - `iat`. */
export function longestLifetimeSeconds(
  { maxLifetime: ofIssuer = defaultMaxLifetime }: IssuerDocument,
  { maxLifetime: ofRoute = ofIssuer }: RequirementDocument,
): number {
  return Math.min(durationSeconds(ofIssuer), durationSeconds(ofRoute))
}

function compileCallers(callers: readonly string[]): CallerMatcher {
  return {
    exact: new Set(callers.filter((caller) => !caller.endsWith('/*'))),
    below: callers.filter((caller) => caller.endsWith('/*')).map((caller) => caller.slice(0, -1)),
  }
}

function compileDelegation({
  maxDepth = defaultMaxDepth,
  actors,
}: NonNullable<RequirementDocument['delegation']>): DelegationRules {
  return Object.freeze({ maxDepth, actors: actors && compileCallers(actors) })
}

function compileRotation(
  rotation: RequirementDocument['rotation'],
): Requirement<unknown>['bindingRules']['rotation'] {
  return (
    rotation && {
      graceSeconds: durationSeconds(rotation.grace),
      backdateSeconds: durationSeconds(rotation.backdate ?? defaultBackdate),
    }
  )
}

/** @param narrowed The route's own origins, if it has them. */
function compileDpop(
  dpop: DpopDocument | undefined,
  narrowed: readonly string[] | undefined,
): Requirement<unknown>['bindingRules']['dpop'] {
  if (dpop === undefined) return undefined
  return Object.freeze({
    origins: new Set((narrowed ?? dpop.origins).flatMap((text) => readOrigin(text) ?? [])),
    maxAgeSeconds: proofMaxAgeSecondsOf(dpop),
    nonce: dpop.nonce ?? 'disabled',
    algorithms: Object.freeze(dpop.algorithms ?? defaultProofAlgorithms),
  })
}

function compileWimse(wimse: WimseDocument): Requirement<unknown>['bindingRules']['wimse'] {
  return Object.freeze({
    audiences: new Set(wimse.audiences),
    origins: new Set(wimse.audiences.flatMap((text) => readOrigin(text) ?? [])),
    maxLifetimeSeconds: proofLifetimeSecondsOf(wimse),
  })
}

/** DPoP where the route takes nothing else, Bearer where it does not take it, else both (contract §5). */
function schemesOf({ bindings, unbound }: RequirementDocument): Requirement<unknown>['schemes'] {
  if (!bindings.includes('dpop')) return ['Bearer']
  return bindings.length === 1 && unbound === undefined ? ['DPoP'] : ['Bearer', 'DPoP']
}
