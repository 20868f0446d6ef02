import test from 'ava'
import { edit, placeOf, problemsOf, twoIssuers } from '../support/policy-text.ts'

const good = twoIssuers
const edited = (from: string, to: string) => edit(good, from, to)

const keys = '{ file: jwks.json }'
const loopbackOnly = 'must be https (http is for loopback alone)'
const oneSource = 'must have exactly one of file, url, discovery'
const linkLocal = 'must not be a link-local address'

interface Rule {
  readonly says: string
  readonly from: string
  /** Each breaks the rule: the edit, the piece it is placed at, the message. */
  readonly broken: readonly (readonly [to: string, at: string, message: string])[]
  /** Positive controls. */
  readonly fine: readonly string[]
}

const url = (value: string, message: string) =>
  [`{ url: "${value}" }`, `"${value}"`, message] as const

const rules: readonly Rule[] = [
  {
    says: 'clockSkew is at most 5m',
    from: 'spec:\n',
    broken: [
      ['spec:\n  clockSkew: 301s\n', '301s', 'must be at most 5m'],
      ['spec:\n  clockSkew: 6m\n', '6m', 'must be at most 5m'],
      ['spec:\n  clockSkew: 1h\n', '1h', 'must be at most 5m'],
    ],
    fine: ['spec:\n  clockSkew: 300s\n', 'spec:\n  clockSkew: 5m\n', 'spec:\n  clockSkew: 0s\n'],
  },
  {
    says: 'keys come from exactly one of file, url, discovery',
    from: keys,
    broken: [
      ['{ file: a, url: https://x.example }', '{ file: a,', oneSource],
      ['{ discovery: true, file: a }', '{ discovery', oneSource],
      ['{}', '{}', oneSource],
      ['{ caFile: ca.pem }', '{ caFile', oneSource],
      ['{ file: a, caFile: ca.pem }', 'ca.pem', 'goes with url or discovery, not with file'],
    ],
    fine: ['{ url: https://x.example, caFile: ca.pem }', '{ discovery: true, caFile: ca.pem }'],
  },
  {
    says: 'URLs are https, http is taken for loopback alone, link-local never (L208)',
    from: keys,
    broken: [
      url('http://idp.example/jwks', loopbackOnly),
      url('http://10.0.0.1/jwks', loopbackOnly),
      url('http://127.0.0.1.example/jwks', loopbackOnly),
      url('http://localhost.example/', loopbackOnly),
      url('ftp://idp.example/', 'must be https'),
      url('file:///etc/passwd', 'must be https'),
      url('data:application/json,{}', 'must be https'),
      url('jwks.json', 'must be a URL'),
      url('https://u:p@idp.example/', 'must be without user and password'),
      url('https://idp.example/#x', 'must be without fragment'),
      url('https://169.254.169.254/', linkLocal),
      url('http://169.254.169.254/', linkLocal),
      url('https://2852039166/', linkLocal),
      url('https://0xa9fea9fe/', linkLocal),
      url('https://[fe80::1]/', linkLocal),
      url('https://[::ffff:169.254.169.254]/', linkLocal),
    ],
    fine: [
      '{ url: "https://idp.example/jwks?x=1" }',
      '{ url: "https://10.0.0.1/jwks" }',
      '{ url: "http://127.0.0.1:8080/jwks" }',
      '{ url: "http://[::1]:8080/jwks" }',
      '{ url: "http://localhost:8080/jwks" }',
    ],
  },
  {
    says: 'discovery asks the issuer, which must then be a URL that may be asked',
    from: 'issuer: https://idp.example\n      audiences: [https://a.example, https://b.example]\n      keys: { file: jwks.json }',
    broken: [
      [
        'issuer: http://idp.example\n      audiences: [x]\n      keys: { discovery: true }',
        'true }',
        `cannot be used: the issuer ${loopbackOnly}`,
      ],
    ],
    fine: ['issuer: https://i.example\n      audiences: [x]\n      keys: { discovery: true }'],
  },
  {
    says: 'an issuer needs keys, and one `iss` leads to one set of them',
    from: '      issuer: https://plain.example\n      audiences: [https://a.example]\n      keys: { file: plain.json }',
    broken: [
      [
        '      issuer: https://plain.example\n      audiences: [a]',
        'issuer: https://plain',
        'required key `keys` is missing',
      ],
      [
        '      audiences: [x]\n      keys: { file: k }\n      issuer: https://idp.example # twin',
        'https://idp.example # twin',
        'is the same as that of `corp`',
      ],
    ],
    fine: ['      issuer: https://idp.example/\n      audiences: [x]\n      keys: { file: k }'],
  },
]

test('policy.md: the policy that the following tests break is valid, without a warning', (t) => {
  t.deepEqual(problemsOf(good), [])
})

for (const { says, from, broken, fine } of rules) {
  test(`policy.md: ${says}`, (t) => {
    for (const [to, at, message] of broken) {
      const text = edited(from, to)
      t.deepEqual(problemsOf(text), [`${placeOf(text, at)} ${message}`], to)
    }
    t.true(broken.length > 0 && fine.length > 0)
    for (const to of fine) t.deepEqual(problemsOf(edited(from, to)), [], to)
  })
}
