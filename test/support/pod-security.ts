/** The profile "restricted" of the Pod Security Standards (Kubernetes 1.29 and later), which includes "baseline". */

import { containersOf, type Field } from './chart.ts'

const volumeTypes = [
  'configMap',
  'csi',
  'downwardAPI',
  'emptyDir',
  'ephemeral',
  'persistentVolumeClaim',
  'projected',
  'secret',
]
const profiles = ['RuntimeDefault', 'Localhost']
const hostFields = ['hostNetwork', 'hostPID', 'hostIPC']

/** What admission would refuse, one line for each; empty if nothing. */
export function findUnrestricted(spec: Field): string[] {
  const pod = spec.securityContext ?? {}
  return [
    ...hostFields.filter((field) => spec[field]).map((field) => `${field} is set`),
    ...(pod.sysctls ?? []).map(({ name }: Field) => `sysctl ${name}`),
    ...(pod.runAsUser === 0 ? ['the pod runs as 0'] : []),
    ...(spec.volumes ?? []).flatMap(findVolume),
    ...containersOf(spec).flatMap((container) =>
      findInContainer(pod, container).map((problem) => `${container.name}: ${problem}`),
    ),
  ]
}

function findVolume({ name, ...source }: Field): string[] {
  const types = Object.keys(source)
  return types.length === 1 && volumeTypes.includes(types[0] ?? '')
    ? []
    : [`volume ${name} is of type ${types.join() || 'none'}`]
}

function findInContainer(pod: Field, { securityContext: own = {}, ports = [] }: Field): string[] {
  const added = (own.capabilities?.add ?? []).filter((name: string) => name !== 'NET_BIND_SERVICE')
  const wrong: readonly [problem: string, found: boolean][] = [
    ['runAsNonRoot is not true', (own.runAsNonRoot ?? pod.runAsNonRoot) !== true],
    ['runs as 0', own.runAsUser === 0],
    ['allowPrivilegeEscalation is not false', own.allowPrivilegeEscalation !== false],
    ['does not drop ALL', !(own.capabilities?.drop ?? []).includes('ALL')],
    ['adds capabilities', added.length > 0],
    ['is privileged', own.privileged === true],
    ['has a procMount', (own.procMount ?? 'Default') !== 'Default'],
    ['has a hostPort', ports.some(({ hostPort = 0 }: Field) => hostPort !== 0)],
    [
      'has no seccomp profile',
      !profiles.includes((own.seccompProfile ?? pod.seccompProfile)?.type),
    ],
  ]
  return wrong.filter(([, found]) => found).map(([problem]) => problem)
}
