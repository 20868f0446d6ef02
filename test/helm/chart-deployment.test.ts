import test from 'ava'
import { createProgram } from '../../src/cli/program.ts'
import { type ServeFlags, serveSettings } from '../../src/cli/serve-settings.ts'
import {
  ciFiles,
  ciPath,
  containersOf,
  type Field,
  podsOf,
  renderValues,
} from '../support/chart.ts'
import { canRunHelm, find, type RenderOptions, renderChart } from '../support/helm.ts'

const withHelm = canRunHelm() ? test : test.skip

async function podOf(values: object, options: Omit<RenderOptions, 'values'> = {}): Promise<Field> {
  return find((await renderValues(values, options)).objects, 'Deployment').spec.template.spec
}
const serverOf = async (values: object) => (await podOf(values)).containers[0]

/** The flags that commander reads, for which a command would have run; nothing is run. */
function readArguments([name = '', ...args]: readonly string[]): {
  flags: Field
  rest: readonly string[]
} {
  const command = createProgram(() => {}).commands.find((one) => one.name() === name)
  if (command === undefined) throw new Error(`no command ${name}`)
  let read: { flags: Field; rest: readonly string[] } | undefined
  command.action(() => {
    read = { flags: command.opts(), rest: command.args }
  })
  command.parse(args, { from: 'user' })
  if (read === undefined) throw new Error(`${name} did not run`)
  return read
}

for (const file of ciFiles)
  withHelm(
    `ci/${file}: the command line of meshbind takes every argument of every pod`,
    async (t) => {
      const { objects } = await renderChart({ values: ciPath(file) })
      for (const { of, spec } of podsOf(objects))
        for (const { args, command, name } of containersOf(spec)) {
          t.is(command, undefined, 'the image has its own: node main.js')
          t.is(args[0], of.startsWith('Pod/') ? 'check' : 'serve', `${of} ${name}`)
          const { flags, rest } = readArguments(args)
          if (args[0] === 'serve') t.notThrows(() => serveSettings(flags as ServeFlags), of)
          else t.deepEqual(rest, [args.at(-1)])
        }
      t.pass()
    },
  )

test('an argument that meshbind does not have is found', (t) => {
  t.throws(() => readArguments(['serve', '--policy=x', '--polycy=y']))
  t.throws(() => readArguments(['serv', '--policy=x']), { message: /no command serv/ })
})

withHelm(
  'values that the schema takes at their edges are arguments that serve takes',
  async (t) => {
    const server = {
      deadline: '1ms',
      maxConnectionAge: '30m',
      shutdownDelaySeconds: 0,
      drainSeconds: 3600,
      decisionLog: 'sample:1',
      bindAddress: '[::]',
      maxInFlight: 1,
      workers: 64,
    }
    const { args } = await serverOf({ server, replicaCount: 1 })
    const settings = serveSettings(readArguments(args).flags)
    t.deepEqual(settings.listen, ['[::]:9191'])
    t.is(settings.probe, '[::]:9465')
    t.is(settings.deadlineMs, 1)
    t.is(settings.maxConnectionAgeMs, 1_800_000)
    t.is(settings.shutdownDelayMs, 0)
    t.is(settings.drainMs, 3_600_000)
    t.is(settings.workers, 64)
  },
)

withHelm(
  'the pages that name identities stay on loopback; probes and metrics have a port of their own',
  async (t) => {
    const { args, ports } = await serverOf({})
    t.is(serveSettings(readArguments(args).flags).admin, '127.0.0.1:9464')
    t.deepEqual(ports, [
      { name: 'grpc-authz', containerPort: 9191 },
      { name: 'http-probe', containerPort: 9465 },
    ])
  },
)

withHelm('probes ask the probe port by name: alive, and ready', async (t) => {
  const { startupProbe, livenessProbe, readinessProbe } = await serverOf({})
  t.deepEqual(startupProbe.httpGet, { path: '/livez', port: 'http-probe' })
  t.deepEqual(livenessProbe.httpGet, { path: '/livez', port: 'http-probe' })
  t.deepEqual(readinessProbe.httpGet, { path: '/readyz', port: 'http-probe' })
})

withHelm('Kubernetes waits for delay and drain, and for five seconds more', async (t) => {
  const pod = await podOf({ server: { shutdownDelaySeconds: 20, drainSeconds: 40 } })
  t.is(pod.terminationGracePeriodSeconds, 65)
  t.true(pod.containers[0].args.includes('--shutdown-delay=20s'))
  t.true(pod.containers[0].args.includes('--drain=40s'))
})

const image = { registry: '', repository: 'meshbind', tag: '', digest: '' }
const digest = `sha256:${'a'.repeat(64)}`
for (const [given, name] of [
  [{}, 'meshbind:0.1.0'],
  [{ tag: '0.2.0' }, 'meshbind:0.2.0'],
  [{ registry: 'registry.example/' }, 'registry.example/meshbind:0.1.0'],
  [{ digest }, `meshbind@${digest}`],
  [{ digest, tag: '0.2.0' }, `meshbind:0.2.0@${digest}`],
] as const)
  withHelm(`image ${JSON.stringify(given)} is ${name.slice(0, 40)}`, async (t) => {
    t.is((await serverOf({ image: { ...image, ...given } })).image, name)
  })

