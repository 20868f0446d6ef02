/** `node check-release.ts TAG`: what would make a release wrong, all of it at once, before anything is published. */

import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parse } from 'yaml'

type Environment = { readonly [name: string]: string | undefined }

export function findReleaseProblems(
  root: string,
  tag: string,
  environment: Environment,
): readonly string[] {
  const read = (path: string) => readFileSync(join(root, path), 'utf8')
  const { version, repository } = JSON.parse(read('package.json'))
  const chart = parse(read('helm/meshbind/Chart.yaml'))
  const problems: string[] = []
  const demand = (holds: boolean, problem: string) => {
    if (!holds) problems.push(problem)
  }
  demand(tag === `v${version}`, `the tag is ${tag}, and package.json has version ${version}`)
  demand(
    String(chart.appVersion) === version,
    `the chart's appVersion is ${chart.appVersion}, and package.json has version ${version}`,
  )
  demand(
    read('CHANGELOG.md').includes(`\n## [${version}]`),
    `CHANGELOG.md has no section [${version}]`,
  )
  demand(
    typeof repository?.url === 'string',
    'package.json has no repository.url: npm refuses provenance without it',
  )
  for (const name of ['IMAGE_REPOSITORY', 'CHART_REPOSITORY'])
    demand(Boolean(environment[name]), `the repository's variable ${name} is not set`)
  return [...problems, ...findUnpinnedActions(root)]
}

/** A tag of an action can be moved by whoever owns it; the hash of a commit cannot. */
export function findUnpinnedActions(root: string): readonly string[] {
  const directory = join(root, '.github/workflows')
  return readdirSync(directory).flatMap((name) =>
    readFileSync(join(directory, name), 'utf8')
      .split('\n')
      .flatMap((line, index) => {
        const used = /^[\s-]*["']?uses["']?\s*:\s*["']?([^\s"'#]+)/.exec(line)?.[1]
        if (used === undefined || used.startsWith('./') || /@[0-9a-f]{40}$/.test(used)) return []
        return [`${name}:${index + 1}: ${used} is not pinned to a commit (docs/releasing.md)`]
      }),
  )
}

if (import.meta.main) {
  const root = fileURLToPath(new URL('../..', import.meta.url))
  const problems = findReleaseProblems(root, process.argv[2] ?? '', process.env)
  for (const problem of problems) process.stderr.write(`${problem}\n`)
  process.exitCode = problems.length === 0 ? 0 : 1
}
