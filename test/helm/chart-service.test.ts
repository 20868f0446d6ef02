import test from 'ava'
import { type Field, podsOf, renderValues } from '../support/chart.ts'
import { canRunHelm, find, findAll } from '../support/helm.ts'

const withHelm = canRunHelm() ? test : test.skip

withHelm('every port of a Service leads to a port of the pods that it chooses', async (t) => {
  const { objects } = await renderValues({
    events: { enabled: true },
    service: { port: 443, headless: { enabled: true } },
  })
  const [pod] = podsOf(objects)
  const ports = pod?.spec.containers[0].ports.map(({ name }: Field) => name)
  const services = findAll(objects, 'Service')
  t.is(services.length, 2)
  for (const { spec } of services) {
    t.like(pod?.labels, spec.selector)
    for (const { targetPort } of spec.ports) t.true(ports.includes(targetPort), targetPort)
  }
})

withHelm(
  'the Service names its protocol to meshes and gateways, and the probe port beside it',
  async (t) => {
    const { spec } = find((await renderValues()).objects, 'Service')
    t.is(spec.type, 'ClusterIP')
    t.deepEqual(spec.ports, [
      { name: 'grpc-authz', port: 9191, targetPort: 'grpc-authz', appProtocol: 'grpc' },
      { name: 'http-probe', port: 9465, targetPort: 'http-probe', appProtocol: 'http' },
    ])
  },
)

withHelm(
  'the headless Service has no address, and the port of the pods: nothing translates it',
  async (t) => {
    const { objects } = await renderValues({
      service: {
        port: 443,
        type: 'LoadBalancer',
        headless: { enabled: true },
        trafficDistribution: 'PreferClose',
      },
    })
    const { spec, metadata } = find(objects, 'Service', 'meshbind-headless')
    t.is(spec.clusterIP, 'None')
    t.is(spec.type, 'ClusterIP')
    t.false('trafficDistribution' in spec)
    t.deepEqual(
      spec.ports.map(({ port }: Field) => port),
      [9191],
    )
    t.is(metadata.labels['app.kubernetes.io/component'], 'headless')
    const main = find(objects, 'Service', 'meshbind').spec
    t.is(main.ports[0].port, 443)
    t.is(main.type, 'LoadBalancer')
    t.is(main.trafficDistribution, 'PreferClose')
  },
)

withHelm('events have a port where they are on, with or without TLS', async (t) => {
  const protocol = async (existingSecret: string) => {
    const { objects } = await renderValues({ events: { enabled: true, existingSecret } })
    return find(objects, 'Service').spec.ports.find(({ name }: Field) => name === 'events')
      .appProtocol
  }
  t.is(await protocol('receiver'), 'https')
  t.is(await protocol(''), 'http')
})

withHelm('no protocol for a gateway that wants none', async (t) => {
  const { objects } = await renderValues({ service: { appProtocol: '' } })
  t.false('appProtocol' in find(objects, 'Service').spec.ports[0])
})

withHelm(
  'a ServiceAccount of the chart has annotations; one of the operator is only named',
  async (t) => {
    const annotations = { 'example.com/role': 'none' }
    const own = (await renderValues({ serviceAccount: { annotations } })).objects
    t.deepEqual(find(own, 'ServiceAccount').metadata.annotations, annotations)
    const given = (await renderValues({ serviceAccount: { create: false, name: 'shared' } }))
      .objects
    t.is(findAll(given, 'ServiceAccount').length, 0)
    t.is(find(given, 'Deployment').spec.template.spec.serviceAccountName, 'shared')
    const none = (await renderValues({ serviceAccount: { create: false } })).objects
    t.is(find(none, 'Deployment').spec.template.spec.serviceAccountName, 'default')
  },
)
