/** The kit's questions with a DPoP proof, and what every refusal of one must look like from outside. */

import type { ExecutionContext } from 'ava'
import type { Question, World } from './world.ts'

/** Error and title of the challenge, written down once more (contract §5). */
const told: { readonly [reason: string]: readonly [error: string, title: string] } = {
  proof_missing: ['invalid_dpop_proof', 'A DPoP proof is required'],
  proof_invalid: ['invalid_dpop_proof', 'The DPoP proof is not valid'],
  binding_mismatch: ['invalid_token', 'The token is bound to another workload'],
  scheme_mismatch: ['invalid_token', 'The token does not go with this authorization scheme'],
}

/** A request under DPoP without a certificate; no proof, no header. */
export function questionWith(
  token: string,
  proof: string | undefined,
  parts: Question = {},
): Question {
  const headers = proof === undefined ? {} : { dpop: proof }
  return { as: null, scheme: 'DPoP', token, headers, ...parts }
}

/** @param algorithms What the policy takes, as the challenge lists it. */
export function proofJudge(world: World, token: string, algorithms = 'ES256 EdDSA Ed25519') {
  const question = (proof: string | undefined, parts: Question = {}) =>
    questionWith(token, proof, parts)

  async function allowed(t: ExecutionContext, proof: string, parts: Question = {}) {
    const { reason, detail } = await world.ask(question(proof, parts))
    t.is(`${reason} ${detail}`, ' ', JSON.stringify(parts))
  }

  /** Status, challenge and reason of a refusal on a route that takes DPoP alone, and no word of the proof in any output. */
  async function refused(
    t: ExecutionContext,
    proof: string | undefined,
    reason: string,
    detail?: string,
    parts: Question = {},
  ) {
    const verdict = await world.ask(question(proof, parts))
    const note = `${reason} ${detail} ${JSON.stringify(parts)}`
    t.is(verdict.reason, reason, note)
    if (detail !== undefined) t.is(verdict.detail, detail, note)
    t.is(verdict.http, 401)
    t.is(verdict.grpc, 16)
    const [error, title] = told[reason] ?? []
    const params = `error="${error}", error_description="${title}", algs="${algorithms}"`
    t.is(verdict.challenge, `DPoP realm="shop", ${params}`)
    const output = JSON.stringify(verdict.response) + verdict.line
    const secrets = `${proof}.${token}`.split(/[., ]/).filter((text) => text.length > 16)
    t.false(secrets.some((text) => output.includes(text)))
  }

  return { question, allowed, refused }
}
