/** Found by an attack: a workload that only a WIT shows, under the scheme wimse, can be named where it is revoked (docs/wimse.md, docs/revocation.md). */

import test from 'ava'
import { parseDenylist } from '../../src/policy/denylist.ts'
import { wimseOrdersId } from '../support/wit-judge.ts'

test('policy.md, Revocation entries: the denylist takes the presenter that the log names, wimse:// as well', (t) => {
  t.true(parseDenylist(`- { presenter: "${wimseOrdersId.replace('wimse', 'spiffe')}" }`).ok)
  t.true(parseDenylist(`- { presenter: "${wimseOrdersId}" }`).ok)
})
