/** Waits for work, and no longer than a limit. */

export interface LimitOptions {
  /** False: the wait by itself does not keep the process alive. */
  readonly ref?: boolean
}

/** Whether the work ended in time, well; rejects as it does. What comes later is nobody's. */
export async function endsWithin(
  limitMs: number,
  work: Promise<unknown>,
  { ref = true }: LimitOptions = {},
): Promise<boolean> {
  let timer: NodeJS.Timeout | undefined
  const limit = new Promise<boolean>((resolve) => {
    timer = setTimeout(resolve, limitMs, false)
    if (!ref) timer.unref()
  })
  try {
    return await Promise.race([work.then(() => true), limit])
  } finally {
    clearTimeout(timer)
  }
}
