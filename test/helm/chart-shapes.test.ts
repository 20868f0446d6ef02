import test from 'ava'
import { parseAllDocuments } from 'yaml'
import {
  ciFiles,
  ciPath,
  compileText,
  containersOf,
  type Field,
  inlinePolicy,
  podsOf,
  renderValues,
} from '../support/chart.ts'
import { canRunHelm, find, findAll, lintChart, renderChart } from '../support/helm.ts'
import type { KubeObject } from '../support/kube-objects.ts'
import { kubeSchemas } from '../support/kube-schemas.ts'
import { findUnrestricted } from '../support/pod-security.ts'

const withHelm = canRunHelm() ? test : test.skip
const [oldest, newest] = [await kubeSchemas('1.29'), await kubeSchemas('1.37')]
const withBoth = canRunHelm() && oldest !== undefined && newest !== undefined ? test : test.skip

const clusterWide = ['ClusterRoleBinding']
/** What stands under extraObjects is the operator's own, as it is written there. */
const isOwn = ({ metadata }: KubeObject) => !/-(extra|text)$/.test(metadata.name)
const standardLabels = [
  'helm.sh/chart',
  'app.kubernetes.io/name',
  'app.kubernetes.io/instance',
  'app.kubernetes.io/version',
  'app.kubernetes.io/managed-by',
]

const known: { readonly [file: string]: readonly string[] } = {
  // From Kubernetes 1.31: values.yaml says so.
  'istio-sidecars.yaml': ['Service/meshbind: spec.trafficDistribution: unknown field'],
}

test('there are values to render', (t) => {
  t.true(ciFiles.length >= 11)
  for (const file of Object.keys(known)) t.true(ciFiles.includes(file))
})

for (const file of ciFiles) {
  withHelm(`ci/${file}: helm lint --strict finds nothing, and Helm warns of nothing`, async (t) => {
    t.regex(await lintChart(ciPath(file)), /1 chart\(s\) linted, 0 chart\(s\) failed/)
    const { objects, warnings } = await renderChart({ values: ciPath(file) })
    t.is(warnings, '')
    t.true(objects.length > 1)
  })

  withBoth(
    `ci/${file}: every object is as Kubernetes 1.29 and 1.37 and the CRDs have it`,
    async (t) => {
      const { objects } = await renderChart({ values: ciPath(file) })
      const ask = (schemas: typeof oldest) =>
        objects.flatMap((object) => schemas?.problems(object) ?? [])
      t.deepEqual(ask(oldest), known[file] ?? [])
      t.deepEqual(ask(newest), [])
    },
  )

  withHelm(
    `ci/${file}: each object has its labels and a namespace, and is there once`,
    async (t) => {
      const { objects } = await renderChart({ values: ciPath(file) })
      for (const { kind, metadata } of objects.filter(isOwn)) {
        const of = `${kind}/${metadata.name}`
        for (const label of standardLabels)
          t.is(typeof metadata.labels?.[label], 'string', `${of} ${label}`)
        if (clusterWide.includes(kind)) t.is(metadata.namespace, undefined, of)
        else t.is(typeof metadata.namespace, 'string', of)
      }
      const names = objects.map(
        ({ apiVersion, kind, metadata }) =>
          `${apiVersion} ${kind} ${metadata.namespace ?? ''}/${metadata.name}`,
      )
      t.deepEqual(names, [...new Set(names)])
    },
  )

  withHelm(
    `ci/${file}: every pod is restricted (Pod Security Standards), without a token or a subPath`,
    async (t) => {
      const { objects } = await renderChart({ values: ciPath(file) })
      for (const { of, spec } of podsOf(objects)) {
        t.deepEqual(findUnrestricted(spec), [], of)
        // What is injected joins a pod whose own settings these are.
        if (!of.startsWith('ConfigMap/')) t.is(spec.automountServiceAccountToken, false, of)
        for (const container of containersOf(spec)) {
          t.true(container.securityContext.readOnlyRootFilesystem, of)
          t.truthy(container.resources.limits.memory, of)
          for (const mount of container.volumeMounts ?? []) t.false('subPath' in mount, of)
        }
        const tokens = (spec.volumes ?? []).filter(
          (volume: Field) => volume.projected !== undefined,
        )
        t.deepEqual(tokens, [], of)
      }
      for (const account of findAll(objects, 'ServiceAccount'))
        t.is(account['automountServiceAccountToken'], false)
      t.pass()
    },
  )

  withHelm(`ci/${file}: each policy that is rendered is one that meshbind takes`, async (t) => {
    const { objects } = await renderChart({ values: ciPath(file) })
    const texts = findAll(objects, 'ConfigMap').flatMap(({ data }) => data?.['policy.yaml'] ?? [])
    t.is(texts.length > 0, file !== 'existing-configmap.yaml')
    for (const text of texts) {
      t.notThrows(() => compileText(text))
      t.deepEqual(
        parseAllDocuments(text).flatMap(({ warnings }) => warnings),
        [],
      )
    }
  })
}

