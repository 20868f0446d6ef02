/** The thread in which a long policy or denylist is parsed: one text in, what was found in it out. */

import { parentPort, workerData } from 'node:worker_threads'
import { type ParseKind, parsers } from './parse-aside.ts'

const { kind, text } = workerData as { readonly kind: ParseKind; readonly text: string }
parentPort?.postMessage(parsers[kind](text))
