import { execFile } from 'node:child_process'
import { readFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import test from 'ava'
import { parse } from 'yaml'

const main = fileURLToPath(new URL('../../src/main.ts', import.meta.url))
const demo = parse(await readFile(new URL('../../demo/policy.yaml', import.meta.url), 'utf8'))
const { stdout } = await promisify(execFile)(process.execPath, [main, 'policy', 'schema'])

type Json = { readonly [name: string]: unknown }
const schema = JSON.parse(stdout) as Json

const isObject = (value: unknown): value is Json =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

const typeNames: { readonly [type: string]: (value: unknown) => boolean } = {
  object: isObject,
  array: Array.isArray,
  string: (value) => typeof value === 'string',
  number: (value) => typeof value === 'number',
  integer: Number.isInteger,
  boolean: (value) => typeof value === 'boolean',
  null: (value) => value === null,
}

/** The keywords of JSON Schema 2020-12 §6, §10 that the schema uses; another keyword is an error, not passed over. */
const keywords: { readonly [name: string]: (rule: never, value: unknown, of: Json) => boolean } = {
  $schema: () => true,
  title: () => true,
  description: () => true,
  type: (types: string | string[], value) =>
    [types].flat().some((type) => typeNames[type]?.(value) ?? false),
  const: (wanted: unknown, value) => value === wanted,
  enum: (wanted: unknown[], value) => wanted.includes(value),
  pattern: (text: string, value) => typeof value !== 'string' || new RegExp(text, 'u').test(value),
  minLength: (least: number, value) => typeof value !== 'string' || [...value].length >= least,
  maxLength: (most: number, value) => typeof value !== 'string' || [...value].length <= most,
  minimum: (least: number, value) => typeof value !== 'number' || value >= least,
  maximum: (most: number, value) => typeof value !== 'number' || value <= most,
  minItems: (least: number, value) => !Array.isArray(value) || value.length >= least,
  maxItems: (most: number, value) => !Array.isArray(value) || value.length <= most,
  items: (item: Json, value) => !Array.isArray(value) || value.every((each) => accepts(item, each)),
  anyOf: (branches: Json[], value) => branches.some((branch) => accepts(branch, value)),
  allOf: (branches: Json[], value) => branches.every((branch) => accepts(branch, value)),
  required: (names: string[], value) =>
    !isObject(value) || names.every((name) => Object.hasOwn(value, name)),
  properties: (known: { [name: string]: Json }, value) =>
    !isObject(value) ||
    Object.entries(known).every(
      ([name, own]) => !Object.hasOwn(value, name) || accepts(own, value[name]),
    ),
  propertyNames: (rule: Json, value) =>
    !isObject(value) || Object.keys(value).every((name) => accepts(rule, name)),
  additionalProperties: (rule: Json | false, value, { properties = {} }) =>
    !isObject(value) ||
    Object.entries(value).every(
      ([name, each]) =>
        Object.hasOwn(properties as Json, name) || (rule !== false && accepts(rule, each)),
    ),
}

function accepts(rules: Json, value: unknown): boolean {
  return Object.entries(rules).every(([keyword, rule]) => {
    const judge = keywords[keyword]
    if (judge === undefined) throw new Error(`this keyword is not known to the test: ${keyword}`)
    return judge(rule as never, value, rules)
  })
}

/** The demo's policy with one place set to another value; `undefined` removes it. */
function changed(path: readonly (string | number)[], value: unknown): unknown {
  const copy = structuredClone(demo)
  const parent = path.slice(0, -1).reduce((node, part) => {
    if (node[part] === undefined) throw new Error(`nothing at ${path.join('.')}`)
    return node[part]
  }, copy)
  const last = path.at(-1) ?? ''
  if (value === undefined) delete parent[last]
  else parent[last] = value
  return copy
}

test('contract §1: policy schema prints a JSON Schema that accepts the demo’s policy', (t) => {
  t.is(schema['$schema'], 'https://json-schema.org/draft/2020-12/schema')
  t.true(accepts(schema, demo))
})

const route = ['spec', 'routes', 1] as const
const mistakes: readonly (readonly [path: readonly (string | number)[], value: unknown])[] = [
  [['kind'], undefined],
  [['kind'], 'bindingpolicy'],
  [['apiVersion'], 'meshbind/v1'],
  [['metadata', 'name'], 'Shop'],
  [['spec', 'trustDomains'], []],
  [['spec', 'trustDomains'], undefined],
  [['spec', 'trustDomain'], ['mesh.example']],
  [['spec', 'mode'], 'enforced'],
  [['spec', 'clockSkew'], '30'],
  [['spec', 'issuers', 'corp', 'audiences'], []],
  [['spec', 'issuers', 'corp', 'audiences'], undefined],
  [['spec', 'issuers', 'corp', 'algorithms'], ['HS256']],
  [['spec', 'issuers', 'corp', 'algorithms'], ['none']],
  [['spec', 'issuers', 'Corp'], { issuer: 'x', audiences: ['a'] }],
  [['spec', 'routes'], []],
  [[...route, 'name'], undefined],
  [[...route, 'require'], undefined],
  [[...route, 'require'], 'anything'],
  [[...route, 'require', 'bindings'], []],
  [[...route, 'require', 'bindings'], undefined],
  [[...route, 'require', 'bindings'], ['x5t']],
  [[...route, 'require', 'scope'], ['payments.write']],
  [[...route, 'require', 'scopes'], ['a b']],
  [[...route, 'match', 'methods'], ['post']],
  [[...route, 'match', 'paths'], '/v1'],
]
for (const [path, value] of mistakes) {
  const what = `${path.join('.')} = ${JSON.stringify(value)}`
  test(`contract §1: the JSON Schema refuses what the language does not have: ${what}`, (t) => {
    t.false(accepts(schema, changed(path, value)))
  })
}

const alternatives: readonly (readonly [path: readonly (string | number)[], value: unknown])[] = [
  [['spec', 'mode'], 'audit'],
  [['spec', 'clockSkew'], '5m'],
  [['spec', 'peer'], { evidence: ['certificate', 'xfcc'], forwarders: ['spiffe://a/b'] }],
  [['spec', 'issuers', 'corp', 'identity'], { kubernetes: 'mesh.example' }],
  [[...route, 'require'], 'none'],
  [[...route, 'require', 'rotation'], { grace: '10m' }],
  [[...route, 'require', 'claims'], { tenant: ['acme', 1, true] }],
  [[...route, 'match'], undefined],
]
for (const [path, value] of alternatives) {
  const what = `${path.join('.')} = ${JSON.stringify(value)}`
  test(`contract §1: the JSON Schema accepts the language: ${what}`, (t) => {
    t.true(accepts(schema, changed(path, value)))
  })
}