withHelm('a URL with a password comes from its Secret and is no argument', async (t) => {
  const { args, env } = await serverOf({ redis: { existingSecret: 'redis', key: 'uri' } })
  const state = env.find(({ name }: Field) => name === 'MESHBIND_STATE')
  t.deepEqual(state.valueFrom, { secretKeyRef: { name: 'redis', key: 'uri' } })
  t.false(args.some((argument: string) => argument.startsWith('--state')))
  t.deepEqual(
    (await serverOf({})).env.map(({ name }: Field) => name),
    ['NODE_OPTIONS'],
  )
})

withHelm(
  'whatever an argument names in a file is mounted, read-only, from its Secret or ConfigMap',
  async (t) => {
    const pod = await podOf({
      tls: { enabled: true, existingSecret: 'server' },
      events: { enabled: true, existingSecret: 'receiver' },
      dpop: { nonceKey: { existingSecret: 'nonce' } },
    })
    const [{ args, volumeMounts }] = pod.containers
    const files = args.flatMap(
      (argument: string) => /=(\/etc\/meshbind\/.+)\/[^/]+$/.exec(argument)?.[1] ?? [],
    )
    const mounted = new Map(volumeMounts.map(({ mountPath, name }: Field) => [mountPath, name]))
    t.deepEqual(
      [...new Set(files)].filter((directory) => !mounted.has(directory)),
      [],
    )
    t.deepEqual([...new Set(files)].length, 4)
    t.true(volumeMounts.every(({ readOnly }: Field) => readOnly))
    const source = (name: string) => pod.volumes.find((volume: Field) => volume.name === name)
    t.deepEqual(source('tls').secret, { secretName: 'server' })
    t.deepEqual(source('events-tls').secret, { secretName: 'receiver' })
    t.deepEqual(source('nonce-key').secret, { secretName: 'nonce' })
    t.deepEqual(source('policy').configMap, { name: 'meshbind-policy' })
    t.deepEqual(source('cluster-ca').configMap, { name: 'kube-root-ca.crt', optional: true })
  },
)

withHelm('TLS without client certificates has no CA to verify them with', async (t) => {
  const tls = { enabled: true, existingSecret: 'server', requireClientCertificate: false }
  const { args } = await serverOf({ tls })
  t.true(args.includes('--tls-cert=/etc/meshbind/tls/tls.crt'))
  t.false(args.some((argument: string) => argument.startsWith('--tls-client-ca')))
})

withHelm(
  'replicas are the autoscaler’s where there is one, and meshbind is told the most there can be',
  async (t) => {
    const { objects } = await renderValues({ autoscaling: { enabled: true, maxReplicas: 7 } })
    const { spec } = find(objects, 'Deployment')
    t.false('replicas' in spec)
    t.true(spec.template.spec.containers[0].args.includes('--replicas=7'))
    t.true((await serverOf({ replicaCount: 3 })).args.includes('--replicas=3'))
  },
)

withHelm('the selector finds the pods, whatever labels are given', async (t) => {
  const taken = {
    'app.kubernetes.io/name': 'other',
    'app.kubernetes.io/instance': 'other',
    team: 'a',
  }
  const { objects } = await renderValues({
    commonLabels: taken,
    podLabels: { ...taken, team: 'b' },
  })
  const { selector, template } = find(objects, 'Deployment').spec
  t.like(template.metadata.labels, selector.matchLabels)
  t.like(find(objects, 'Service').spec.selector, selector.matchLabels)
  t.is(template.metadata.labels.team, 'b')
  t.is(find(objects, 'Deployment').metadata.labels.team, 'a')
})

withHelm('two releases in one namespace share no name and no selector', async (t) => {
  const [one, other] = await Promise.all(
    ['blue', 'green'].map(async (release) => (await renderValues({}, { release })).objects),
  )
  const names = (objects = one) =>
    objects?.map(({ kind, metadata }) => `${kind}/${metadata.name}`) ?? []
  t.deepEqual(
    names(one).filter((name) => names(other).includes(name)),
    [],
  )
  t.notDeepEqual(
    find(one ?? [], 'Service').spec.selector,
    find(other ?? [], 'Service').spec.selector,
  )
})

withHelm(
  'extra arguments, variables, volumes and mounts are put behind the chart’s own',
  async (t) => {
    const pod = await podOf({
      extraArgs: ['--admin=off'],
      extraEnv: [{ name: 'TZ', value: 'UTC' }],
      extraVolumes: [{ name: 'more', emptyDir: {} }],
      extraVolumeMounts: [{ name: 'more', mountPath: '/more' }],
    })
    const [{ args, env, volumeMounts }] = pod.containers
    t.is(args.at(-1), '--admin=off')
    t.deepEqual(env.at(-1), { name: 'TZ', value: 'UTC' })
    t.deepEqual(volumeMounts.at(-1), { name: 'more', mountPath: '/more' })
    t.deepEqual(pod.volumes.at(-1), { name: 'more', emptyDir: {} })
  },
)

withHelm('without a Deployment there is nothing that would serve it', async (t) => {
  const off = { deployment: { enabled: false }, policy: { namespaces: ['shop'] } }
  const { objects } = await renderValues({
    ...off,
    networkPolicy: { enabled: true },
    autoscaling: { enabled: true },
    metrics: { serviceMonitor: { enabled: true } },
  })
  t.deepEqual(
    objects.map(({ kind, metadata }) => [kind, metadata.namespace]),
    [['ConfigMap', 'shop']],
  )
})
