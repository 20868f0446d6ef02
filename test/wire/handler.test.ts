import { setTimeout as sleep } from 'node:timers/promises'
import test from 'ava'
import { type Decision, denyOutright } from '../../src/decision/decision.ts'
import {
  createCheckHandler,
  type DecisionRecord,
  type HandlerOptions,
} from '../../src/wire/handler.ts'
import { decodeCheckResponse, encodeCheckRequest } from '../support/check-request.ts'
import { judgeBy } from '../support/judge.ts'

const question = encodeCheckRequest({ token: 'abc' })

function setUp(options: Partial<HandlerOptions>) {
  const records: DecisionRecord[] = []
  const errors: unknown[] = []
  const handler = createCheckHandler({
    judge: judgeBy(async () => denyOutright('route_unmatched')),
    onDecision: (record) => records.push(record),
    onError: (error) => errors.push(error),
    deadlineMs: 20,
    maxInFlight: 2,
    clock: { now: Date.now, monotonic: () => performance.now() },
    ...options,
  })
  const ask = (bytes = question, deadline = Number.POSITIVE_INFINITY) =>
    new Promise<string>((resolve) => {
      const answer = (message: Buffer) => {
        const response = decodeCheckResponse(message)
        resolve(
          `${response.status?.code} ${JSON.parse(response.denied_response?.body ?? '{}').code}`,
        )
      }
      handler.handle({ request: bytes, deadline, traceparent: () => undefined, answer })
    })
  return { ask, handler, records, errors }
}

const never = () => new Promise<Decision>(() => {})

test('a check that rejects is an explicit deny, not a gRPC error (architecture §9)', async (t) => {
  const { ask, errors, records } = setUp({
    judge: judgeBy(async () => Promise.reject(new Error('bug'))),
  })
  t.is(await ask(), '13 internal_error')
  t.is(errors.length, 1)
  t.is(records[0]?.decision.verdict, 'deny')
})

test('a check that throws at once is an explicit deny', async (t) => {
  const { ask } = setUp({
    judge: judgeBy(() => {
      throw new Error('bug')
    }),
  })
  t.is(await ask(), '13 internal_error')
})

test('an answer that cannot be encoded becomes internal_error, not silence', async (t) => {
  const broken = { ...denyOutright('route_unmatched'), policyRevision: 'x'.repeat(20_000) }
  const { ask, errors } = setUp({ judge: judgeBy(async () => broken) })
  t.is(await ask(), '13 internal_error')
  t.is(errors.length, 1)
})

test('a check that never ends is answered at the deadline', async (t) => {
  t.is(await setUp({ judge: judgeBy(never) }).ask(), '14 deadline_exceeded')
})

test('a late result is dropped: the deadline’s answer was the only one', async (t) => {
  const { ask, records } = setUp({
    judge: judgeBy(() => sleep(60, denyOutright('route_unmatched'))),
  })
  t.is(await ask(), '14 deadline_exceeded')
  await sleep(80)
  t.is(records.length, 1)
})

test('the caller’s grpc-timeout, less a margin, is the deadline if it is shorter', async (t) => {
  const { ask } = setUp({ judge: judgeBy(never), deadlineMs: 60_000 })
  t.is(await ask(question, Date.now() + 30), '14 deadline_exceeded')
  t.is(await ask(question, Date.now() - 1), '14 deadline_exceeded')
})

test('beyond the bound, checks are refused at once as overloaded, and then taken again', async (t) => {
  let release: (decision: Decision) => void = () => {}
  const held = new Promise<Decision>((resolve) => {
    release = resolve
  })
  const { ask, handler } = setUp({ judge: judgeBy(() => held), deadlineMs: 60_000 })
  const first = [ask(), ask()]
  t.is(handler.inFlight(), 2)
  t.is(await ask(), '14 overloaded')
  release(denyOutright('route_unmatched'))
  t.deepEqual(await Promise.all(first), ['7 route_unmatched', '7 route_unmatched'])
  await sleep(1)
  t.is(handler.inFlight(), 0)
  t.is(await ask(), '7 route_unmatched')
})

test('bytes that are no question are refused, and counted as a decision (catalogue 248, 249)', async (t) => {
  const { ask, records } = setUp({})
  t.is(await ask(Buffer.alloc(0)), '3 request_malformed')
  t.is(await ask(Buffer.from('not protobuf at all')), '3 request_malformed')
  t.deepEqual(
    records.map(({ request }) => request),
    [undefined, undefined],
  )
})

test('a log that throws undoes no answer and stops no deadline', async (t) => {
  const fail = () => {
    throw new Error('the log is broken')
  }
  let calls = 0
  const decide = () => (calls++ === 0 ? Promise.reject(new Error('bug')) : never())
  const { ask } = setUp({ judge: judgeBy(decide), onDecision: fail, onError: fail })
  t.is(await ask(), '13 internal_error')
  t.is(await ask(), '14 deadline_exceeded')
  t.is(await ask(), '14 deadline_exceeded')
})

test('a judge that fails at the last catch too is answered by a refusal that nothing softens', async (t) => {
  const judge = {
    decide: () => Promise.reject(new Error('bug')),
    refuse: () => {
      throw new Error('another bug')
    },
  }
  const { ask, errors } = setUp({ judge: () => judge })
  t.is(await ask(), '13 internal_error')
  t.is(errors.length, 2)
  t.is(await ask(Buffer.alloc(0)), '13 internal_error')
})

test('a check keeps the judge that it began with: a policy that is swapped meanwhile has no say', async (t) => {
  let release: (decision: Decision) => void = () => {}
  const held = new Promise<Decision>((resolve) => {
    release = resolve
  })
  let current = judgeBy(() => held)()
  const { ask } = setUp({ judge: () => current, deadlineMs: 60_000 })
  const first = ask()
  current = judgeBy(async () => denyOutright('caller_refused'))()
  t.is(await ask(), '7 caller_refused')
  release(denyOutright('route_unmatched'))
  t.is(await first, '7 route_unmatched')
})

test('a check that goes on after its deadline is refused once, not at every look', async (t) => {
  let refusals = 0
  const judge = {
    decide: never,
    refuse: () => {
      refusals++
      return denyOutright('deadline_exceeded')
    },
  }
  const { ask } = setUp({ judge: () => judge })
  t.is(await ask(), '14 deadline_exceeded')
  await sleep(100)
  t.is(refusals, 1)
})

test('contract §5: the judge is told how long its answer is waited for: our deadline, or the caller’s less 10 ms', async (t) => {
  const budgets: number[] = []
  const { ask } = setUp({
    deadlineMs: 5000,
    judge: judgeBy(async (_, time) => {
      budgets.push(Math.round(time.leftMs()))
      return denyOutright('route_unmatched')
    }),
    clock: { now: () => 1_000_000, monotonic: () => 0 },
  })
  await ask()
  await ask(question, 1_000_200)
  t.deepEqual(budgets, [5000, 190])
})
