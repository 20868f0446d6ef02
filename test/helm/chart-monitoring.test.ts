import { readdirSync } from 'node:fs'
import test from 'ava'
import { parse } from 'yaml'
import { chartDirectory, chartFile, podsOf, renderValues } from '../support/chart.ts'
import { canRunHelm, find, findAll } from '../support/helm.ts'
import type { KubeObject } from '../support/kube-objects.ts'

const withHelm = canRunHelm() ? test : test.skip
const labels = { release: 'prometheus' }
const chosenBy = (selector: object, of: KubeObject) =>
  Object.entries(selector).every(([name, value]) => of.metadata.labels[name] === value)

withHelm(
  'the ServiceMonitor chooses one Service, so that each replica is counted once, and a port that it has',
  async (t) => {
    const { objects } = await renderValues({
      service: { headless: { enabled: true } },
      metrics: { serviceMonitor: { enabled: true, interval: '15s', labels } },
    })
    const { spec, metadata } = find(objects, 'ServiceMonitor')
    const chosen = findAll(objects, 'Service').filter((service) =>
      chosenBy(spec.selector.matchLabels, service),
    )
    t.deepEqual(
      chosen.map((service) => service.metadata.name),
      ['meshbind'],
    )
    t.deepEqual(spec.endpoints, [{ port: 'http-probe', path: '/metrics', interval: '15s' }])
    t.true(
      chosen[0]?.spec.ports.some(({ name }: { name: string }) => name === spec.endpoints[0].port),
    )
    t.is(metadata.labels.release, 'prometheus')
  },
)

withHelm(
  'the PodMonitor chooses the server’s pods and not the test’s, and a port that they have',
  async (t) => {
    const { objects } = await renderValues({ metrics: { podMonitor: { enabled: true, labels } } })
    const { spec, metadata } = find(objects, 'PodMonitor')
    const [server, tester] = podsOf(objects)
    t.like(server?.labels, spec.selector.matchLabels)
    t.not(tester?.labels['app.kubernetes.io/name'], server?.labels['app.kubernetes.io/name'])
    const [endpoint] = spec.podMetricsEndpoints
    t.is(endpoint.path, '/metrics')
    t.true(
      server?.spec.containers[0].ports.some(({ name }: { name: string }) => name === endpoint.port),
    )
    t.is(metadata.labels.release, 'prometheus')
  },
)

const rules = parse(chartFile('alerts/meshbind.rules.yaml'))

withHelm('the PrometheusRule has the alerts of alerts/meshbind.rules.yaml', async (t) => {
  const { objects } = await renderValues({ metrics: { prometheusRule: { enabled: true, labels } } })
  const { spec, metadata } = find(objects, 'PrometheusRule')
  t.deepEqual(spec, rules)
  t.true(spec.groups.length > 0)
  t.is(metadata.labels.release, 'prometheus')
})

for (const base of ['https://source.example/meshbind', 'https://source.example/meshbind/'])
  withHelm(`with ${base} before their runbooks, and nothing else of them changed`, async (t) => {
    const prometheusRule = { enabled: true, runbookBaseUrl: base }
    const { objects } = await renderValues({ metrics: { prometheusRule } })
    const { spec } = find(objects, 'PrometheusRule')
    const text = JSON.stringify(spec)
    t.is(text.match(/"runbook_url":"docs\//), null)
    const links = text.match(/"runbook_url":"https:\/\/source\.example\/meshbind\/docs\//g)
    t.is(links?.length, JSON.stringify(rules).match(/"runbook_url"/g)?.length)
    t.deepEqual(
      JSON.parse(text.replaceAll('https://source.example/meshbind/docs/', 'docs/')),
      rules,
    )
  })

withHelm('rules for an agent elsewhere can be had without a Deployment', async (t) => {
  const { objects } = await renderValues({
    deployment: { enabled: false },
    policy: { namespaces: ['shop'] },
    metrics: { prometheusRule: { enabled: true } },
  })
  t.is(findAll(objects, 'PrometheusRule').length, 1)
})

withHelm(
  'each dashboard is in a ConfigMap byte for byte, with the label that Grafana’s sidecar looks for',
  async (t) => {
    const annotations = { grafana_folder: 'Mesh' }
    const { objects } = await renderValues({
      grafana: { dashboards: { enabled: true, annotations } },
    })
    const maps = findAll(objects, 'ConfigMap').filter(({ metadata }) =>
      metadata.name.endsWith('-dashboard'),
    )
    const files = readdirSync(`${chartDirectory}/dashboards`)
    t.is(files.length, 2)
    t.deepEqual(
      Object.assign({}, ...maps.map(({ data }) => data)),
      Object.fromEntries(files.map((name) => [name, chartFile(`dashboards/${name}`)])),
    )
    for (const { metadata } of maps) {
      t.is(metadata.labels.grafana_dashboard, '1')
      t.deepEqual(metadata.annotations, annotations)
    }
  },
)

withHelm('a label that all objects have and a monitor has too is the monitor’s', async (t) => {
  const { objects } = await renderValues({
    commonLabels: { release: 'all', team: 'a' },
    metrics: {
      serviceMonitor: { enabled: true, labels },
      prometheusRule: { enabled: true, labels },
    },
    grafana: { dashboards: { enabled: true, labels } },
  })
  for (const kind of ['ServiceMonitor', 'PrometheusRule'])
    t.like(find(objects, kind).metadata.labels, { release: 'prometheus', team: 'a' })
})

withHelm('none of it is there unless it is wanted', async (t) => {
  const { objects } = await renderValues()
  t.false(objects.some(({ apiVersion }) => apiVersion.startsWith('monitoring')))
  t.false(objects.some(({ metadata }) => metadata.name.endsWith('-dashboard')))
})
