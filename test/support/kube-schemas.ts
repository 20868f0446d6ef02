/** Rendered objects held against the schemas of Kubernetes, Istio, Gateway API and the operators that the chart speaks to. */

import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { Ajv, type ValidateFunction } from 'ajv'
import { parse } from 'yaml'
import { AlteredModule } from './go-tools.ts'
import { definitions, folderOf, type KubeVersion, kubernetes } from './kube-sources.ts'
import {
  explain,
  fillDefaults,
  findTwins,
  listMapKeys,
  makeDocumentStrict,
  makeStrict,
  type Schema,
} from './strict-schema.ts'

export interface KubeSchemas {
  /**
   * What this object has that its schema does not allow, unknown fields and unknown kinds among it; empty if nothing.
   *
   * Stricter than the API server in one thing: a null is a problem where the schema does not allow it. Laxer in others:
   * rules in CEL (x-kubernetes-validations), formats and immutability are not looked at, nor what admission
   * and Go code check beyond the schema (names, label values, references, `value` of an EnvoyFilter's patch).
   */
  problems(object: object): string[]
}

const loaded = new Map<KubeVersion, Promise<KubeSchemas>>()

/** Undefined, with a visible word, where they cannot be had; under CI=true that is a failure. */
export async function kubeSchemas(version: KubeVersion): Promise<KubeSchemas | undefined> {
  const loading = loaded.get(version) ?? loadSchemas(version)
  loaded.set(version, loading)
  try {
    return await loading
  } catch (error) {
    if (process.env['CI'] === 'true' || error instanceof AlteredModule) throw error
    const why = error instanceof Error ? error.message : String(error)
    process.stderr.write(`SKIPPED: no schemas of Kubernetes ${version}: ${why}\n`)
    return undefined
  }
}

interface Validator {
  readonly validate: ValidateFunction
  /** With the defaults that the API server fills in before it validates. */
  complete(object: object): object
}

async function loadSchemas(version: KubeVersion): Promise<KubeSchemas> {
  const [builtIn, ...custom] = await Promise.all([
    folderOf(kubernetes[version]),
    ...definitions.map(folderOf),
  ])
  const ajv = createValidator()
  const validators = new Map<string, Validator | undefined>()

  function validatorOf(apiVersion: string, kind: string): Validator | undefined {
    const key = `${apiVersion} ${kind}`
    if (!validators.has(key)) validators.set(key, compile(apiVersion, kind))
    return validators.get(key)
  }

  function compile(apiVersion: string, kind: string): Validator | undefined {
    const group = apiVersion.includes('/') ? (apiVersion.split('/')[0] ?? '') : ''
    const wanted = { group, version: apiVersion.split('/').at(-1) ?? '', kind }
    const at = definitions.findIndex(({ groups }) => groups.test(group))
    const folder = custom[at]
    if (folder !== undefined) return findCustom(ajv, builtIn, folder, wanted)
    const schema = findBuiltIn(ajv, builtIn, wanted)
    return schema && { validate: ajv.compile(schema), complete: (object) => object }
  }

  return {
    problems(object) {
      const { apiVersion = '', kind = '', metadata } = object as Partial<Record<string, Schema>>
      const self = `${kind}/${metadata?.name}`
      const validator = validatorOf(String(apiVersion), String(kind))
      if (validator === undefined) return [`${self}: no schema for ${apiVersion} ${kind}`]
      const { validate, complete } = validator
      const said = validate(complete(object)) ? [] : (validate.errors ?? []).map(explain)
      // No schema demands a name, because the API server can make one up; a chart that leaves it to that cannot upgrade.
      if (typeof metadata?.name !== 'string' || metadata.name === '')
        said.push('metadata.name: is missing')
      return said.map((problem) => `${self}: ${problem}`)
    },
  }
}

function createValidator(): Ajv {
  const ajv = new Ajv({
    strict: false,
    allErrors: true,
    verbose: true,
    validateFormats: false,
    validateSchema: false,
    meta: false,
    // The patterns are Go's, which escape what Unicode mode forbids to escape.
    unicodeRegExp: false,
  })
  const twins = (keys: readonly string[], list: readonly Schema[]): boolean => {
    const found = findTwins(keys, list)
    const message = `has two entries with ${found}`
    twins.errors = found === undefined ? [] : [{ keyword: listMapKeys, message }]
    return found === undefined
  }
  twins.errors = [] as { keyword: string; message: string }[]
  ajv.addKeyword({ keyword: listMapKeys, type: 'array', validate: twins })
  return ajv
}

interface Wanted {
  readonly group: string
  readonly version: string
  readonly kind: string
}

/** Every document is read when the first object of its group and version is looked at: together they are 12 MB. */
function openDocument(ajv: Ajv, folder: string, name: string): Schema | undefined {
  const known = ajv.getSchema(name)?.schema
  if (known !== undefined) return known
  const path = join(folder, `${name}_openapi.json`)
  if (!existsSync(path)) return undefined
  const { components } = JSON.parse(readFileSync(path, 'utf8'))
  ajv.addSchema(makeDocumentStrict(components?.schemas ?? {}), name)
  return ajv.getSchema(name)?.schema
}

function findBuiltIn(ajv: Ajv, folder: string, wanted: Wanted): Schema | undefined {
  const { group, version, kind } = wanted
  const name = group === '' ? `api__${version}` : `apis__${group}__${version}`
  const schemas: { [name: string]: Schema } =
    openDocument(ajv, folder, name)?.components.schemas ?? {}
  const found = Object.entries(schemas).find(([, schema]) =>
    schema['x-kubernetes-group-version-kind']?.some(
      (own: Wanted) => own.group === group && own.version === version && own.kind === kind,
    ),
  )
  return found && { $ref: `${name}#/components/schemas/${found[0]}` }
}

/** A small document that has ObjectMeta, which the definitions of custom resources leave out. */
const metadataDocument = 'apis__coordination.k8s.io__v1'
const objectMeta = 'io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta'

function findCustom(
  ajv: Ajv,
  builtIn: string,
  folder: string,
  wanted: Wanted,
): Validator | undefined {
  const definition = findDefinition(folder, wanted)
  const own = definition?.spec.versions.find(
    ({ name, served }: Schema) => name === wanted.version && served,
  )
  if (own === undefined) return undefined
  openDocument(ajv, builtIn, metadataDocument)
  const schema = own.schema.openAPIV3Schema
  const strict = makeStrict(schema, 'closed')
  const metadata = { $ref: `${metadataDocument}#/components/schemas/${objectMeta}` }
  const text = { type: 'string' }
  const properties = { ...strict.properties, apiVersion: text, kind: text, metadata }
  return {
    validate: ajv.compile({ ...strict, properties }),
    complete: (object) => fillDefaults(schema, object),
  }
}

/** By its text first: to parse every definition of a folder takes seconds, and one is wanted. */
function findDefinition(folder: string, { group, kind }: Wanted): Schema | undefined {
  const isWanted = (text: string) =>
    text.includes(`\n  group: ${group}\n`) && text.includes(`\n    kind: ${kind}\n`)
  for (const name of readdirSync(folder).filter((file) => file.endsWith('.yaml'))) {
    const text = readFileSync(join(folder, name), 'utf8').split(/^---$/m).find(isWanted)
    if (text !== undefined) return parse(text)
  }
  return undefined
}
