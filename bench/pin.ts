/** Keeps a process on one core, so that "on one core" is what it says and the load generator does not share it. */

import { execFile } from 'node:child_process'
import { cpus } from 'node:os'
import { promisify } from 'node:util'

/** Where servers run, one after the other, and where the load comes from. */
export const serverCore = 0
export const loadCore = 1

/** All threads of the process. False where it cannot be done: one core, or no taskset (util-linux). */
export async function pin(pid: number, core: number): Promise<boolean> {
  if (cpus().length < 2) return false
  return promisify(execFile)('taskset', ['-a', '-c', '-p', String(core), String(pid)]).then(
    () => true,
    () => false,
  )
}
