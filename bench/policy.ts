/** The policies of the benches: one with a route for every kind of question, and the same behind a thousand other routes. */

import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { JWK } from 'jose'

export const gatewayId = 'spiffe://mesh.example/ns/edge/sa/gateway'
export const proofPath = '/v1/receipts'
export const batchPath = '/v1/batches'
export const origin = 'https://payments.example'

/** Where the issuer's keys are read, and the keys themselves. */
export interface IssuerKeys {
  readonly url: string
  readonly jwks: { readonly keys: readonly JWK[] }
}

export interface Policies {
  readonly policyFile: string
  /** The same policy with a thousand routes before those that are asked for. */
  readonly crowdedPolicyFile: string
}

export async function writePolicies(
  directory: string,
  jwksUrl: string,
  introspectionPort: number,
): Promise<Policies> {
  const policyFile = join(directory, 'policy.yaml')
  const crowdedPolicyFile = join(directory, 'crowded.yaml')
  const text = policyText(jwksUrl, introspectionPort)
  await writeFile(join(directory, 'secret'), 'bench')
  await writeFile(policyFile, text)
  await writeFile(crowdedPolicyFile, text.replace('  routes:\n', `  routes:\n${otherRoutes()}`))
  return { policyFile, crowdedPolicyFile }
}

function policyText(jwksUrl: string, introspectionPort: number): string {
  return `
apiVersion: meshbind/v1alpha1
kind: BindingPolicy
metadata: { name: bench }
spec:
  clockSkew: 0s
  trustDomains: [mesh.example]
  peer: { evidence: [certificate, xfcc], forwarders: [${gatewayId}] }
  issuers:
    corp:
      issuer: https://idp.example
      audiences: [https://payments.mesh.example]
      keys: { url: ${jwksUrl} }
      maxLifetime: 1h
      identity: { claim: sub }
    partner:
      issuer: https://partner.example
      audiences: [https://payments.mesh.example]
      introspection:
        url: http://127.0.0.1:${introspectionPort}/introspect
        clientId: bench
        clientSecretFile: secret
        cacheFor: 5m
      maxLifetime: 1h
  dpop: { origins: [${origin}] }
  wimse:
    audiences: [${origin}]
    trustAnchors: { mesh.example: { keys: { url: ${jwksUrl}?wit } } }
  routes:
    - name: health
      match: { paths: [/healthz] }
      require: none
    - name: receipts
      match: { methods: [POST], paths: [${proofPath}] }
      require: { issuers: [corp], bindings: [dpop], scopes: [payments.write] }
    - name: batches
      match: { methods: [POST], paths: [${batchPath}] }
      require: { bindings: [wimse], callers: [spiffe://mesh.example/ns/shop/*] }
    - name: partners
      match: { methods: [POST], paths: [/v1/partners/*] }
      require: { issuers: [partner], bindings: [x5t#S256], scopes: [payments.write] }
    - name: payments-write
      match: { methods: [POST], paths: [/v1/payments, /v1/payments/*] }
      require:
        issuers: [corp]
        bindings: [x5t#S256]
        callers: [spiffe://mesh.example/ns/shop/*]
        scopes: [payments.write]
`
}

/** Some by exact path, some by prefix, some by host: no one list of them all would do. */
function otherRoutes(): string {
  const require = '{ issuers: [corp], bindings: [x5t#S256] }'
  return Array.from({ length: 1000 }, (_, i) => {
    const path = i % 2 === 0 ? `/v1/other-${i}` : `/v1/other-${i}/*`
    const hosts = i % 3 === 0 ? `hosts: [h${i}.mesh.example], ` : ''
    return `    - { name: other-${i}, match: { ${hosts}paths: [${path}] }, require: ${require} }\n`
  }).join('')
}
