import test from 'ava'
import { inspectToken } from '../../src/cli/inspect-token.ts'
import { createDpopClient } from '../support/dpop.ts'
import { createWimseWorkload, createWitIssuer } from '../support/wimse.ts'
import wimse from '../vectors/wimse.json' with { type: 'json' }

const now = Math.floor(Date.now() / 1000)
const issuer = await createWitIssuer({ trustDomain: 'mesh.example' })
const workload = await createWimseWorkload(issuer, 'spiffe://mesh.example/ns/shop/sa/orders')
const problemsOf = (text: string, at = now) => inspectToken(text, undefined, at).problems

test('inspect: a WIT is judged as one: no aud, and the key in it signs its proofs', async (t) => {
  t.deepEqual(problemsOf(await workload.wit()), [])
  t.deepEqual(problemsOf(wimse.wit.token, wimse.wit.valid_at), [])
  const [bound] = inspectToken(await workload.wit(), undefined, now).boundTo
  t.regex(bound?.meaning ?? '', /in a WIT of the proofs/)
})

test('inspect: what is wrong with a WIT is told in the words of the decision log', async (t) => {
  const cases = [
    [{ claims: { aud: 'https://a.example' } }, 'aud'],
    [{ claims: { sub: 'orders' } }, 'sub is no workload identifier'],
    [{ claims: { cnf: undefined } }, 'cnf.jwk is no public key for signatures'],
    [{ claims: { exp: now - 1 } }, 'expired'],
    [{ claims: { nbf: now + 60 } }, 'nbf'],
    [{ header: { kid: undefined } }, 'no kid'],
  ] as const
  for (const [overrides, detail] of cases)
    t.deepEqual(problemsOf(await workload.wit(overrides)), [`workload_token_invalid: ${detail}`])
})

test('inspect: a proof is no token, whatever it proves', async (t) => {
  const client = await createDpopClient()
  const wit = await workload.wit()
  for (const [proof, type] of [
    [await workload.proof({ wit }), 'wpt+jwt'],
    [await client.proof('token'), 'dpop+jwt'],
  ] as const)
    t.deepEqual(problemsOf(proof), [
      `token_type_refused: ${type} is a proof, which goes with a token and is none`,
    ])
})
