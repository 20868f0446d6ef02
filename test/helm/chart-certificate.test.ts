import test from 'ava'
import { parse } from 'yaml'
import { type Field, renderValues } from '../support/chart.ts'
import { canRunHelm, find, findAll } from '../support/helm.ts'

const withHelm = canRunHelm() ? test : test.skip
const issuerRef = { name: 'mesh-ca', kind: 'ClusterIssuer', group: 'cert-manager.io' }
const tls = { enabled: true, certManager: { enabled: true, issuerRef } }

withHelm('cert-manager writes the Secret that the server and helm test mount', async (t) => {
  const { objects } = await renderValues({ tls })
  const { spec } = find(objects, 'Certificate')
  t.deepEqual(spec.issuerRef, issuerRef)
  for (const pod of [find(objects, 'Deployment').spec.template.spec, find(objects, 'Pod').spec]) {
    const volume = pod.volumes.find(({ name }: Field) => name === 'tls')
    t.is(volume.secret.secretName, spec.secretName)
  }
  t.deepEqual([...spec.usages].sort(), ['client auth', 'digital signature', 'server auth'])
  t.is(spec.privateKey.rotationPolicy, 'Always')
})

withHelm('a Secret that is named is the one that cert-manager writes', async (t) => {
  const { objects } = await renderValues({ tls: { ...tls, existingSecret: 'server' } })
  t.is(find(objects, 'Certificate').spec.secretName, 'server')
})

withHelm('the certificate has each name by which anybody is told to ask', async (t) => {
  const { objects } = await renderValues(
    { tls, service: { headless: { enabled: true } }, envoy: { enabled: true } },
    { release: 'blue', namespace: 'mesh' },
  )
  const { dnsNames } = find(objects, 'Certificate').spec
  const target = find(objects, 'Pod').spec.containers[0].args.find((one: string) =>
    one.startsWith('--target='),
  )
  t.true(dnsNames.includes(target.replace('--target=', '').replace(/:\d+$/, '')))
  const { clusters } = parse(
    find(objects, 'ConfigMap', 'blue-meshbind-envoy').data['envoy.yaml'],
  ).static_resources
  const asked = clusters.find(({ name }: Field) => name === 'meshbind')
  t.true(dnsNames.includes(asked.transport_socket.typed_config.sni))
  t.deepEqual(
    findAll(objects, 'Service')
      .map(({ metadata }) => `${metadata.name}.mesh.svc`)
      .filter((name) => !dnsNames.includes(name)),
    [],
  )
})

withHelm('with a Secret of the operator’s, or no TLS, there is no Certificate', async (t) => {
  for (const values of [{}, { tls: { enabled: true, existingSecret: 'server' } }])
    t.is(findAll((await renderValues(values)).objects, 'Certificate').length, 0)
})
