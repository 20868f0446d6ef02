/** The load: requests at a steady rate whatever becomes of them, each held against the oracle's word, counted by phase. */

import { setTimeout as sleep } from 'node:timers/promises'
import type { Craft, Wire } from './craft.ts'
import type { RequestFacts } from './facts.ts'
import { type Expectation, expect, type OracleWorld } from './oracle.ts'
import type { Outcome, Sender } from './send.ts'
import { addOutcome, createTally, type Tally } from './tally.ts'
import type { Traffic } from './traffic.ts'

/** A request belongs to the phase in which it was sent. */
export const phases = ['warming', 'before', 'during', 'settling', 'after'] as const
export type Phase = (typeof phases)[number]

export interface LoadOptions {
  readonly traffic: Traffic
  readonly craft: Craft
  readonly sender: Sender
  readonly world: OracleWorld
  /** Requests per second. */
  readonly rate: number
  readonly port: () => number
  /** Unix seconds, by meshbind's clock. */
  readonly now: () => number
}

export interface Load {
  readonly tallies: { readonly [phase in Phase]: Tally }
  enter(phase: Phase): void
  /** Where it holds, a sound request may be refused: what it needs is changing at this moment. A theft stays a theft. */
  doubt(about: (facts: RequestFacts) => boolean): void
  /** Whether either answer is right, of whatever is asked: the clock by which it is judged is changing. */
  doubtAll(changing: boolean): void
  /** When the last sound request was refused that should have passed: milliseconds since `enter(phase)`; 0 if none was. */
  lastRefusalMs(phase: Phase): number
  /** One request outside the load, judged and counted like the others. */
  ask(facts: RequestFacts, again?: Wire): Promise<Outcome>
  /** Sends no more, and waits for the answers that are outstanding. */
  stop(): Promise<void>
}

const tickMs = 10
/** After a pause of this process nothing is made up for beyond this. */
const maxBurstSeconds = 0.25

export function startLoad(options: LoadOptions): Load {
  const { traffic, craft, sender, world, rate } = options
  const tallies = {
    ...{ warming: createTally(), before: createTally(), during: createTally() },
    ...{ settling: createTally(), after: createTally() },
  }
  const enteredAt = new Map<Phase, number>()
  const lastRefusal = new Map<Phase, number>()
  let phase: Phase = 'warming'
  let doubted = (_: RequestFacts) => false
  let allDoubted = false
  let stopped = false
  const underWay = new Set<Promise<unknown>>()

  async function ask(facts: RequestFacts, again?: Wire): Promise<Outcome> {
    const sentIn = phase
    const wire = again ?? (await craft(facts))
    const before = expectation(facts)
    const outcome = await sender.send(wire, options.port())
    // What changed while the answer was on its way leaves it open which of both was asked.
    const after = expectation(facts)
    const expected = before.verdict === after.verdict ? before : either(before, after)
    const refused = addOutcome(tallies[sentIn], facts, expected, outcome)
    if (refused) lastRefusal.set(sentIn, performance.now() - (enteredAt.get(sentIn) ?? 0))
    const proven = facts.proof !== undefined || facts.workload?.proof !== undefined
    const passed = outcome.kind === 'answered' && outcome.opened && !outcome.unjudged
    if (proven && passed && !facts.spentBefore) traffic.spent(facts, wire)
    return outcome
  }

  function expectation(facts: RequestFacts): Expectation {
    const expected = expect(facts, world, options.now())
    const open = allDoubted || (expected.verdict === 'allow' && doubted(facts))
    return open ? { ...expected, verdict: 'either' } : expected
  }

  function fire(): void {
    const { facts, again } = traffic.next()
    const asked: Promise<unknown> = ask(facts, again).finally(() => underWay.delete(asked))
    underWay.add(asked)
  }

  let last = performance.now()
  let due = 0
  const timer = setInterval(() => {
    const now = performance.now()
    due += Math.min((now - last) / 1000, maxBurstSeconds) * rate
    last = now
    for (; due >= 1 && !stopped; due--) fire()
  }, tickMs)

  return {
    tallies,
    ask,
    enter(next) {
      phase = next
      enteredAt.set(next, performance.now())
    },
    doubt(about) {
      doubted = about
    },
    doubtAll(changing) {
      allDoubted = changing
    },
    lastRefusalMs: (of) => lastRefusal.get(of) ?? 0,
    async stop() {
      stopped = true
      clearInterval(timer)
      while (underWay.size > 0) await sleep(tickMs)
    },
  }
}

function either(one: Expectation, other: Expectation): Expectation {
  return { verdict: 'either', reasons: [...one.reasons, ...other.reasons] }
}
