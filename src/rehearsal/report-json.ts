/** The report as one JSON object, for programs. */

import { countTests, type Outcome, type Results } from './result.ts'

export function reportJson({ files, gaps }: Results): string {
  const report = {
    v: 1,
    ...countTests(files),
    files: files.map(({ file, policyFile, policyName, revision, tests, routes }) => ({
      file,
      policy: { file: policyFile, name: policyName, revision },
      tests: tests.map(({ name, line, passed, expected, got }) => ({
        name,
        line,
        passed,
        expected: { decision: expected.verdict, reason: expected.reason ?? null },
        got: outcomeJson(got),
      })),
      routes,
    })),
    gaps: gaps.map(({ policyFile, route, kind }) => ({ policy: policyFile, route, kind })),
  }
  return `${JSON.stringify(report, null, 2)}\n`
}

function outcomeJson({ verdict, reason, detail, route, mode, method, presenter }: Outcome): object {
  return {
    decision: verdict,
    enforced: mode === 'enforce',
    mode,
    reason: reason ?? null,
    detail: detail === '' ? null : detail,
    route: route ?? null,
    method: method ?? null,
    presenter: presenter ?? null,
  }
}
