/** Finds the test files, reads each with its policy, and gathers every problem of all of them as text. */

import { readdir, stat } from 'node:fs/promises'
import { dirname, join, relative, resolve } from 'node:path'
import { maxPolicyFileBytes, readPolicies } from '../policy/manifest.ts'
import { error, type Problem, renderProblem, type Unplaced } from '../policy/problem.ts'
import { readTextFile } from '../service/read-file.ts'
import { findTestLines, maxTestLength, readTest } from './document.ts'
import { findIdleHeaders, findTestProblems, findUnknownIssuers } from './meaning.ts'
import type { TestFile } from './run.ts'

export type Loaded =
  | { readonly ok: true; readonly files: readonly TestFile[] }
  /** Each as it is shown to people. */
  | { readonly ok: false; readonly problems: readonly string[] }

const suffix = '.test.yaml'
const maxTestBytes = 4 * maxTestLength

/** @param paths Directories, searched with all below them, or single files. Throws where one cannot be read. */
export async function loadTests(paths: readonly string[]): Promise<Loaded> {
  const found = (await Promise.all(paths.map((path) => findTestFiles(shownPath(path))))).flat()
  const files = [...new Set(found)].toSorted()
  if (files.length === 0) {
    const where = paths.join(', ')
    return {
      ok: false,
      problems: [
        `no test found in ${where}: give a directory that holds files whose names end in ${suffix}`,
      ],
    }
  }
  const read = await Promise.all(files.map(readTestFile))
  const problems = read.flatMap((each) => (each.ok ? [] : each.problems))
  // Several tests of one policy show its problems once.
  return problems.length > 0
    ? { ok: false, problems: [...new Set(problems)] }
    : { ok: true, files: read.flatMap((each) => (each.ok ? [each.file] : [])) }
}

/** Relative to where the command runs: as people and annotations name files. */
function shownPath(path: string): string {
  return relative('', resolve(path)) || '.'
}

/** Hidden directories and installed packages hold no tests of the operator's. */
async function findTestFiles(path: string): Promise<string[]> {
  const found = await stat(path).catch(() => undefined)
  if (found === undefined) throw new Error(`${path}: there is no such file or directory`)
  if (!found.isDirectory()) return [path]
  const entries = await readdir(path, { withFileTypes: true })
  const inner = await Promise.all(
    entries.map((entry) => {
      const inside = join(path, entry.name)
      if (entry.isDirectory())
        return /^\.|^node_modules$/.test(entry.name) ? [] : findTestFiles(inside)
      return entry.name.endsWith(suffix) ? [inside] : []
    }),
  )
  return inner.flat()
}

type ReadFile =
  | { readonly ok: true; readonly file: TestFile }
  | { readonly ok: false; readonly problems: readonly string[] }

/** The test with its policy, or what is wrong with either. */
async function readTestFile(file: string): Promise<ReadFile> {
  const source = await readTextFile(file, maxTestBytes)
  const reading = readTest(source, findTestProblems)
  if (!reading.ok) return refused(reading.problems, file, source)
  const test = reading.value
  const refuse = (...found: readonly Unplaced[]): ReadFile => {
    const again = readTest(source, () => found)
    return refused(again.ok ? [] : again.problems, file, source)
  }

  const policyFile = shownPath(resolve(dirname(file), test.policy))
  const policySource = await readTextFile(policyFile, maxPolicyFileBytes).catch(
    (cause: Error) => cause,
  )
  if (policySource instanceof Error) {
    const advice = 'The name is relative to the directory of this file.'
    return refuse(error(['policy'], `cannot be read: ${policySource.message}`, advice))
  }
  const policies = readPolicies(policySource)
  const [only] = policies
  if (only === undefined || policies.length > 1)
    return refuse(error(['policy'], `holds ${policies.length} policies; a test is about one`))
  const { result, text: policyText } = only
  if (!result.ok) return refused(result.problems, policyFile, policySource)
  const { policy } = result
  const { issuers } = policy.spec
  const misfits = [
    ...findUnknownIssuers(test, Object.keys(issuers)),
    ...findIdleHeaders(test, issuers),
  ]
  if (misfits.length > 0) return refuse(...misfits)
  const lines = findTestLines(source, test)
  return { ok: true, file: { file, test, lines, policyFile, policy, policyText } }
}

function refused(problems: readonly Problem[], file: string, source: string): ReadFile {
  return { ok: false, problems: problems.map((problem) => renderProblem(problem, file, source)) }
}
