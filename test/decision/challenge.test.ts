/** `WWW-Authenticate`, read back with a parser of its own: contract §5 Challenges, RFC 6750 §3, RFC 9449 §7.1 and §7.2. */

import test from 'ava'
import { challengeOf, quote } from '../../src/decision/challenge.ts'
import type { AuthorizationScheme, ChallengeContext } from '../../src/decision/decision.ts'
import { type Reason, type ReasonEntry, reasons } from '../../src/decision/reasons.ts'

const entries = Object.entries(reasons) as [Reason, ReasonEntry][]
const takings: readonly (readonly AuthorizationScheme[])[] = [
  ['Bearer'],
  ['DPoP'],
  ['Bearer', 'DPoP'],
]
const usings: readonly (AuthorizationScheme | undefined)[] = ['Bearer', 'DPoP', undefined]
const scopes = ['payments.write', 'payments.read']
const proofAlgorithms = ['ES256', 'EdDSA']
const base: ChallengeContext = {
  realm: 'shop',
  scopes,
  schemes: ['Bearer', 'DPoP'],
  used: undefined,
  proofAlgorithms,
}

interface Challenge {
  readonly scheme: string
  readonly parameters: ReadonlyMap<string, string>
}

/** RFC 9110 §11.6.1 for challenges whose parameters are all quoted and hold no escapes; throws on anything else. */
function parse(text: string): readonly Challenge[] {
  const challenges: { scheme: string; parameters: Map<string, string> }[] = []
  const item = /(?:([A-Za-z]+) )?([a-z_]+)="([\x20-\x21\x23-\x5b\x5d-\x7e]*)"(, |$)/y
  while (item.lastIndex < text.length) {
    const match = item.exec(text)
    if (match === null) throw new Error(`no challenge: ${text}`)
    const [, scheme, name = '', value = ''] = match
    if (scheme !== undefined) challenges.push({ scheme, parameters: new Map() })
    const parameters = challenges.at(-1)?.parameters
    if (parameters === undefined || parameters.has(name)) throw new Error(`${name}: ${text}`)
    parameters.set(name, value)
  }
  return challenges
}

interface Row {
  readonly reason: Reason
  readonly entry: ReasonEntry
  readonly context: ChallengeContext
  readonly challenges: readonly Challenge[]
}

/** Every reason that challenges × schemes of the route × scheme of the request. */
const rows: readonly Row[] = entries.flatMap(([reason, entry]) =>
  takings.flatMap((schemes) =>
    usings.flatMap((used) => {
      const context = { ...base, schemes, used }
      const text = challengeOf(reason, context)
      return text === undefined ? [] : [{ reason, entry, context, challenges: parse(text) }]
    }),
  ),
)
const title = ({ reason, context: { schemes, used } }: Row) => `${reason}, ${schemes}, used ${used}`
const failing = ({ challenges }: Row) =>
  challenges.filter(({ parameters }) => parameters.has('error')).map(({ scheme }) => scheme)
const isAboutProof = ({ entry: { challenge } }: Row) =>
  challenge === 'invalid_dpop_proof' || challenge === 'use_dpop_nonce'

test('contract §5: there is a challenge where the table has one, whatever the schemes, and nowhere else', (t) => {
  const expected = entries.filter(([, { challenge }]) => challenge !== 'none')
  t.is(rows.length, expected.length * 9)
  t.deepEqual(new Set(rows.map(({ reason }) => reason)), new Set(expected.map(([name]) => name)))
})

test('contract §5: the schemes of the route, Bearer first, each once; a proof is asked for under DPoP', (t) => {
  for (const row of rows) {
    const { schemes } = row.context
    const expected =
      isAboutProof(row) && !schemes.includes('DPoP') ? [...schemes, 'DPoP'] : [...schemes]
    t.deepEqual(
      row.challenges.map(({ scheme }) => scheme),
      expected,
      title(row),
    )
  }
})

/** RFC 9449 §7.2, the rules and the figures, and contract §5: where the error stands. */
function failed(row: Row): readonly string[] {
  const { schemes, used } = row.context
  if (row.entry.challenge === 'bare') return []
  // "Otherwise, both Bearer and DPoP challenges MAY be used to deliver error information" (Figure 19).
  if (row.entry.challenge === 'invalid_request') return schemes
  if (isAboutProof(row)) return ['DPoP']
  if (schemes.length === 1) return schemes
  return [used ?? 'Bearer']
}

test('RFC 9449 §7.2: the error stands on the scheme that failed, and the other is bare', (t) => {
  for (const row of rows) t.deepEqual(failing(row), failed(row), title(row))
})

