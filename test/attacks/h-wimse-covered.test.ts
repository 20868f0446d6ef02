/** Attack group H, 152: a WPT covers every token in the request, and nothing that is not there (wpt-01 §3.1: ath, tth, oth). */

import { createHash } from 'node:crypto'
import test from 'ava'
import { type Asked, agreed, createWimseWorld, outcome, witJudge } from '../support/wit-judge.ts'

const setting = await createWimseWorld()
const { world, orders, ask } = setting
const { judgeProof } = witJudge(setting)
const token = await world.token({ cnf: undefined })
const other = await world.token({ cnf: undefined, jti: 'another' })
const digest = (text: string) => createHash('sha256').update(text).digest('base64url')
const claim = (name: string, value: unknown) => ({ aud: agreed, claims: { [name]: value } })
const onTokenRoute: Asked = { path: '/t/wimse', token }
const transaction = 'transaction.token.text'
const withTransaction: Asked = { headers: { 'txn-token': transaction } }

test('H152: ath is the hash of the access token that rides along, and must be there (wpt-01 §3.3)', async (t) => {
  await judgeProof(t, claim('ath', digest(token)), '', onTokenRoute)
  const wrong = [digest(other), digest(`Bearer ${token}`), digest(''), token, `${digest(token)}=`]
  for (const ath of [undefined, null, '', 1, [digest(token)], ...wrong])
    await judgeProof(t, claim('ath', ath), 'ath', onTokenRoute)
  await judgeProof(t, claim('ath', digest(token)), 'ath', { ...onTokenRoute, token: other })
})

test('H152: without an access token there is no ath, whatever stands in it (wpt-01 §3.1)', async (t) => {
  for (const ath of [digest(token), digest(''), '', null])
    await judgeProof(t, claim('ath', ath), 'ath')
  // Of Basic nobody here knows the token: it is the upstream's affair.
  const headers = { authorization: 'Basic dXNlcjpwYXNz' }
  await judgeProof(t, claim('ath', digest('dXNlcjpwYXNz')), 'ath', { headers })
  await judgeProof(t, {}, '', { headers })
})

test('H152: tth is the hash of Txn-Token, there exactly if that is (wpt-01 §3.1)', async (t) => {
  await judgeProof(t, claim('tth', digest(transaction)), '', withTransaction)
  for (const tth of [undefined, null, '', digest(token), digest(` ${transaction}`), transaction])
    await judgeProof(t, claim('tth', tth), 'tth', withTransaction)
  for (const tth of [digest(transaction), digest(''), null])
    await judgeProof(t, claim('tth', tth), 'tth')
  const twice = { headers: { 'txn-token': `${transaction},${transaction}` } }
  for (const tth of [undefined, digest(transaction)])
    await judgeProof(t, claim('tth', tth), 'more than one Txn-Token header', twice)
})

test('H152: access token and Txn-Token are both covered where both are there', async (t) => {
  const both = { ...onTokenRoute, ...withTransaction }
  const parts = { aud: agreed, accessToken: token, txnToken: transaction }
  await judgeProof(t, parts, '', both)
  await judgeProof(t, { ...parts, claims: { ath: undefined } }, 'ath', both)
  await judgeProof(t, { ...parts, claims: { tth: undefined } }, 'tth', both)
  const swapped = { ath: digest(transaction), tth: digest(token) }
  await judgeProof(t, { ...parts, claims: swapped }, 'ath', both)
})

test('wpt-01 §3.1: oth may cover the headers that carry tokens here, each by the hash of its value', async (t) => {
  const headers = {
    authorization: 'Basic dXNlcjpwYXNz',
    dpop: 'proof.of.somebody',
    'txn-token': transaction,
  }
  const hashes = Object.fromEntries(
    Object.entries(headers).map(([name, value]) => [name, digest(value)]),
  )
  const judge = (oth: unknown, detail: string, more: Asked = { headers }) =>
    judgeProof(t, { aud: agreed, txnToken: transaction, claims: { oth } }, detail, more)
  for (const oth of [undefined, {}, hashes]) await judge(oth, '')
  for (const [name, hash] of Object.entries(hashes)) {
    await judge({ [name]: hash }, '')
    for (const wrong of ['', null, 1, digest(''), digest(`${name}: ${hash}`), `${hash}=`])
      await judge({ ...hashes, [name]: wrong }, 'oth')
    if (name === 'txn-token') continue
    const { [name]: _, ...rest } = headers as Record<string, string>
    await judge({ [name]: hash }, 'oth', { headers: rest })
    const twice = { headers: { ...headers, [name]: `${headers[name as 'dpop']},x` } }
    // Two Authorization headers are refused before anybody proves anything.
    if (name === 'dpop') await judge({ [name]: hash }, 'oth', twice)
  }
})

test('wpt-01 §3.3: an oth entry of a header that is not known here is refused, and so is what is no map', async (t) => {
  const unknown = 'oth names a header that is not known here'
  const names = [
    'cookie',
    'x-tenant',
    'content-type',
    'Authorization',
    'AUTHORIZATION',
    'dpop ',
    '',
  ]
  const own = ['workload-identity-token', 'workload-proof-token', 'toString', 'constructor']
  for (const name of [...names, ...own])
    await judgeProof(t, claim('oth', { [name]: digest('acme') }), unknown)
  const wit = await orders.wit()
  const proto = JSON.parse('{"__proto__":"x"}')
  const wpt = await orders.proof({ wit, claims: { oth: proto } })
  t.is(outcome(await ask(wit, wpt)), `workload_proof_invalid ${unknown}`)
  for (const oth of [null, '', [], 1, ['authorization']])
    await judgeProof(t, claim('oth', oth), 'oth is no object')
  const many = Object.fromEntries(Array.from({ length: 17 }, (_, i) => [`h${i}`, 'x']))
  await judgeProof(t, claim('oth', many), 'oth has too many entries')
})

test('wpt-01 §3.3: oth over Authorization takes the place of no ath', async (t) => {
  const oth = { authorization: digest(`Bearer ${token}`) }
  const claims = { oth, ath: undefined }
  await judgeProof(t, { aud: agreed, claims }, 'ath', onTokenRoute)
  await judgeProof(t, { aud: agreed, claims: { oth }, accessToken: token }, '', onTokenRoute)
})
