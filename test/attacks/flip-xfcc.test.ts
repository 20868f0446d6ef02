/**
 * Any one byte of an XFCC header changed, and the token is no longer that of the workload whom the gateway saw. What
 * may change is listed exactly: the letter case of keys and of percent-escapes, what stands in Subject, and, without
 * Cert, the half of Hash and URI that the token is not bound by.
 */

import test, { type ExecutionContext } from 'ava'
import { encodeCheckRequest } from '../support/check-request.ts'
import { createWorld, ordersId } from '../support/world.ts'
import { hexThumbprint, xfccElement } from '../support/xfcc.ts'

const gatewayId = 'spiffe://mesh.example/ns/istio-system/sa/gateway'
const policy = `
apiVersion: meshbind/v1alpha1
kind: BindingPolicy
metadata: { name: shop }
spec:
  trustDomains: [mesh.example]
  peer: { evidence: [certificate, xfcc], forwarders: [${gatewayId}] }
  issuers:
    corp:
      issuer: https://idp.example
      audiences: [https://payments.mesh.example]
      keys: { file: jwks.json }
      maxLifetime: 15m
      identity: { claim: sub }
  routes:
    - name: bound
      match: { paths: [/bound] }
      require: { issuers: [corp], bindings: ["x5t#S256"] }
    - name: identity
      match: { paths: [/identity] }
      require: { issuers: [corp], bindings: [spiffe] }
`
const world = await createWorld({ policy })
/** One frozen second for every token and every question here. */
const now = world.now()
const { orders } = world
const gateway = await world.authority.issue({ spiffeId: gatewayId })
const x5t = { 'x5t#S256': orders.x5tS256 }
/** Bound by certificate and by identity, and by one alone. */
const kinds = {
  'x5t#S256 and spiffe': { path: '/identity', cnf: x5t },
  'x5t#S256': { path: '/bound', cnf: x5t },
  spiffe: { path: '/identity', cnf: undefined },
} as const
type Kind = keyof typeof kinds
const kindNames = Object.keys(kinds) as Kind[]
const tokens = new Map<Kind, string>()
for (const kind of kindNames) {
  tokens.set(kind, await world.token({ iat: now, cnf: kinds[kind].cnf }))
}

const subjects = ['CN=orders,O=Acme\\, Inc', 'CN=\\"gateway\\";x']
const withSubject = (element: string, subject = '') =>
  element.replace('Subject=""', `Subject="${subject}"`)
const header = (cert: boolean) =>
  [
    withSubject(xfccElement(orders, { by: gatewayId, cert }), subjects[0]),
    withSubject(xfccElement(gateway, { cert }), subjects[1]),
  ].join(',')

interface Allowed {
  readonly at: number
  readonly byte: number
}

/** Puts every byte of `flips` in each place of the header; what is allowed must name the same presenter. */
async function walk(
  t: ExecutionContext,
  kind: Kind,
  text: string,
  flips: (byte: number) => Iterable<number>,
): Promise<Allowed[]> {
  const rawHeaders = [
    ['authorization', `Bearer ${tokens.get(kind)}`],
    ['x-forwarded-client-cert', text],
  ] as const
  const peer = { principal: gatewayId, certificate: gateway.envoyText }
  const question = encodeCheckRequest({ ...peer, path: kinds[kind].path, rawHeaders })
  const start = question.indexOf(text)
  t.true(start > 0 && question.indexOf(text, start + 1) === -1, 'the text stands there once')
  const allowed: Allowed[] = []
  for (let at = 0; at < text.length; at++) {
    const byte = question[start + at] ?? 0
    for (const flipped of flips(byte)) {
      if (flipped === byte) continue
      question[start + at] = flipped
      const verdict = await world.askBytes(question, now)
      if (!verdict.allowed) continue
      allowed.push({ at, byte: flipped })
      const { presenter, forwards } = JSON.parse(verdict.line)
      const same =
        (kind === 'x5t#S256' || presenter.spiffe_id === ordersId) &&
        (kind === 'spiffe' || presenter.x5t_s256 === orders.x5tS256) &&
        forwards.join() === gatewayId
      if (!same) t.fail(`at ${at}: ${verdict.line}`)
    }
    question[start + at] = byte
  }
  t.true((await world.askBytes(question, now)).allowed, 'control: unchanged, it is allowed')
  return allowed
}

const any = () => Array(256).keys()
const bits = (byte: number) => [0, 1, 2, 3, 4, 5, 6, 7].map((bit) => byte ^ (1 << bit))

