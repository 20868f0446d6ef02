#!/usr/bin/env node
/** The process: arguments → command → exit code. */

import { CommanderError } from 'commander'
import { createProgram } from './cli/program.ts'
import { CommandError, exitCode } from './exit.ts'

try {
  await createProgram((code) => {
    process.exitCode = code
  }).parseAsync()
} catch (error) {
  // Something may be listening already: what could not start must not stay.
  process.exit(report(error))
}

/** Commander has printed its own message already; a stack trace means a bug. */
function report(error: unknown): number {
  if (error instanceof CommanderError)
    return error.exitCode === 0 ? exitCode.good : exitCode.badInput
  if (error instanceof CommandError) {
    process.stderr.write(`${error.message}\n`)
    return error.code
  }
  process.stderr.write(
    `meshbind could not go on: ${error instanceof Error ? error.stack : String(error)}\n`,
  )
  return exitCode.couldNotRun
}