test('the check of pods finds what "restricted" forbids', (t) => {
  const container = {
    name: 'a',
    securityContext: { allowPrivilegeEscalation: false, capabilities: { drop: ['ALL'] } },
  }
  const securityContext = { runAsNonRoot: true, seccompProfile: { type: 'RuntimeDefault' } }
  const spec = { securityContext, containers: [container], volumes: [{ name: 'v', emptyDir: {} }] }
  t.deepEqual(findUnrestricted(spec), [])
  t.deepEqual(findUnrestricted({ ...spec, hostNetwork: true }), ['hostNetwork is set'])
  t.deepEqual(findUnrestricted({ ...spec, volumes: [{ name: 'v', hostPath: {} }] }), [
    'volume v is of type hostPath',
  ])
  t.deepEqual(findUnrestricted({ containers: [{ name: 'b', ports: [{ hostPort: 1 }] }] }), [
    'b: runAsNonRoot is not true',
    'b: allowPrivilegeEscalation is not false',
    'b: does not drop ALL',
    'b: has a hostPort',
    'b: has no seccomp profile',
  ])
})

withHelm('another policy changes nothing of the Deployment: no pod restarts for it', async (t) => {
  const deployment = async (values: object) =>
    find((await renderValues(values)).objects, 'Deployment')
  const one = await deployment({ policy: { inline: inlinePolicy() } })
  const inline = inlinePolicy({ mode: 'audit' })
  const other = await deployment({ policy: { inline, files: { 'revoked.yaml': '[]\n' } } })
  t.deepEqual(other, one)
  const { template } = (await deployment({ server: { logLevel: 'debug' } })).spec
  t.notDeepEqual(template, one.spec.template)
})

/** Texts that YAML 1.1 would read as something else, each a valid name in Kubernetes. */
for (const word of ['no', 'on', 'null', '1e3', '123', '0x1f'])
  withBoth(`a namespace, release or object that is called ${word} stays that text`, async (t) => {
    const { objects } = await renderValues(
      {
        fullnameOverride: word,
        priorityClassName: word,
        policy: { existingConfigMap: word, key: word },
        tls: { enabled: true, existingSecret: word },
        redis: { existingSecret: word, key: word },
        dpop: { nonceKey: { existingSecret: word, key: word } },
        events: { enabled: true, existingSecret: word },
        serviceAccount: { name: word },
        imagePullSecrets: [{ name: word }],
        networkPolicy: { enabled: true },
        autoscaling: { enabled: true },
        commonLabels: { word },
        podLabels: { word },
        helmTest: { allowed: { attributes: {} }, clientSecret: word },
        metrics: { serviceMonitor: { enabled: true }, prometheusRule: { enabled: true } },
        istio: {
          enabled: true,
          provider: word,
          envoyFilter: { enabled: true },
          waypoints: [{ name: word, namespace: word }],
          authorizationPolicies: [{ name: word, namespace: 'shop', selector: { app: word } }],
        },
        envoyGateway: {
          securityPolicies: [
            { name: word, namespace: word, targetRefs: [{ group: 'g', kind: 'K', name: word }] },
          ],
        },
        gatewayApi: {
          routes: [
            {
              name: word,
              namespace: word,
              parentRefs: [{ name: word }],
              backendRefs: [{ name: word, port: 1 }],
            },
          ],
        },
      },
      { release: word, namespace: word },
    )
    t.deepEqual(
      objects.flatMap((object) => newest?.problems(object) ?? []),
      [],
    )
    t.is(find(objects, 'Deployment').metadata.namespace, word)
  })

for (const word of ['no', '1e3', '1.0'])
  withBoth(`a policy and a file whose key is ${word} are in the ConfigMap under it`, async (t) => {
    const { objects } = await renderValues({
      policy: { key: word, files: { [`${word}0`]: 'x' }, namespaces: ['no'] },
    })
    for (const { data, metadata } of findAll(objects, 'ConfigMap').filter(({ metadata }) =>
      metadata.name.endsWith('-policy'),
    )) {
      t.deepEqual(Object.keys(data), [word, `${word}0`])
      t.is(typeof metadata.namespace, 'string')
    }
    t.is(podsOf(objects)[0]?.spec.containers[0].args[1], `--policy=/etc/meshbind/policy/${word}`)
  })
