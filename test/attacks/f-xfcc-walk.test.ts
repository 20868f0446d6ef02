/**
 * Every XFCC header of up to four elements over four identities, two of them forwarders, against an oracle that does
 * not follow the header: it writes down each honest header that forwarders could have made (policy "Who is the
 * presenter", decision 0005) and looks whether this one ends in such a header.
 */

import test from 'ava'
import { encodeCheckRequest, paymentsId } from '../support/check-request.ts'
import { createWorld } from '../support/world.ts'

const id = (name: string) => `spiffe://mesh.example/ns/a/sa/${name}`
const names = ['client', 'gwA', 'gwB', 'stranger'] as const
type Name = (typeof names)[number]
/** `By>URI`. */
type Element = `${Name | 'here'}>${Name}`

const inner: readonly Element[] = names.flatMap((by) => names.map((uri): Element => `${by}>${uri}`))
const last: readonly Element[] = (['here', 'gwA'] as const).flatMap((by) =>
  names.map((uri): Element => `${by}>${uri}`),
)
const idOf = (name: string) => (name === 'here' ? paymentsId : id(name))
const textOf = (element: string) => {
  const [by = '', uri = ''] = element.split('>')
  return `By=${idOf(by)};URI=${idOf(uri)}`
}

interface Rules {
  readonly maxForwards: 1 | 2
  /** Whether gwA also presents for itself. */
  readonly presents: boolean
}

const forwarders: readonly Name[] = ['gwA', 'gwB']

interface Honest {
  readonly text: string
  readonly presenter: Name
  readonly forwards: readonly Name[]
}

/** The headers that up to `maxForwards` forwarders make of a presenter’s request, the nearest forwarder written last. */
function honestHeaders({ maxForwards, presents }: Rules): Honest[] {
  const paths: Name[][] = [[]]
  for (const path of paths) {
    if (path.length < maxForwards) for (const next of forwarders) paths.push([...path, next])
  }
  const presenters = names.filter((name) => (name === 'gwA' ? presents : name !== 'gwB'))
  return paths.flatMap((path) =>
    presenters.map((presenter) => {
      const stations = [presenter, ...path, 'here']
      const elements = stations.slice(1).map((by, i) => `${by}>${stations[i]}`)
      return { text: elements.join(','), presenter, forwards: [...path].reverse() }
    }),
  )
}

/** Who presents, or undefined. */
function oracle(chain: readonly Element[], honest: readonly Honest[]): Honest | undefined {
  const header = chain.join(',')
  return honest.find(({ text, presenter, forwards }) => {
    const front = header.slice(0, header.length - text.length)
    if (front + text !== header) return false
    // A forwarder presents only where nobody was seen before it: not even by somebody who is none.
    if (presenter === 'gwA' && front !== '') return false
    // Each forwarder wrote one element, and the front holds none that imitates it.
    return forwards.every((by) => header.split(`${by}>`).length === 2)
  })
}

function* chains(): Generator<readonly Element[]> {
  let fronts: Element[][] = [[]]
  for (let length = 1; length <= 4; length++) {
    for (const front of fronts) for (const element of last) yield [...front, element]
    fronts = fronts.flatMap((front) => inner.map((element) => [...front, element]))
  }
}

const policyOf = ({ maxForwards, presents }: Rules) => `
apiVersion: meshbind/v1alpha1
kind: BindingPolicy
metadata: { name: walk }
spec:
  trustDomains: [mesh.example]
  peer:
    evidence: [certificate, xfcc]
    forwarders: [{ id: ${id('gwA')}, presents: ${presents} }, ${id('gwB')}]
    maxForwards: ${maxForwards}
  issuers:
    corp:
      issuer: https://idp.example
      audiences: [https://payments.mesh.example]
      keys: { file: jwks.json }
      identity: { claim: sub }
  routes:
    - name: identity
      match: { paths: [/*] }
      require: { issuers: [corp], bindings: [spiffe] }
`

for (const maxForwards of [1, 2] as const) {
  for (const presents of [false, true]) {
    const marked = presents ? ' that presents' : ''
    test(`F: any four elements, ${maxForwards} forwards at most, a forwarder${marked}: only an honest chain names a presenter (policy peer.forwarders)`, async (t) => {
      const rules = { maxForwards, presents }
      const world = await createWorld({ policy: policyOf(rules) })
      const now = world.now()
      const token = await world.token({ cnf: undefined, sub: id('client'), iat: now })
      const honest = honestHeaders(rules)
      const found = { allowed: 0, other: 0, nobody: 0 }
      for (const chain of chains()) {
        const principal = id(chain.at(-1)?.split('>')[1] ?? '')
        const rawHeaders = [
          ['authorization', `Bearer ${token}`],
          ['x-forwarded-client-cert', chain.map(textOf).join(',')],
        ] as const
        const verdict = await world.askBytes(encodeCheckRequest({ principal, rawHeaders }), now)
        const { presenter, forwards } = JSON.parse(verdict.line)
        const expected = oracle(chain, honest)
        const shown = chain.join(',')
        if (presenter?.spiffe_id !== (expected && id(expected.presenter))) t.fail(shown)
        if (verdict.allowed !== (expected?.presenter === 'client')) t.fail(shown)
        if (expected === undefined) {
          found.nobody++
          const refusals = ['forward_broken', 'forward_too_long', 'evidence_conflict']
          if (!refusals.includes(verdict.reason)) t.fail(`${shown} ${verdict.reason}`)
        } else {
          found[verdict.allowed ? 'allowed' : 'other']++
          if (forwards.join() !== expected.forwards.map(id).join()) t.fail(shown)
          if (!verdict.allowed && verdict.reason !== 'binding_mismatch') t.fail(shown)
        }
      }
      t.is(found.allowed + found.other + found.nobody, 8 * (1 + 16 + 256 + 4096))
      t.true(
        found.allowed > 4369 && found.other > 4369 && found.nobody > 4369,
        JSON.stringify(found),
      )
    })
  }
}
