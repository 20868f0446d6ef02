/** The policy in force: loaded at the start, replaced whole when its file changes, kept when what is on disk cannot be used. */

import { setTimeout as sleep } from 'node:timers/promises'
import { CommandError } from '../exit.ts'
import { durationSeconds } from '../policy/duration.ts'
import { type PolicyFile, readPolicies } from '../policy/manifest.ts'
import { maxPolicyLength } from '../policy/parse.ts'
import { type Problem, pathText, renderProblem } from '../policy/problem.ts'
import type { PolicyDocument } from '../policy/schema.ts'
import { type FileWatch, watchFile } from './file-watch.ts'
import { type LivePolicy, type LivePolicyOptions, startPolicy } from './live-policy.ts'
import { parsePoliciesAside } from './parse-aside.ts'
import { readTextFile } from './read-file.ts'

export type ReloadResult = 'ok' | 'invalid' | 'unreadable'

export interface PolicyKeeper {
  readonly current: LivePolicy
  /** Unix seconds. */
  readonly loadedAt: number
  /** Why what is on disk is not what is in force. */
  readonly problem: string | undefined
  close(): void
}

export interface PolicyKeeperOptions extends Omit<LivePolicyOptions, 'text' | 'previous'> {
  /** Warnings of a policy that is taken. */
  readonly onWarning: (problem: Problem) => void
  /** What became of a change; `problems` is empty where it was taken. */
  readonly onReload: (
    result: ReloadResult,
    live: LivePolicy,
    problems: readonly ReloadProblem[],
  ) => void
  readonly onSwap: (live: LivePolicy) => void
}

/** For the log: where, what, and what to do. The text of the line itself stays out of it. */
export interface ReloadProblem {
  readonly message: string
  readonly line?: number
  readonly column?: number
  readonly path?: string
  readonly advice?: string
}

/** How long a reload waits for the sources that it adds. */
const newSourcesTriedWithinMs = 3000
const maxFileBytes = 4 * maxPolicyLength
const nothingStarted = 'The policy is not valid; nothing was started.'

/** Rejects with what is wrong and where if the policy cannot be used at the start. */
export async function keepPolicy(options: PolicyKeeperOptions): Promise<PolicyKeeper> {
  const { file } = options
  let text = await readTextFile(file, maxFileBytes).catch((error: Error) => {
    throw new CommandError(error.message)
  })
  const first = readOne(readPolicies(text))
  if (!first.ok) throw new CommandError(`${first.rendered(file, text)}\n${nothingStarted}`)
  let live = startPolicy(first.policy, { ...options, text: first.text })
  const missing = await live.parts.missing()
  if (missing.length > 0) throw new CommandError([...missing, nothingStarted].join('\n'))
  first.warnings.forEach(options.onWarning)
  let loadedAt = options.clock()
  /** The file cannot be read; what it holds cannot be used. */
  let trouble: string | undefined
  let flaw: string | undefined

  /** Whole or not at all: until the swap the policy before stays in force. */
  async function take(changed: string): Promise<'again' | undefined> {
    if (changed === text) {
      if (flaw !== undefined) options.onReload('ok', live, [])
      flaw = undefined
      return undefined
    }
    const found = await parsePoliciesAside(changed).then(readOne, unparsed)
    if (!found.ok) {
      refuse(found.problems)
      return undefined
    }
    const next = startPolicy(found.policy, { ...options, text: found.text, previous: live })
    const limit = sleep(newSourcesTriedWithinMs, undefined, { ref: false })
    await Promise.race([next.parts.tried(), limit])
    const missing = await next.parts.missing()
    if (missing.length > 0) {
      next.parts.close(live.parts)
      refuse(missing.map((message) => ({ message })))
      // What is missing may come without another change of the policy: a ConfigMap of its own, say.
      return 'again'
    }
    const before = live
    const now = options.clock()
    const forgets = forgetsProofs(before.document, found.policy)
    const since = forgets ? now : before.proofsSince
    // It is held against `iat` less the skew of the policy in force; under the one before, that was another second.
    const shift = skewOf(before.document) - skewOf(found.policy)
    live = { ...next, proofsSince: since === undefined ? undefined : since + shift }
    ;[text, loadedAt, flaw] = [changed, now, undefined]
    options.onSwap(live)
    before.parts.close(live.parts)
    found.warnings.forEach(options.onWarning)
    options.onReload('ok', live, [])
    return undefined
  }

  /** Told once, however often it is found. */
  function refuse(problems: readonly ReloadProblem[]): void {
    const told = `the policy on disk is not valid: ${problems[0]?.message ?? ''}`
    if (told === flaw && problems.every(({ line }) => line === undefined)) return
    flaw = told
    options.onReload('invalid', live, problems)
  }

  const watch: FileWatch = watchFile({
    path: file,
    maxBytes: maxFileBytes,
    onContent: take,
    onTrouble(problem) {
      trouble = problem
      if (problem !== undefined) options.onReload('unreadable', live, [{ message: problem }])
    },
  })
  return {
    get current() {
      return live
    },
    get loadedAt() {
      return loadedAt
    },
    get problem() {
      return trouble ?? flaw
    },
    close() {
      watch.close()
      live.parts.close()
    },
  }
}

type Reading =
  | {
      readonly ok: true
      readonly policy: PolicyDocument
      readonly text: string
      readonly warnings: readonly Problem[]
    }
  | {
      readonly ok: false
      readonly problems: readonly ReloadProblem[]
      readonly rendered: (file: string, source: string) => string
    }

function unparsed({ message }: Error): Reading {
  return { ok: false, problems: [{ message }], rendered: (file) => `${file}: ${message}` }
}

/** The one policy of a file. */
function readOne([found, ...others]: readonly PolicyFile[]): Reading {
  if (found === undefined || others.length > 0) {
    const message = 'holds more than one policy'
    return { ok: false, problems: [{ message }], rendered: (file) => `${file}: ${message}` }
  }
  const { result, text } = found
  if (result.ok) return { ok: true, policy: result.policy, text, warnings: result.warnings }
  const { problems } = result
  return {
    ok: false,
    problems: problems.map(({ path, severity: _, ...rest }) => ({ ...rest, path: pathText(path) })),
    rendered: (file, text) =>
      problems.map((problem) => renderProblem(problem, file, text)).join('\n'),
  }
}

/**
 * Whether a proof that was spent could be taken once more: under another policy name it has another key, and where
 * proofs may be older than before, the store has forgotten some that are young enough again.
 */
function forgetsProofs(before: PolicyDocument, after: PolicyDocument): boolean {
  return before.metadata.name !== after.metadata.name || windowOf(after) > windowOf(before)
}

function windowOf(document: PolicyDocument): number {
  return durationSeconds(document.spec.dpop?.maxAge ?? '60s') + skewOf(document)
}

function skewOf({ spec }: PolicyDocument): number {
  return durationSeconds(spec.clockSkew ?? '30s')
}
