/** What the fuzzer's two threads say to each other. */

import type { Report } from './engine.ts'

export interface WorkerInput {
  /** Two counts, executions and bytes, and then the bytes of the input under way. */
  readonly shared: SharedArrayBuffer
}

export const headBytes = 8

export interface Order {
  readonly name: string
  readonly seed: number
  readonly budgetMs: number
}

export type WorkerAnswer = { readonly ready: true } | { readonly report: Report }
