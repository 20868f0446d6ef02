/** meshbind's chart for its tests: the values files of ci/, values with an image, and what stands in every pod. */

import { readdirSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { parse } from 'yaml'
import { compilePolicy } from '../../src/policy/compile.ts'
import { parsePolicy } from '../../src/policy/parse.ts'
import { type Rendered, type RenderOptions, renderChart } from './helm.ts'
import type { KubeObject } from './kube-objects.ts'

export const chartDirectory = fileURLToPath(new URL('../../helm/meshbind', import.meta.url))

export const chartFile = (path: string) => readFileSync(`${chartDirectory}/${path}`, 'utf8')

export const ciFiles: readonly string[] = readdirSync(`${chartDirectory}/ci`)

export const ciPath = (name: string) => `${chartDirectory}/ci/${name}`

/** Values that nothing but the image is missing from. */
export function withImage(values: object = {}): object {
  return { image: { repository: 'registry.example/meshbind' }, ...values }
}

export function renderValues(
  values: object = {},
  options: Omit<RenderOptions, 'values'> = {},
): Promise<Rendered> {
  return renderChart({ ...options, values: withImage(values) })
}

export type Field = ReturnType<typeof JSON.parse>

export interface Pod {
  readonly of: string
  readonly labels: { readonly [name: string]: string }
  readonly spec: Field
}

/** Every pod that comes of the objects; the injected one with what Istio's template adds to it. */
export function podsOf(objects: readonly KubeObject[]): readonly Pod[] {
  return objects.flatMap(({ kind, metadata, spec, data }) => {
    const of = `${kind}/${metadata.name}`
    if (kind === 'Pod') return [{ of, labels: metadata.labels, spec }]
    const template = spec?.template
    if (template?.spec?.containers)
      return [{ of, labels: template.metadata.labels, spec: template.spec }]
    const text = data?.['istiod-values.yaml']
    return text === undefined ? [] : [{ of, labels: {}, spec: injectedSpec(text) }]
  })
}

/** What the injector adds to a pod: YAML within YAML. */
export function injectedSpec(istiodValues: string): Field {
  const { meshbind } = parse(istiodValues).sidecarInjectorWebhook.templates
  return parse(meshbind).spec
}

export const containersOf = (spec: Field): readonly Field[] => [
  ...(spec.initContainers ?? []),
  ...(spec.containers ?? []),
]

/** As `meshbind policy validate`, and on to the compiled policy. Throws what is wrong with it. */
export function compileText(text: string) {
  const parsed = parsePolicy(text)
  if (!parsed.ok) throw new Error(parsed.problems.map(({ message }) => message).join('\n'))
  return compilePolicy(parsed.policy, text, {
    issuer: (plan) => plan,
    trust: (files) => files,
    workloads: (anchors) => anchors,
    revocation: (document) => document,
  })
}

/** Small and valid, for values below `policy.inline`. */
export const inlinePolicy = (spec: object = {}): Field => ({
  apiVersion: 'meshbind/v1alpha1',
  kind: 'BindingPolicy',
  metadata: { name: 'shop' },
  spec: {
    trustDomains: ['mesh.example'],
    issuers: {
      corp: {
        issuer: 'https://idp.example',
        audiences: ['https://payments.mesh.example'],
        keys: { url: 'https://idp.example/jwks' },
      },
    },
    routes: [{ name: 'all', require: { issuers: ['corp'], bindings: ['x5t#S256'] } }],
    ...spec,
  },
})
