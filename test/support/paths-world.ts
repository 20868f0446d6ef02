/** The kit's world for paths, methods and hosts: public rules beside protected ones. */

import type { ExecutionContext } from 'ava'
import { audience } from './issuer.ts'
import { createWorld, type Question } from './world.ts'

/** Public rules before and after protected ones; some of each are limited to a host. */
const policy = `
apiVersion: meshbind/v1alpha1
kind: BindingPolicy
metadata: { name: shop }
spec:
  trustDomains: [mesh.example]
  issuers:
    corp: { issuer: https://idp.example, audiences: [${audience}], keys: { file: jwks.json } }
  routes:
    - name: public
      match: { hosts: [payments.mesh.example], paths: [/public/*, /healthz] }
      require: none
    - name: anyone-reads
      match: { hosts: [payments.mesh.example], methods: [GET], paths: [/docs/*] }
      require: none
    - name: open-host
      match: { hosts: [open.mesh.example, "*.open.mesh.example"] }
      require: none
    - name: admin
      match: { hosts: [payments.mesh.example], paths: [/admin, /admin/*] }
      require: { issuers: [corp], bindings: ["x5t#S256"] }
    - name: rest
      match: { hosts: [payments.mesh.example] }
      require: { issuers: [corp], bindings: ["x5t#S256"] }
`

export const world = await createWorld({ policy })
export const token = await world.token()

/** `allow <route>` or the reason, for a request that brings no token. */
export async function without(question: Question): Promise<string> {
  const { allowed, reason, line } = await world.ask({ method: 'GET', ...question })
  return allowed ? `allow ${JSON.parse(line).route}` : reason
}

export async function withToken(question: Question): Promise<string> {
  return without({ ...question, token })
}

export const canonicalOnly = 'path_not_canonical'
export const needsToken = 'credential_missing'

/** Public is open, the rest is allowed with a bound token only. */
export async function assertControls(t: ExecutionContext): Promise<void> {
  for (const path of ['/public/a', '/public/', '/healthz', '/healthz?x=1', '/public/a%20b'])
    t.is(await without({ path }), 'allow public', path)
  for (const path of [
    '/admin',
    '/admin/users',
    '/',
    '/publicx',
    '/public',
    '/healthz/',
    '/Public/a',
  ])
    t.is(await without({ path }), needsToken, path)
  t.is(await withToken({ path: '/admin/users' }), 'allow admin')
  t.is(await withToken({ path: '/anything' }), 'allow rest')
  t.is(await without({ path: '/any', host: 'open.mesh.example' }), 'allow open-host')
}
