/** Where the schemas of Kubernetes and of custom resources come from: Go modules at pinned versions and hashes. */

import { join } from 'node:path'
import { type GoModule, goModuleDirectory } from './go-tools.ts'

interface Source extends GoModule {
  readonly folder: string
}

/** The least and the newest Kubernetes that the chart is for. */
export const kubernetes = {
  '1.29': {
    module: 'k8s.io/kubernetes',
    version: 'v1.29.6',
    sum: 'h1:jn8kA/oVOAWZOeoorx6xZ4d+KgGp+Evgi90x9bEI/DE=',
    folder: 'api/openapi-spec/v3',
  },
  '1.37': {
    module: 'k8s.io/kubernetes',
    version: 'v1.37.2',
    sum: 'h1:A2VDEiObzkYqFTKhSsn0ZEb0RlLEXpHWj93gi2HqEwE=',
    folder: 'api/openapi-spec/v3',
  },
} as const satisfies { [version: string]: Source }

export type KubeVersion = keyof typeof kubernetes

/** API groups → where their custom resource definitions are. */
export const definitions: readonly (Source & { readonly groups: RegExp })[] = [
  {
    groups: /^\w+\.istio\.io$/,
    module: 'istio.io/api',
    version: 'v1.31.1',
    sum: 'h1:5Yb5ihcz4YQsCkciusK7DnFpBMwRB6EFWeUKH1Atuyk=',
    folder: 'kubernetes',
  },
  {
    groups: /^gateway\.networking\.(x-)?k8s\.io$/,
    module: 'sigs.k8s.io/gateway-api',
    version: 'v1.6.1',
    sum: 'h1:mock6phZbI6rvZerwrVNk7hVNymQgHo+6sJ81Ia7ftY=',
    folder: 'config/crd/experimental',
  },
  {
    groups: /^gateway\.envoyproxy\.io$/,
    module: 'github.com/envoyproxy/gateway',
    version: 'v1.9.1',
    sum: 'h1:vAVp6/AlBXJ1aOhp1mxL7fNEzVEfjADUguUhm2wzxQY=',
    folder: 'charts/gateway-helm/charts/crds/crds/generated',
  },
  {
    groups: /^monitoring\.coreos\.com$/,
    module: 'github.com/prometheus-operator/prometheus-operator',
    version: 'v0.85.0',
    sum: 'h1:M5xLCLEoaW2IJfnuCwFzzpL+jSVQu3KGT84Pye+fW8s=',
    folder: 'example/prometheus-operator-crd',
  },
  {
    groups: /^(acme\.)?cert-manager\.io$/,
    module: 'github.com/cert-manager/cert-manager',
    version: 'v1.21.2',
    sum: 'h1:UWgoYM+KLNtRlqmoWOKjKBOBUPVHeepQ6/ac3ERJW68=',
    folder: 'deploy/crds',
  },
]

/** The directory of a source's files. Rejects if they are not those that are pinned. */
export async function folderOf({ module, version, sum, folder }: Source): Promise<string> {
  return join(await goModuleDirectory(module, version, sum), folder)
}

/** Fetches every one, so that no test waits for it. */
export async function provideKubeSchemas(onProgress: (message: string) => void): Promise<void> {
  const timer = setTimeout(() => onProgress('fetching the schemas of Kubernetes and CRDs'), 3000)
  try {
    await Promise.all([...Object.values(kubernetes), ...definitions].map(folderOf))
  } finally {
    clearTimeout(timer)
  }
}