/** Every change that says nothing else than before, by the words of the specifications and not by reading the header. */
function harmless(text: string, flips: (byte: number) => Iterable<number>): Allowed[] {
  const letters = new Set<number>()
  const inSubject = new Set<number>()
  const lastInSubject = new Set<number>()
  // Keys compare without case (Envoy, XFCC).
  for (const key of ['By', 'Hash', 'Cert', 'Subject', 'URI']) {
    for (const { index } of text.matchAll(new RegExp(`(?<=^|[,;])${key}=`, 'g'))) {
      for (let i = 0; i < key.length; i++) letters.add(index + i)
    }
  }
  // A percent-escape in lower case is the same text (RFC 3986 §2.1).
  for (const { index } of text.matchAll(/%[0-9A-F]{2}/g)) letters.add(index + 1).add(index + 2)
  for (const subject of subjects) {
    const start = text.indexOf(`Subject="${subject}"`) + 'Subject="'.length
    for (let i = 0; i < subject.length; i++) inSubject.add(start + i)
    lastInSubject.add(start + subject.length - 1)
  }
  const found: Allowed[] = []
  for (let at = 0; at < text.length; at++) {
    const byte = text.charCodeAt(at)
    for (const flipped of flips(byte)) {
      if (flipped === byte) continue
      const recased = letters.has(at) && isLetter(byte) && flipped === (byte ^ 0x20)
      if (recased || (inSubject.has(at) && isHarmlessInSubject(text, at, flipped, lastInSubject)))
        found.push({ at, byte: flipped })
    }
  }
  return found
}

const isLetter = (byte: number) => /[A-Za-z]/.test(String.fromCharCode(byte))

/** Printable, and the quotes close where they did. */
function isHarmlessInSubject(
  text: string,
  at: number,
  byte: number,
  last: ReadonlySet<number>,
): boolean {
  if (byte < 0x20 || byte > 0x7e) return false
  const escapes = text[at] === '\\'
  const escaped = text[at - 1] === '\\'
  // A quote is harmless only behind a backslash, and a quote that loses its backslash is not.
  if (byte === 0x22) return escaped
  if (escapes) return text[at + 1] !== '"'
  // A backslash takes the next character along: not the closing quote, nor the backslash of another escape.
  if (byte !== 0x5c || escaped) return true
  return !last.has(at) && !text.startsWith('\\"', at + 1)
}

const spiffePath = /^(?:\/(?!\.{1,2}(?:\/|$))[A-Za-z0-9._-]+)+$/

/**
 * Without `Cert` nothing but the gateway's word ties the Hash to the URI, so a token bound by one of them alone does not
 * see the other change: into another digest, or another SPIFFE ID of the mesh.
 */
function unseen(kind: Kind, text: string, flips: (byte: number) => Iterable<number>): Allowed[] {
  const [wanted, form] = {
    'x5t#S256 and spiffe': ['', /^$/],
    'x5t#S256': [ordersId, spiffePath],
    spiffe: [hexThumbprint(orders), /^[0-9a-f]{64}$/],
  }[kind] as [string, RegExp]
  const skipped = kind === 'x5t#S256' ? 'spiffe://mesh.example'.length : 0
  const judged = wanted.slice(skipped)
  const start = text.indexOf(wanted) + skipped
  return [...judged].flatMap((char, i) =>
    [...flips(char.charCodeAt(0))].flatMap((byte) => {
      const changed = judged.slice(0, i) + String.fromCharCode(byte) + judged.slice(i + 1)
      return changed !== judged && form.test(changed) ? [{ at: start + i, byte }] : []
    }),
  )
}

const inOrder = (a: Allowed, b: Allowed) => a.at - b.at || a.byte - b.byte

for (const kind of kindNames) {
  test(`${kind}: a header of two hops with any byte changed for any other is refused, unless it says the same (Envoy, XFCC)`, async (t) => {
    const text = header(false)
    const expected = [...harmless(text, any), ...unseen(kind, text, any)]
    t.deepEqual((await walk(t, kind, text, any)).sort(inOrder), expected.sort(inOrder))
  })

  test(`${kind}: a header with Cert with any bit flipped is refused, unless it says the same (Envoy, XFCC)`, async (t) => {
    const text = header(true)
    const allowed = await walk(t, kind, text, bits)
    t.deepEqual(allowed.sort(inOrder), harmless(text, bits).sort(inOrder))
  })
}
