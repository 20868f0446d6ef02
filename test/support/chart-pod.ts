/** A rendered pod on this machine: its volumes as directories, its containers as processes, started as rendered. */

import { mkdtemp, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type ConfigMap, mountConfigMap } from './config-map.ts'
import { find, findAll, type KubeObject } from './helm.ts'
import { type RunningMeshbind, runCommand, startCommand } from './meshbind.ts'

/** What stands in the rendered text, and what stands for it here. */
export type Translation = readonly [from: string, to: string]

/** Part of a container as Kubernetes has it. */
export interface Container {
  readonly name: string
  readonly args: readonly string[]
  readonly env?: readonly { readonly name: string; readonly value: string }[]
  readonly ports?: readonly { readonly name: string; readonly containerPort: number }[]
  readonly volumeMounts: readonly { readonly name: string; readonly mountPath: string }[]
  readonly startupProbe?: Probe
  readonly livenessProbe?: Probe
  readonly readinessProbe?: Probe
}

interface Probe {
  readonly httpGet: { readonly path: string; readonly port: string | number }
}

/** A translation that hits nothing would hide that the chart has changed: it is an error. */
export function translate(text: string, translations: readonly Translation[]): string {
  let result = text
  for (const [from, to] of translations) {
    if (!result.includes(from)) throw new Error(`nothing to translate: ${from}`)
    result = result.replaceAll(from, () => to)
  }
  return result
}

export interface PodVolumes {
  /** From each mount path to its directory. */
  readonly translations: readonly Translation[]
  /** A mounted ConfigMap or Secret, by the name of the volume. */
  volume(name: string): ConfigMap
  remove(): Promise<void>
}

/**
 * Lays out what the container mounts, as kubelet does. ConfigMaps are those that were rendered; `given` has what the
 * cluster would have besides, Secrets among it, by name. What is optional and not there is an empty directory.
 */
export async function mountVolumes(
  objects: readonly KubeObject[],
  pod: KubeObject['spec'],
  { volumeMounts }: Container,
  given: { readonly [name: string]: { readonly [file: string]: string } } = {},
): Promise<PodVolumes> {
  const mounted = new Map<string, ConfigMap>()
  const translations: Translation[] = []
  for (const { name, mountPath } of volumeMounts) {
    const volume = pod.volumes.find((one: { name: string }) => one.name === name)
    const source = volume.configMap?.name ?? volume.secret?.secretName
    const optional = volume.configMap?.optional === true
    const rendered = findAll(objects, 'ConfigMap').some(({ metadata }) => metadata.name === source)
    const files = given[source] ?? (optional && !rendered ? {} : dataOf(objects, source))
    const directory = await mountConfigMap(files)
    mounted.set(name, directory)
    translations.push([`${mountPath}/`, `${directory.directory}/`])
  }
  return {
    translations,
    volume(name) {
      const found = mounted.get(name)
      if (found === undefined) throw new Error(`the container mounts no volume ${name}`)
      return found
    },
    async remove() {
      for (const directory of mounted.values()) await directory.remove()
    },
  }
}

/** The files of a rendered ConfigMap. */
export function dataOf(
  objects: readonly KubeObject[],
  name: string,
): { readonly [file: string]: string } {
  return find(objects, 'ConfigMap', name).data
}

export function serverContainer(objects: readonly KubeObject[]): {
  readonly pod: KubeObject['spec']
  readonly container: Container
} {
  const pod = find(objects, 'Deployment').spec.template.spec
  return { pod, container: pod.containers[0] }
}

export interface RunningPod {
  readonly meshbind: RunningMeshbind
  readonly container: Container
  /** What it was started with: the container's, translated. */
  readonly args: readonly string[]
  readonly volumes: PodVolumes
  /** Status of a probe, asked as it is rendered. */
  probe(kind: 'startup' | 'liveness' | 'readiness'): Promise<number>
  /** Ends it, and removes its volumes. */
  close(): Promise<void>
}

/** A pod has an address of its own: here it is loopback, and the system chooses the port. */
export const podNetwork: readonly Translation[] = [
  ['0.0.0.0:9191', '127.0.0.1:0'],
  ['0.0.0.0:9465', '127.0.0.1:0'],
]

/** Starts the Deployment's container with its rendered arguments and environment, each in its place. */
export async function startPod(
  objects: readonly KubeObject[],
  given: { readonly [name: string]: { readonly [file: string]: string } } = {},
): Promise<RunningPod> {
  const { pod, container } = serverContainer(objects)
  const volumes = await mountVolumes(objects, pod, container, given)
  try {
    const args = translateArguments(container, [...volumes.translations, ...podNetwork])
    const meshbind = await startCommand(args, { env: environmentOf(container) })
    const listening = await meshbind.waitFor(({ message }) => message === 'listening')
    return {
      meshbind,
      container,
      args,
      volumes,
      async probe(kind) {
        const { path, port } = container[`${kind}Probe`]?.httpGet ?? {}
        if (!container.ports?.some(({ name }) => name === port))
          throw new Error(`the probe names a port that the container does not: ${port}`)
        return (await fetch(`http://${listening['probe']}${path}`)).status
      },
      async close() {
        // The second signal ends the shutdown delay.
        meshbind.kill('SIGTERM')
        await meshbind.waitFor(({ message }) => message === 'leaving')
        await meshbind.stop()
        await volumes.remove()
      },
    }
  } catch (error) {
    await volumes.remove()
    throw error
  }
}

/** Runs a container that ends by itself: those of `helm test`. */
export function runContainer(container: Container, translations: readonly Translation[]) {
  return runCommand(translateArguments(container, translations), environmentOf(container))
}

/** Argument by argument, so that none is added, dropped or moved. A path that nothing mounts is an error. */
function translateArguments(
  { args }: Container,
  translations: readonly Translation[],
): readonly string[] {
  const translated = args.map((argument) =>
    translate(
      argument,
      translations.filter(([from]) => argument.includes(from)),
    ),
  )
  const left = translated.find((argument) => /\/etc\/|0\.0\.0\.0|\.svc\b/.test(argument))
  if (left !== undefined) throw new Error(`not translated: ${left}`)
  return translated
}

/** The rendered one alone, and where this run keeps compiled modules. */
function environmentOf({ env = [] }: Container): NodeJS.ProcessEnv {
  const cache = process.env['NODE_COMPILE_CACHE']
  return {
    ...(cache === undefined ? {} : { NODE_COMPILE_CACHE: cache }),
    ...Object.fromEntries(env.map(({ name, value }) => [name, value])),
  }
}

/** A directory of its own for what a test writes, inside one that is removed as a whole. */
export async function writeFiles(
  files: { readonly [name: string]: string },
  parent: string,
): Promise<{ readonly directory: string }> {
  const directory = await mkdtemp(join(parent, 'files-'))
  for (const [name, text] of Object.entries(files)) await writeFile(join(directory, name), text)
  return { directory }
}
