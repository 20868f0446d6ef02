/** The policy in force: loaded at the start, replaced whole when its file changes, kept when what is on disk cannot be used. */

import { badInput, CommandError } from '../exit.ts'
import { maxPolicyFileBytes, readPolicies } from '../policy/manifest.ts'
import type { Problem } from '../policy/problem.ts'
import {
  clockSkewSecondsOf,
  proofLifetimeSecondsOf,
  proofMaxAgeSecondsOf,
} from '../policy/requirement.ts'
import type { PolicyDocument } from '../policy/schema.ts'
import { endsWithin } from '../time-limit.ts'
import { type FileWatch, watchFile } from './file-watch.ts'
import { type LivePolicy, type LivePolicyOptions, startPolicy } from './live-policy.ts'
import { type ReloadProblem, readOnlyPolicy, unparsed } from './only-policy.ts'
import { parsePoliciesAside } from './parse-aside.ts'
import { readTextFile } from './read-file.ts'

export type ReloadResult = 'ok' | 'invalid' | 'unreadable'

export interface PolicyKeeper {
  readonly current: LivePolicy
  /** Unix seconds. */
  readonly loadedAt: number
  /** Why what is on disk is not what is in force. */
  readonly problem: string | undefined
  /** For a process that is to begin with it. */
  readonly inForce: InForce
  close(): void
}

/** A policy, and which of the proofs that were spent before are unknown under it. */
export interface InForce {
  /** Of its file. */
  readonly text: string
  readonly proofsSince: number | undefined
  /** The latest second that a proof spent so far may count as made in, under that policy. */
  readonly spentUntil: number
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
  /** To begin with, in place of what the file holds; its changes are taken as ever. */
  readonly inForce?: InForce | undefined
}

/** How long a reload waits for the sources that it adds. */
const newSourcesTriedWithinMs = 3000
const nothingStarted = 'The policy is not valid; nothing was started.'

/** Rejects with what is wrong and where if the policy cannot be used at the start. */
export async function keepPolicy(options: PolicyKeeperOptions): Promise<PolicyKeeper> {
  const { file, inForce } = options
  let text = inForce?.text ?? (await readTextFile(file, maxPolicyFileBytes).catch(badInput))
  const first = readOnlyPolicy(readPolicies(text))
  if (!first.ok) throw new CommandError(`${first.rendered(file, text)}\n${nothingStarted}`)
  let live = startPolicy(first.policy, { ...options, text: first.text })
  const missing = await live.parts.missing()
  if (missing.length > 0) throw new CommandError([...missing, nothingStarted].join('\n'))
  first.warnings.forEach(options.onWarning)
  let loadedAt = options.clock()
  let { spentUntil } = inForce ?? { spentUntil: Number.NEGATIVE_INFINITY }
  live = { ...live, proofsSince: inForce?.proofsSince }
  /** A proof may have been spent by a clock that was ahead, and has been set right. */
  let latest = loadedAt
  const lookAtClock = () => {
    latest = Math.max(latest, options.clock())
  }
  const ticking = setInterval(lookAtClock, 1000).unref()
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
    const found = await parsePoliciesAside(changed).then(readOnlyPolicy, unparsed)
    if (!found.ok) {
      refuse(found.problems)
      return undefined
    }
    const next = startPolicy(found.policy, { ...options, text: found.text, previous: live })
    await endsWithin(newSourcesTriedWithinMs, next.parts.tried(), { ref: false })
    const missing = await next.parts.missing()
    if (missing.length > 0) {
      next.parts.close(live.parts)
      refuse(missing.map((message) => ({ message })))
      // What is missing may come without another change of the policy: a ConfigMap of its own, say.
      return 'again'
    }
    const before = live
    const now = options.clock()
    lookAtClock()
    const forgets = forgetsProofs(before.document, found.policy)
    const shift = shrinkageOf(before.document, found.policy)
    spentUntil = Math.max(latest, spentUntil) + shift
    const { proofsSince } = before
    const shifted = proofsSince === undefined ? undefined : proofsSince + shift
    live = { ...next, proofsSince: forgets ? spentUntil : shifted }
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
    maxBytes: maxPolicyFileBytes,
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
    get inForce() {
      return { text, proofsSince: live.proofsSince, spentUntil }
    },
    close() {
      clearInterval(ticking)
      watch.close()
      live.parts.close()
    },
  }
}

/**
 * Whether a proof that was spent could be taken once more: under another policy name it has another key, and where
 * proofs may be older than before, the store has forgotten some that are young enough again.
 */
function forgetsProofs(before: PolicyDocument, after: PolicyDocument): boolean {
  const windows = windowsOf(before)
  return (
    before.metadata.name !== after.metadata.name ||
    windowsOf(after).some((window, i) => window > (windows[i] ?? 0))
  )
}

/** DPoP, WPT, and the skew alone: a WPT is taken that much longer than it says. */
function windowsOf({ spec }: PolicyDocument): readonly [dpop: number, wpt: number, skew: number] {
  const skew = clockSkewSecondsOf(spec)
  return [proofMaxAgeSecondsOf(spec.dpop) + skew, proofLifetimeSecondsOf(spec.wimse) + skew, skew]
}

/**
 * `proofsSince` is held against the time from which a proof could be taken under the policy in force: `iat` less the
 * skew, or `exp` less lifetime and skew. Under the one before, that was another second.
 */
function shrinkageOf(before: PolicyDocument, after: PolicyDocument): number {
  const [, wpt, skew] = windowsOf(before)
  const [, wptAfter, skewAfter] = windowsOf(after)
  return Math.max(skew - skewAfter, wpt - wptAfter)
}