test('RFC 9449 §7.2: what was presented under one scheme has exactly one error', (t) => {
  const single = rows.filter(
    ({ entry: { challenge } }) => challenge !== 'bare' && challenge !== 'invalid_request',
  )
  t.true(single.length > 200)
  for (const row of single) t.is(failing(row).length, 1, title(row))
})

test('RFC 6750 §3.1: without a credential no challenge has an error (RFC 9449 Figures 15, 17)', (t) => {
  const bare = rows.filter(({ reason }) => reason === 'credential_missing')
  t.is(bare.length, 9)
  for (const { challenges } of bare) {
    for (const { scheme, parameters } of challenges)
      t.deepEqual([...parameters.keys()], scheme === 'DPoP' ? ['realm', 'algs'] : ['realm'])
  }
})

test('RFC 6750 §3: each parameter once, from the table, and described with the error alone', (t) => {
  for (const row of rows) {
    for (const { scheme, parameters } of row.challenges) {
      const error = parameters.get('error')
      const wide = error === 'insufficient_scope'
      t.is(parameters.get('realm'), 'shop')
      t.is(parameters.get('error_description'), error === undefined ? undefined : row.entry.title)
      t.is(parameters.get('scope'), wide ? scopes.join(' ') : undefined)
      t.is(parameters.get('algs'), scheme === 'DPoP' ? 'ES256 EdDSA' : undefined)
      if (error !== undefined) t.is(error, row.entry.challenge)
    }
  }
})

test('RFC 9449 Figures 16 and 24: under DPoP alone', (t) => {
  const context: ChallengeContext = { ...base, schemes: ['DPoP'], used: 'DPoP' }
  t.is(
    challengeOf('binding_mismatch', context),
    `DPoP realm="shop", error="invalid_token", error_description="${reasons.binding_mismatch.title}", algs="ES256 EdDSA"`,
  )
  t.is(
    challengeOf('proof_nonce_required', context),
    'DPoP realm="shop", error="use_dpop_nonce", error_description="The DPoP proof needs a nonce", algs="ES256 EdDSA"',
  )
})

test('RFC 9449 Figures 17, 18 and 19: where both schemes are taken', (t) => {
  t.is(
    challengeOf('credential_missing', base),
    'Bearer realm="shop", DPoP realm="shop", algs="ES256 EdDSA"',
  )
  t.is(
    challengeOf('token_signature_invalid', { ...base, used: 'Bearer' }),
    'Bearer realm="shop", error="invalid_token", error_description="The signature of the token does not verify", DPoP realm="shop", algs="ES256 EdDSA"',
  )
  t.is(
    challengeOf('credential_ambiguous', base),
    'Bearer realm="shop", error="invalid_request", error_description="More than one credential was sent", DPoP realm="shop", error="invalid_request", error_description="More than one credential was sent", algs="ES256 EdDSA"',
  )
})

test('RFC 9449 §7.1: proofs fail under DPoP, whatever scheme was used', (t) => {
  for (const reason of ['proof_missing', 'proof_invalid', 'proof_replayed'] as const) {
    for (const used of usings) {
      const [bearer, dpop] = parse(challengeOf(reason, { ...base, used }) ?? '')
      t.false(bearer?.parameters.has('error'))
      t.is(dpop?.parameters.get('error'), 'invalid_dpop_proof')
    }
  }
})

test('catalogue 270: realm, scopes and algorithms cannot leave their quotes', (t) => {
  const wild = 'a"b\\c\r\nd\u2028é\u0000\u007f'
  const context = { ...base, realm: wild, scopes: [wild], proofAlgorithms: [wild] }
  for (const [reason, { challenge }] of entries) {
    const text = challengeOf(reason, context) ?? ''
    t.regex(text, /^[\x20-\x7e]*$/)
    for (const { scheme, parameters } of parse(text)) {
      t.is(parameters.get('realm'), 'abcd')
      if (scheme === 'DPoP') t.is(parameters.get('algs'), 'abcd')
      if (parameters.get('error') === 'insufficient_scope') t.is(parameters.get('scope'), 'abcd')
    }
    t.is(text === '', challenge === 'none')
  }
})

test('RFC 9110 §5.6.4: quote keeps every printable letter but `"` and `\\`, and drops all else', (t) => {
  for (let code = 0; code < 0x180; code++) {
    const char = String.fromCharCode(code)
    const kept = code >= 0x20 && code <= 0x7e && char !== '"' && char !== '\\'
    t.is(quote(char), kept ? `"${char}"` : '""', `U+${code.toString(16)}`)
  }
})
