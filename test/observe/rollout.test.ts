import test from 'ava'
import { createRollout, type Observation } from '../../src/observe/rollout.ts'
import { dayMs, dayOf, observation, orders, start, thief } from '../support/rollout.ts'

const live = { kind: 'live', since: start } as const
const small = { revisions: 2, routes: 3, groupsOfRoute: 3, groups: 5, headers: 2 }

function reportOf(observations: readonly Observation[], limits?: typeof small) {
  const rollout = createRollout(live, limits)
  for (const one of observations) rollout.observe(one)
  return rollout.report()
}

test('policy.md, Modes: per route, checks and what audit would have refused, by reason and presenter', (t) => {
  const { routes, checks } = reportOf([
    ...dayOf(7),
    observation({ reason: 'binding_missing', time: start + 5 }),
    observation({ reason: 'binding_rotated', time: start + 9 }),
    observation({ reason: 'binding_mismatch', presenter: thief }),
    observation({ route: 'other', mode: 'enforce', reason: 'scope_insufficient' }),
  ])
  t.is(checks, 11)
  t.deepEqual(
    routes.map(({ route, mode, checks, refused, enforced }) => [
      route,
      mode,
      checks,
      refused,
      enforced,
    ]),
    [
      ['payments', 'audit', 10, 3, 0],
      ['other', 'enforce', 1, 1, 1],
    ],
  )
  const [payments] = routes
  t.deepEqual([payments?.firstSeen, payments?.lastSeen], [start, start + dayMs])
  t.deepEqual(
    payments?.reasons.map(({ name, checks }) => [name, checks]),
    [
      ['binding_mismatch', 1],
      ['binding_missing', 1],
      ['binding_rotated', 1],
    ],
  )
  t.deepEqual(payments?.presenters[0], {
    presenter: orders,
    checks: 2,
    firstSeen: start + 5,
    lastSeen: start + 9,
    by: [
      { name: 'binding_missing', checks: 1 },
      { name: 'binding_rotated', checks: 1 },
    ],
  })
})

test('policy.md, unbound: allow: method none with a token is unbound, without one it is an unprotected route', (t) => {
  const { routes } = reportOf([
    observation({ method: 'none' }),
    observation({ method: 'none', issuer: null, route: 'health' }),
  ])
  t.deepEqual(
    routes.map(({ route, unbound, unprotected }) => [route, unbound, unprotected]),
    [
      ['payments', 1, 0],
      ['health', 0, 1],
    ],
  )
  t.like(routes[0]?.unboundBy[0], { presenter: orders, by: [{ name: 'corp', checks: 1 }] })
})

test('rotation and theft are summed apart over the routes of the latest revision', (t) => {
  const report = reportOf([
    observation({ reason: 'binding_mismatch', revision: 'old', time: start - 1 }),
    observation({ reason: 'binding_rotated' }),
    observation({ reason: 'binding_rotated', route: 'other' }),
    observation({ reason: 'binding_mismatch', route: 'other' }),
  ])
  t.deepEqual([report.rotated, report.mismatched], [2, 1])
})

test('a new policy revision begins a new count; the earlier one stays in sight, with its mode', (t) => {
  const report = reportOf([
    observation({ revision: 'a', reason: 'binding_missing' }),
    observation({ revision: 'a', route: 'gone' }),
    observation({ revision: 'b', mode: 'enforce', time: start + 1 }),
  ])
  t.deepEqual(
    report.revisions.map(({ revision, checks }) => [revision, checks]),
    [
      ['b', 1],
      ['a', 2],
    ],
  )
  const payments = report.routes.find(({ route }) => route === 'payments')
  t.like(payments, { checks: 1, refused: 0, mode: 'enforce' })
  t.like(payments?.earlier[0], { revision: 'a', mode: 'audit', checks: 1, refused: 1 })
  const gone = report.routes.find(({ route }) => route === 'gone')
  t.like(gone, { checks: 0, firstSeen: null, verdict: { level: 'unseen' } })
})

test('a policy that is rolled back is the latest again, and logs in any order count alike', (t) => {
  const observations = [
    observation({ revision: 'a' }),
    observation({ revision: 'b', time: start + 1 }),
    observation({ revision: 'a', time: start + 2, reason: 'proof_missing' }),
  ]
  const report = reportOf(observations)
  t.is(report.revisions[0]?.revision, 'a')
  t.is(report.routes[0]?.checks, 2)
  t.deepEqual(reportOf(observations.toReversed()), report)
})

test('what is refused before a policy was looked at belongs to no revision and no route', (t) => {
  const report = reportOf([
    observation({ revision: '', route: null, mode: 'enforce', reason: 'not_ready' }),
  ])
  t.deepEqual([report.routes, report.revisions], [[], []])
  t.deepEqual(report.outright, [{ name: 'not_ready', checks: 1 }])
})

test('bounded: routes beyond the limit are counted together, none is lost', (t) => {
  const names = Array.from({ length: 10 }, (_, i) => `r${i}`)
  const { routes } = reportOf(
    names.map((route) => observation({ route, reason: 'binding_missing' })),
    small,
  )
  t.is(routes.length, 4)
  t.like(
    routes.find(({ isRest }) => isRest),
    { checks: 7, refused: 7, route: null },
  )
})

test('bounded: presenters beyond the limit are refusals without a name, none is lost', (t) => {
  const floods = ['one', 'two', 'one'].flatMap((route) =>
    Array.from({ length: 100 }, (_, i) =>
      observation({ route, presenter: `${thief}${i}`, reason: 'binding_mismatch' }),
    ),
  )
  const { routes } = reportOf(floods, small)
  t.deepEqual(
    routes.map(({ route, refused, presenters, refusedUnnamed }) => [
      route,
      refused,
      presenters.length,
      refusedUnnamed,
    ]),
    [
      ['one', 200, 3, 194],
      ['two', 100, 2, 98],
    ],
  )
})

test('bounded: of revisions beyond the limit the oldest goes, and the number of its checks stays', (t) => {
  const report = reportOf(
    ['a', 'b', 'c'].map((revision, i) => observation({ revision, time: start + i })),
    small,
  )
  t.deepEqual(
    report.revisions.map(({ revision }) => revision),
    ['c', 'b'],
  )
  t.deepEqual([report.forgotten, report.checks], [1, 3])
  const late = reportOf(
    ['c', 'b', 'a'].map((revision, i) => observation({ revision, time: start - i })),
    small,
  )
  t.deepEqual([late.forgotten, late.revisions.length], [1, 2])
})

test('bounded: header names beyond the limit are not kept', (t) => {
  const remove = ['a', 'b', 'c']
  const { routes } = reportOf([observation({ withheld: { set: ['x'], remove } })], small)
  t.like(routes[0], { withheld: 1, set: [{ name: 'x', checks: 1 }] })
  t.is(routes[0]?.remove.length, 2)
})
