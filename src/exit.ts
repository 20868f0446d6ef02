/** Exit codes of every command (contract §1), and the error that carries one. */

export const exitCode = {
  good: 0,
  /** The answer is no: a test failed, a check was denied. */
  no: 1,
  /** Bad usage, policy or input. */
  badInput: 2,
  couldNotRun: 3,
} as const

/** Ends a command with a message on standard error. */
export class CommandError extends Error {
  readonly code: number

  constructor(message: string, code: number = exitCode.badInput) {
    super(message)
    this.code = code
  }
}

/** For what readers reject with: their messages name what is wrong, and with what. */
export function badInput(error: Error): never {
  throw new CommandError(error.message)
}

/** What was asked for is sound, and cannot be done here: a port that is taken, say. */
export function cannotRun(error: unknown): never {
  if (error instanceof CommandError) throw error
  throw new CommandError(
    error instanceof Error ? error.message : 'could not start',
    exitCode.couldNotRun,
  )
}
