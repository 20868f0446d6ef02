/** Judges for tests of what stands around a check: they decide as they are told, and soften nothing. */

import { denyOutright } from '../../src/decision/decision.ts'
import type { HandlerOptions, Judge } from '../../src/wire/handler.ts'

export function judgeBy(decide: Judge['decide']): HandlerOptions['judge'] {
  const judge: Judge = { decide, refuse: ({ refused, detail }) => denyOutright(refused, detail) }
  return () => judge
}
