import test from 'ava'
import { renderValues } from '../support/chart.ts'
import { canRunHelm, find, findAll } from '../support/helm.ts'

const withHelm = canRunHelm() ? test : test.skip

withHelm(
  'the autoscaler scales the Deployment that is rendered, between the bounds that are given',
  async (t) => {
    const behavior = { scaleDown: { stabilizationWindowSeconds: 60 } }
    const { objects } = await renderValues({
      autoscaling: {
        enabled: true,
        minReplicas: 3,
        maxReplicas: 9,
        targetCPUUtilizationPercentage: 55,
        behavior,
      },
    })
    const { apiVersion, kind, metadata } = find(objects, 'Deployment')
    t.deepEqual(find(objects, 'HorizontalPodAutoscaler').spec, {
      scaleTargetRef: { apiVersion, kind, name: metadata.name },
      minReplicas: 3,
      maxReplicas: 9,
      metrics: [
        {
          type: 'Resource',
          resource: { name: 'cpu', target: { type: 'Utilization', averageUtilization: 55 } },
        },
      ],
      behavior,
    })
  },
)

withHelm('CPU is requested, or the autoscaler could not reckon', async (t) => {
  const { objects } = await renderValues({ autoscaling: { enabled: true } })
  const [{ resources }] = find(objects, 'Deployment').spec.template.spec.containers
  t.truthy(resources.requests.cpu)
  t.false('cpu' in resources.limits)
})

withHelm('without autoscaling there is no autoscaler', async (t) => {
  t.is(findAll((await renderValues()).objects, 'HorizontalPodAutoscaler').length, 0)
})

const scaled = { enabled: true, minReplicas: 2 }
const budgets: readonly [of: string, values: object, maxUnavailable: unknown][] = [
  ['two replicas', {}, 1],
  ['one replica, whose node could never be drained otherwise', { replicaCount: 1 }, undefined],
  ['a percentage', { podDisruptionBudget: { maxUnavailable: '25%' } }, '25%'],
  ['an autoscaler that keeps two', { replicaCount: 1, autoscaling: scaled }, 1],
  [
    'an autoscaler that goes down to one',
    { autoscaling: { ...scaled, minReplicas: 1 } },
    undefined,
  ],
  ['none wanted', { podDisruptionBudget: { enabled: false } }, undefined],
]
for (const [of, values, maxUnavailable] of budgets)
  withHelm(`the budget for ${of} is ${maxUnavailable ?? 'none'}`, async (t) => {
    const { objects } = await renderValues(values)
    const [budget] = findAll(objects, 'PodDisruptionBudget')
    t.is(budget?.spec.maxUnavailable, maxUnavailable)
    if (budget !== undefined)
      t.deepEqual(budget.spec.selector, find(objects, 'Deployment').spec.selector)
  })
