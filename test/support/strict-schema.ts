/** Kubernetes' schemas made strict for a JSON Schema validator, and its errors in an operator's words. */

import type { ErrorObject } from 'ajv'

export type Schema = ReturnType<typeof JSON.parse>

export const listMapKeys = 'x-kubernetes-list-map-keys'

/** What Kubernetes takes as a quantity: the pattern that it generates into the schemas of CRDs. */
const quantity =
  '^(\\+|-)?(([0-9]+(\\.[0-9]*)?)|(\\.[0-9]+))(([KMGTPE]i)|[numkMGTPE]|([eE](\\+|-)?(([0-9]+(\\.[0-9]*)?)|(\\.[0-9]+))))?$'

/** Types of built-in APIs that their documents describe more loosely, or less readably, than the API server reads them. */
const ownTypes: readonly (readonly [ending: string, schema: Schema])[] = [
  ['.api.resource.Quantity', { type: ['string', 'number'], pattern: quantity }],
  ['.util.intstr.IntOrString', { type: ['integer', 'string'] }],
]

/** Of a built-in API's document, what a validator needs: its components. */
export function makeDocumentStrict(components: { readonly [name: string]: Schema }): Schema {
  const schemas = Object.entries(components).map(([name, schema]) => {
    const own = ownTypes.find(([ending]) => name.endsWith(ending))
    return [name, own?.[1] ?? makeStrict(schema, 'open')]
  })
  return { components: { schemas: Object.fromEntries(schemas) } }
}

/**
 * The schema with every unknown field refused. Into `allOf`, `anyOf`, `oneOf` and `not` it does not go: in built-in APIs
 * they wrap a reference, and in CRDs they say more about fields that are declared beside them.
 *
 * @param bare What an object without declared fields is: `open` in built-in APIs, where it is free JSON, and `closed` in
 *   CRDs, whose API server drops what is not declared.
 */
export function makeStrict(schema: Schema, bare: 'open' | 'closed'): Schema {
  if (typeof schema !== 'object' || schema === null) return schema
  const { description, default: _, properties, items, additionalProperties, ...rest } = schema
  const strict: Schema = makeTyped(rest)
  if (properties !== undefined)
    strict.properties = Object.fromEntries(
      Object.entries(properties).map(([name, inner]) => [name, makeStrict(inner, bare)]),
    )
  // Go's `(?i)` counts to the end of the pattern; JavaScript wants it around what it counts for.
  if (rest.pattern !== undefined) strict.pattern = rest.pattern.replace(/\(\?i\)(.*)$/s, '(?i:$1)')
  if (items !== undefined) strict.items = makeStrict(items, bare)
  const isClosed = properties !== undefined || (bare === 'closed' && rest.type === 'object')
  if (additionalProperties !== undefined)
    strict.additionalProperties = makeStrict(additionalProperties, bare)
  else if (isClosed && rest['x-kubernetes-preserve-unknown-fields'] !== true)
    strict.additionalProperties = false
  return strict
}

/** Kubernetes' own words about types in JSON Schema's: int-or-string and nullable. */
function makeTyped({ nullable, ...schema }: Schema): Schema {
  const isEither = schema['x-kubernetes-int-or-string'] === true
  const { anyOf, ...withoutAnyOf } = schema
  const typed: Schema = isEither ? { ...withoutAnyOf, type: ['integer', 'string'] } : schema
  if (nullable !== true) return typed
  if (typed.type !== undefined) typed.type = [typed.type, 'null'].flat()
  if (typed.enum !== undefined) typed.enum = [...typed.enum, null]
  return typed
}

/**
 * The value as the API server validates it: defaults of a CRD are filled in before. Those of built-in APIs are not meant:
 * their documents give Go's zero values, such as `""` for a name that is required.
 */
export function fillDefaults(schema: Schema, value: Schema): Schema {
  if (Array.isArray(value)) return value.map((entry) => fillDefaults(schema.items ?? {}, entry))
  if (typeof value !== 'object' || value === null) return value
  const { properties = {}, additionalProperties } = schema
  const preset = Object.entries<Schema>(properties).flatMap(([name, inner]) =>
    inner.default === undefined ? [] : [[name, inner.default]],
  )
  return Object.fromEntries(
    Object.entries({ ...Object.fromEntries(preset), ...value }).map(([name, inner]) => [
      name,
      fillDefaults(properties[name] ?? additionalProperties ?? {}, inner),
    ]),
  )
}

/**
 * Two entries of a list that Kubernetes keeps as a map: the API server refuses them from whoever applies server-side, as
 * Helm 4 does.
 */
export function findTwins(keys: readonly string[], list: readonly Schema[]): string | undefined {
  const seen = new Set<string>()
  for (const entry of list) {
    const own = keys.map((key) => `${key}=${JSON.stringify(entry?.[key])}`).join(', ')
    if (seen.has(own)) return own
    seen.add(own)
  }
  return undefined
}

/** Such as `spec.template.spec.containers[0].imag: unknown field`. */
export function explain({ instancePath, keyword, params, message, data }: ErrorObject): string {
  const at = instancePath
    .split('/')
    .slice(1)
    .map((part) => part.replaceAll('~1', '/').replaceAll('~0', '~'))
    .reduce((path, part) => path + writeStep(part), '')
  const within = (name: string) => `${at}${writeStep(name)}`.replace(/^\./, '')
  const here = at.replace(/^\./, '') || 'the object'
  if (keyword === 'additionalProperties')
    return `${within(params['additionalProperty'])}: unknown field`
  if (keyword === 'required') return `${within(params['missingProperty'])}: is missing`
  if (keyword === 'enum')
    return `${here}: ${JSON.stringify(data)} is none of ${params['allowedValues'].join(', ')}`
  if (keyword === listMapKeys) return `${here}: ${message}`
  return `${here}: ${message}, not ${JSON.stringify(data)?.slice(0, 80)}`
}

function writeStep(part: string): string {
  if (/^\d+$/.test(part)) return `[${part}]`
  return /^[\w-]+$/.test(part) ? `.${part}` : `["${part}"]`
}
