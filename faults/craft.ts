/** Facts → the request as it goes over the wire. A token is made once for as long as its facts stay the same. */

import { webcrypto } from 'node:crypto'
import { type Cast, known } from './cast.ts'
import type { ProofFacts, RequestFacts, TokenFacts, WorkloadFacts } from './facts.ts'

export interface Wire {
  /** Whose certificate the connection shows; undefined: none. */
  readonly holder: string | undefined
  readonly method: string
  readonly path: string
  readonly headers: readonly (readonly [name: string, value: string])[]
}

const maxRemembered = 2000

export type Craft = (facts: RequestFacts) => Promise<Wire>

export function createCraft(cast: Cast): Craft {
  const tokens = new Map<string, Promise<string>>()
  const tokenText = (token: TokenFacts) => {
    const key = JSON.stringify(token)
    const made = tokens.get(key) ?? makeToken(token, cast)
    if (tokens.size >= maxRemembered) tokens.clear()
    tokens.set(key, made)
    return made
  }
  return async (facts) => {
    const { token, credentials, scheme, proof, workload } = facts
    const headers: (readonly [string, string])[] = [['host', 'payments.mesh.example']]
    const text = token === undefined ? '' : await tokenText(token)
    for (let n = 0; n < credentials; n++) headers.push(['authorization', `${scheme} ${text}`])
    if (proof !== undefined) headers.push(['dpop', await makeProof(proof, text, cast)])
    if (workload !== undefined) headers.push(...(await makeWorkload(workload, cast)))
    headers.push(...(facts.extra ?? []))
    return { holder: facts.presenter?.holder, method: facts.method, path: facts.path, headers }
  }
}

async function makeToken(token: TokenFacts, cast: Cast): Promise<string> {
  const { issuer, audience, subject, scope, id, issuedAt, expiresAt, signed } = token
  const standard = { sub: subject, aud: audience, iat: issuedAt, exp: expiresAt, scope, jti: id }
  const cnf = await confirmationOf(token, cast)
  const claims = { ...standard, ...(cnf === undefined ? {} : { cnf }) }
  if (token.form === 'opaque') {
    const text = `opaque-${id}`
    if (token.known) cast.opaque.set(text, { active: true, ...claims })
    return text
  }
  const signer = signed === 'stranger' ? cast.stranger : known(cast.issuers, token.keyId)
  const text = await signer.sign({ iss: issuer, ...claims }, { kid: token.keyId })
  const [header = '', payload = '', signature = ''] = text.split('.')
  if (signed === 'payload') {
    const scopes = `${scope} payments.admin`
    return `${header}.${encode({ iss: issuer, ...claims, scope: scopes })}.${signature}`
  }
  if (signed === 'signature') return `${header}.${payload}.${flipFirst(signature)}`
  if (signed === 'not') return `${encode({ alg: 'none', typ: 'at+jwt' })}.${payload}.`
  return text
}

const encode = (object: object) => Buffer.from(JSON.stringify(object)).toString('base64url')
const flipFirst = (text: string) => (text.startsWith('A') ? 'B' : 'A') + text.slice(1)

async function confirmationOf({ bound }: TokenFacts, cast: Cast): Promise<object | undefined> {
  if (bound.to === 'certificate') return { 'x5t#S256': bound.thumbprint }
  if (bound.to === 'proof') return { jkt: known(cast.dpopClients, bound.client).jkt }
  if (bound.to === 'nothing') return undefined
  const { publicKey } = known(cast.leaves, bound.holder).keys
  const { kty, crv, x, y } = await webcrypto.subtle.exportKey('jwk', publicKey)
  return { jwk: { kty, crv, x, y } }
}

async function makeProof(proof: ProofFacts, token: string, cast: Cast): Promise<string> {
  const client = known(cast.dpopClients, proof.client)
  const claims = {
    jti: proof.id,
    htm: proof.method,
    htu: proof.target,
    iat: proof.issuedAt,
  }
  const text = await client.proof(proof.ofThisToken ? token : `${token}x`, claims)
  if (!proof.altered) return text
  const dot = text.lastIndexOf('.') + 1
  return text.slice(0, dot) + flipFirst(text.slice(dot))
}

async function makeWorkload(
  workload: WorkloadFacts,
  cast: Cast,
): Promise<(readonly [string, string])[]> {
  const { proof } = workload
  const claims = { sub: workload.subject, iat: workload.issuedAt, exp: workload.expiresAt }
  const issuer = workload.trusted ? {} : { issuer: cast.strangerWits }
  const wit = await known(cast.wimse, workload.client).wit({ claims, ...issuer })
  if (proof === undefined) return [['workload-identity-token', wit]]
  const wpt = await known(cast.wimse, proof.client).proof({
    wit: proof.ofThisToken ? wit : `${wit}x`,
    aud: proof.audience,
    claims: { jti: proof.id, exp: proof.expiresAt, iat: proof.expiresAt - 60 },
  })
  return [
    ['workload-identity-token', wit],
    ['workload-proof-token', wpt],
  ]
}
