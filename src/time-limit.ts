/** Waits for work, and no longer than a limit. */

export interface LimitOptions {
  /** False: the wait by itself does not keep the process alive. */
  readonly ref?: boolean
}

/** What the work gives, or rejects with; once the limit has passed what `late` gives, or throws. What comes later is nobody's. */
export async function inTime<Value>(
  limitMs: number,
  work: Promise<Value>,
  late: () => Value,
  { ref = true }: LimitOptions = {},
): Promise<Value> {
  let timer: NodeJS.Timeout | undefined
  const limit = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, limitMs)
    if (!ref) timer.unref()
  })
  try {
    return await Promise.race([work, limit.then(late)])
  } finally {
    clearTimeout(timer)
  }
}

/** Whether the work ended in time, well; rejects as it does. */
export function endsWithin(
  limitMs: number,
  work: Promise<unknown>,
  options?: LimitOptions,
): Promise<boolean> {
  const ended = work.then(() => true)
  return inTime(limitMs, ended, () => false, options)
}
