/** The parts of a policy document that are well-formed by themselves, so that one mistake does not hide the next. */

import {
  type DpopDocument,
  dpopSchema,
  type IssuerDocument,
  issuerSchema,
  type PeerDocument,
  peerSchema,
  type RevocationDocument,
  type RouteDocument,
  revocationSchema,
  routeSchema,
  type WimseDocument,
  wimseSchema,
} from './schema.ts'

/** The well-formed parts of a document that may be broken elsewhere. */
export interface Parts {
  readonly spec: { readonly [name: string]: unknown }
  readonly peer: PeerDocument
  readonly dpop: DpopDocument | undefined
  readonly wimse: WimseDocument | undefined
  readonly revocation: RevocationDocument | undefined
  readonly issuerNames: readonly string[]
  readonly issuers: ReadonlyMap<string, IssuerDocument>
  readonly routes: readonly { readonly index: number; readonly route: RouteDocument }[]
  /** Where each route name stands first. */
  readonly firstIndexes: ReadonlyMap<string, number>
}

/** Undefined where there is no `spec` to speak of. */
export function takeApart(value: unknown): Parts | undefined {
  const spec = isObject(value) ? value['spec'] : undefined
  if (!isObject(spec)) return undefined
  const issuers = isObject(spec['issuers']) ? spec['issuers'] : {}
  const entries: unknown[] = Array.isArray(spec['routes']) ? spec['routes'] : []
  const routes = entries.flatMap((route, index) => {
    const parsed = routeSchema.safeParse(route)
    return parsed.success ? [{ index, route: parsed.data }] : []
  })
  return {
    spec,
    peer: peerSchema.safeParse(spec['peer'] ?? {}).data ?? {},
    dpop: dpopSchema.safeParse(spec['dpop']).data,
    wimse: wimseSchema.safeParse(spec['wimse']).data,
    revocation: revocationSchema.safeParse(spec['revocation']).data,
    issuerNames: Object.keys(issuers),
    issuers: new Map(
      Object.entries(issuers).flatMap(([name, issuer]) => {
        const parsed = issuerSchema.safeParse(issuer)
        return parsed.success ? [[name, parsed.data]] : []
      }),
    ),
    routes,
    firstIndexes: new Map(routes.toReversed().map(({ index, route }) => [route.name, index])),
  }
}

function isObject(value: unknown): value is { readonly [name: string]: unknown } {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
