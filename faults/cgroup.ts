/** A control group for one process, where this machine lets one be made: memory or CPU, version 1 or 2. */

import { existsSync, mkdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'

export type Controller = 'memory' | 'cpu'

const root = '/sys/fs/cgroup'

export interface ControlGroup {
  add(pid: number): void
  /** Of memory; throws where the kernel cannot do it now. */
  limitBytes(bytes: number): void
  /** Of one core; 0.1 for a tenth. */
  limitCores(cores: number): void
  /** How often a process of it had to wait for its share of CPU. */
  throttled(): number
  /** Back to where processes are without a group. */
  release(pid: number): void
  remove(): Promise<void>
}

/** Why there can be none, or undefined. */
export function whyNoControlGroup(controller: Controller): string | undefined {
  const probe = `meshbind-probe-${process.pid}`
  const place = placeOf(controller, probe)
  if (place === undefined) return `no ${controller} controller below ${root}`
  try {
    mkdirSync(place)
    rmdirSync(place)
    return undefined
  } catch (error) {
    return `no control group can be made: ${error instanceof Error ? error.message : error}`
  }
}

export function createControlGroup(controller: Controller): ControlGroup {
  const place = placeOf(controller, `meshbind-faults-${process.pid}-${controller}`)
  if (place === undefined) throw new Error(`no ${controller} controller below ${root}`)
  mkdirSync(place, { recursive: true })
  const first = existsSync(join(root, controller))
  const write = (name: string, value: string | number) =>
    writeFileSync(join(place, name), String(value))
  const periodMicroseconds = 100_000
  return {
    add: (pid) => write('cgroup.procs', pid),
    limitBytes: (bytes) => write(first ? 'memory.limit_in_bytes' : 'memory.max', Math.round(bytes)),
    limitCores(cores) {
      const quota = Math.round(cores * periodMicroseconds)
      if (first) write('cpu.cfs_quota_us', quota)
      else write('cpu.max', `${quota} ${periodMicroseconds}`)
    },
    throttled: () =>
      Number(/nr_throttled (\d+)/.exec(readFileSync(join(place, 'cpu.stat'), 'utf8'))?.[1] ?? 0),
    release: (pid) =>
      writeFileSync(join(root, first ? controller : '', 'cgroup.procs'), String(pid)),
    async remove() {
      // A group can go once its last process has gone from it.
      for (let n = 0; n < 50; n++) {
        try {
          rmdirSync(place)
          return
        } catch {
          await sleep(100)
        }
      }
    },
  }
}

function placeOf(controller: Controller, name: string): string | undefined {
  if (existsSync(join(root, controller, 'cgroup.procs'))) return join(root, controller, name)
  const unified = join(root, 'cgroup.controllers')
  if (!existsSync(unified)) return undefined
  return readFileSync(unified, 'utf8').includes(controller) ? join(root, name) : undefined
}
