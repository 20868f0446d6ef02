/** `meshbind policy validate`: every problem of every file at once, each with its place and what to do. */

import { badInput, exitCode } from '../exit.ts'
import { revisionOf } from '../policy/compile.ts'
import { maxPolicyFileBytes, type PolicyFile, readPolicies } from '../policy/manifest.ts'
import { type Problem, pathText, renderProblem } from '../policy/problem.ts'
import type { PolicyDocument } from '../policy/schema.ts'
import { decodeText, readBoundedInput, readTextFile } from '../service/read-file.ts'
import { paint } from './terminal.ts'

/** @returns the exit code: 0 if every file is valid (warnings allowed), 2 if one is not. */
export async function validatePolicies(files: readonly string[], output: string): Promise<number> {
  const reports = await Promise.all(files.map(inspect))
  if (output === 'json')
    process.stdout.write(`${JSON.stringify({ files: reports.map(asJson) }, null, 2)}\n`)
  else process.stdout.write(`${reports.map(asText).join('\n')}\n`)
  return reports.every(({ policies }) => policies.every(({ result }) => result.ok))
    ? exitCode.good
    : exitCode.badInput
}

interface Report {
  readonly file: string
  readonly source: string
  readonly policies: readonly PolicyFile[]
}

async function inspect(file: string): Promise<Report> {
  const name = file === '-' ? 'standard input' : file
  const source = await (file === '-'
    ? readBoundedInput(maxPolicyFileBytes).then((bytes) => decodeText(bytes, name))
    : readTextFile(file, maxPolicyFileBytes)
  ).catch(badInput)
  return { file: name, source, policies: readPolicies(source) }
}

function problemsOf({ result }: PolicyFile): readonly Problem[] {
  return result.ok ? result.warnings : result.problems
}

function asText({ file, source, policies }: Report): string {
  return policies
    .map((policy) => {
      const problems = problemsOf(policy).map((problem) => renderProblem(problem, file, source))
      const { result, text } = policy
      const summary = result.ok
        ? `${paint('green', 'valid')}  ${file}: ${describe(result.policy, text)}`
        : `${paint('red', 'INVALID')}  ${file}: ${count(result.problems, 'error')}, ${count(result.problems, 'warning')}`
      return [...problems, summary].join('\n')
    })
    .join('\n')
}

/** Name, revision, and what each route does, so that an operator sees what is going to be in force. */
function describe(policy: PolicyDocument, text: string): string {
  const { routes, mode: defaultMode = 'enforce' } = policy.spec
  const width = Math.max(...routes.map((route) => route.name.length))
  const lines = routes.map((route) => {
    const needs =
      route.require === 'none' ? 'unprotected' : `one of ${route.require.bindings.join(', ')}`
    const mode = route.mode ?? defaultMode
    return `  ${route.name.padEnd(width)}  ${mode.padEnd(8)}  ${needs}`
  })
  return [`policy ${policy.metadata.name}, revision ${revisionOf(text)}`, ...lines].join('\n')
}

function asJson({ file, policies }: Report): object {
  return {
    file,
    policies: policies.map((policy) => ({
      valid: policy.result.ok,
      name: policy.result.ok ? policy.result.policy.metadata.name : null,
      revision: policy.result.ok ? revisionOf(policy.text) : null,
      problems: problemsOf(policy).map(({ path, ...problem }) => ({
        ...problem,
        path: pathText(path),
      })),
    })),
  }
}

function count(problems: readonly Problem[], severity: Problem['severity']): string {
  const n = problems.filter((problem) => problem.severity === severity).length
  return `${n} ${severity}${n === 1 ? '' : 's'}`
}
