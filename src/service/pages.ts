/** The pages of the admin listener, and of the probe listener, which has a part of them (contract §8). */

import { jsonPage, type PageMaker } from '../admin/server.ts'
import { readNeeds } from '../observe/evidence-seen.ts'
import { renderRolloutPage, rolloutContentPolicy } from '../observe/rollout-page.ts'
import { isUnprotected } from '../policy/compile.ts'
import type { Figures } from './figures.ts'
import type { PolicyKeeper } from './policy-keeper.ts'

export interface PageOptions {
  readonly keeper: PolicyKeeper
  readonly figures: Figures
  /** One each; undefined where this process answers the checks itself. */
  readonly workers: () => readonly object[] | undefined
  /** What readiness still waits for, in words; empty when ready. */
  readonly waitingFor: () => readonly string[]
  /** Unix milliseconds. */
  readonly clock: () => number
}

export function adminPages(options: PageOptions): ReadonlyMap<string, PageMaker> {
  const { keeper, figures, waitingFor, workers } = options
  return new Map<string, PageMaker>([
    ['/livez', () => jsonPage({ live: true })],
    [
      '/readyz',
      () => {
        const waiting = waitingFor()
        const ready = waiting.length === 0
        const state = { ready, waitingFor: waiting, policy: describePolicy(keeper) }
        return jsonPage(state, ready ? 200 : 503)
      },
    ],
    [
      '/metrics',
      async () => {
        const { contentType, text } = await figures.metrics()
        return { contentType, body: text }
      },
    ],
    [
      '/policy',
      () => {
        const fleet = workers()
        return jsonPage({
          ...describePolicy(keeper),
          ...(fleet && { workers: fleet }),
          routes: describeRoutes(keeper),
        })
      },
    ],
    [
      '/evidence',
      async () =>
        jsonPage({
          policy: readNeeds(keeper.current.policy),
          evidence: await figures.evidence(),
        }),
    ],
    [
      '/',
      async () => ({
        contentType: 'text/html; charset=utf-8',
        headers: {
          'content-security-policy': `${rolloutContentPolicy}; frame-ancestors 'none'`,
          'referrer-policy': 'no-referrer',
        },
        body: renderRolloutPage(await figures.rollout(), options.clock()),
      }),
    ],
  ])
}

/** What kubelet and Prometheus ask for. The others name workloads, and have no place where every pod may look. */
const probed = ['/livez', '/readyz', '/metrics']

export function probePages(pages: ReadonlyMap<string, PageMaker>): ReadonlyMap<string, PageMaker> {
  return new Map([...pages].filter(([path]) => probed.includes(path)))
}

function describePolicy({ current, loadedAt, problem }: PolicyKeeper) {
  const { name, revision } = current.policy
  const loaded = new Date(loadedAt * 1000).toISOString()
  return { name, revision, loaded_at: loaded, problem: problem ?? null }
}

function describeRoutes({ current }: PolicyKeeper) {
  return current.policy.routes.map(({ name, mode, require }) => ({
    name,
    mode,
    bindings: isUnprotected(require) ? [] : [...require.bindings],
  }))
}
