/** Keeps a process on one core (`BENCH_PIN=1`), so that "on one core" is what it says and the load does not share it. */

import { execFile } from 'node:child_process'
import { promisify } from 'node:util'

/** Where servers run, one after the other, and where the load comes from. */
export const serverCore = 0
export const loadCore = 1

/** All threads of the process, by taskset (util-linux). Rejects where that is not to be had. */
export async function pin(pid: number, core: number): Promise<void> {
  await promisify(execFile)('taskset', ['-a', '-c', '-p', String(core), String(pid)])
}
