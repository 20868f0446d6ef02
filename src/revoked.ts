/** Whether what a request shows has been revoked since it was issued: asked on every request, after the token was verified. */

import { type Refusal, refuse } from './decision/decision.ts'
import type { Presentation } from './evidence/presenter.ts'
import type { RevocationFeed } from './state/revocation-feed.ts'
import type { RevocableFacts, RevocationIndex } from './state/revocations.ts'
import { member } from './strict-json.ts'
import type { VerifiedToken } from './token/verify.ts'

/** What a policy names: its denylist, and the status lists that its issuers publish. */
export interface PolicyRevocation {
  readonly denylist: RevocationIndex | undefined
  /** Judges a token's own reference to a status list (draft-ietf-oauth-status-list). */
  readonly statusLists: { judge(token: VerifiedToken): Refusal | undefined } | undefined
}

/** A feed that was read longer ago could hide what was revoked since (threats F15). */
export const maxFeedAgeSeconds = 300

/**
 * @param token Undefined where the route takes none.
 * @param workload What the workload proved itself with; where it does not say since when, it is old.
 */
export function judgeRevocation(
  token: VerifiedToken | undefined,
  workload: { readonly issuedAt: number | undefined } | undefined,
  { presenter, peer, forwarders, forwarderThumbprints }: Presentation,
  policy: PolicyRevocation,
  feed: RevocationFeed,
  now: number,
): Refusal | undefined {
  if (feed.index === undefined)
    return refuse('state_unavailable', 'the revocations have not been read yet')
  // A clock that was set back counts as time gone by.
  if (feed.readAt !== undefined && Math.abs(now - feed.readAt) > maxFeedAgeSeconds)
    return refuse('revocation_stale', 'the shared revocations')
  const { denylist, statusLists } = policy
  if (feed.index.size > 0 || (denylist !== undefined && denylist.size > 0)) {
    const facts: RevocableFacts = {
      issuer: (token && textOf(member(token.all, 'iss'))) ?? '',
      subject: token?.subject ?? '',
      tokenId: token?.tokenId,
      session: token && textOf(member(token.all, 'sid')),
      keyId: token?.keyId,
      issuedAt: token?.issuedAt ?? 0,
      ...(workload && { shownSince: oldest(token?.issuedAt, workload.issuedAt ?? 0) }),
      workloads: [presenter?.spiffeId, peer, ...forwarders].filter((id) => id !== undefined),
      certificates: [presenter?.x5tS256, ...forwarderThumbprints].filter(
        (each) => each !== undefined,
      ),
    }
    const hit = denylist?.find(facts, now) ?? feed.index.find(facts, now)
    if (hit !== undefined) return refuse(hit === 'token' ? 'token_revoked' : 'presenter_revoked')
  }
  return token && statusLists?.judge(token)
}

function oldest(token: number | undefined, workload: number): number {
  return token === undefined ? workload : Math.min(token, workload)
}

function textOf(value: unknown): string | undefined {
  return typeof value === 'string' ? value : undefined
}
