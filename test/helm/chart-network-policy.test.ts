import test from 'ava'
import { type Field, podsOf, renderValues } from '../support/chart.ts'
import { canRunHelm, find, findAll } from '../support/helm.ts'

const withHelm = canRunHelm() ? test : test.skip
const everyPod = [{ namespaceSelector: {} }]
const proxies = [{ namespaceSelector: { matchLabels: { mesh: 'true' } } }]
const prometheus = [{ podSelector: { matchLabels: { app: 'prometheus' } } }]
const senders = [{ ipBlock: { cidr: '192.0.2.0/24' } }]

async function specOf(networkPolicy: object, values: object = {}): Promise<Field> {
  const { objects } = await renderValues({
    networkPolicy: { enabled: true, ...networkPolicy },
    ...values,
  })
  return find(objects, 'NetworkPolicy').spec
}
const sourcesOf = (spec: Field, port: unknown) =>
  spec.ingress.filter(({ ports }: Field) => ports.some((one: Field) => one.port === port))
const portsOf = (rules: Field) =>
  rules.flatMap(({ ports }: Field) => ports.map(({ port }: Field) => port))

withHelm('there is none unless it is wanted', async (t) => {
  t.is(findAll((await renderValues()).objects, 'NetworkPolicy').length, 0)
})

withHelm('it is about the pods of the release, in both directions', async (t) => {
  const { objects } = await renderValues({ networkPolicy: { enabled: true } })
  const { podSelector, policyTypes } = find(objects, 'NetworkPolicy').spec
  const [server, tester] = podsOf(objects)
  t.like(server?.labels, podSelector.matchLabels)
  t.not(tester?.labels['app.kubernetes.io/name'], server?.labels['app.kubernetes.io/name'])
  t.deepEqual(policyTypes, ['Ingress', 'Egress'])
})

withHelm('who may ask, who may scrape and who may push are told apart', async (t) => {
  const spec = await specOf(
    { clients: proxies, scrapers: prometheus, eventSenders: senders },
    { events: { enabled: true } },
  )
  t.deepEqual(
    sourcesOf(spec, 'grpc-authz').map(({ from }: Field) => from),
    [proxies],
  )
  t.deepEqual(
    sourcesOf(spec, 'http-probe').map(({ from }: Field) => from),
    [prometheus],
  )
  t.deepEqual(
    sourcesOf(spec, 'events').map(({ from }: Field) => from),
    [senders],
  )
  t.is(spec.ingress.length, 3)
})

withHelm('an empty list is every pod of the cluster, and never everybody outside', async (t) => {
  const spec = await specOf({})
  t.deepEqual(
    spec.ingress.map(({ from }: Field) => from),
    [everyPod, everyPod],
  )
  t.deepEqual(sourcesOf(spec, 'events'), [])
})

withHelm('its ports are ports of the pod, by name', async (t) => {
  const { objects } = await renderValues({
    networkPolicy: { enabled: true },
    events: { enabled: true },
  })
  const names = podsOf(objects)[0]?.spec.containers[0].ports.map(({ name }: Field) => name)
  t.deepEqual(portsOf(find(objects, 'NetworkPolicy').spec.ingress).sort(), names.sort())
})

withHelm(
  'in Istio, what comes over HBONE is of the same clients, and istiod can be reached',
  async (t) => {
    const spec = await specOf(
      { clients: proxies, egress: [{ to: senders }] },
      { istio: { enabled: true } },
    )
    t.deepEqual(
      sourcesOf(spec, 15008).map(({ from }: Field) => from),
      [proxies],
    )
    t.deepEqual(portsOf(spec.egress.slice(0, 2)), [53, 53, 15012, 15008])
    t.deepEqual(spec.egress.at(-1), { to: senders })
  },
)

withHelm('out go DNS, and either the usual ports or what is given, nothing else', async (t) => {
  t.deepEqual(portsOf((await specOf({})).egress), [53, 53, 443, 6443, 6379, 6380, 4318])
  const egress = [{ to: senders, ports: [{ port: 443, protocol: 'TCP' }] }]
  const given = (await specOf({ egress })).egress
  t.deepEqual(portsOf(given), [53, 53, 443])
  t.deepEqual(given[1], egress[0])
})
