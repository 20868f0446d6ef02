import test from 'ava'
import fc from 'fast-check'
import { maxPolicyLength, parsePolicy } from '../../src/policy/parse.ts'
import { basePolicy } from '../support/world.ts'

const head = `apiVersion: meshbind/v1alpha1
kind: BindingPolicy
metadata: { name: shop }
`
const issuers =
  '  issuers: { corp: { issuer: https://idp.example, audiences: [a], keys: { file: k } } }\n'
const open = '  routes: [{ name: a, require: none }]\n'
const good = `${head}spec:\n  trustDomains: [mesh.example]\n${issuers}${open}`
const withRequirement = (more: string) =>
  `${head}spec:\n  trustDomains: [mesh.example]\n${issuers}  routes: [{ name: a, require: { issuers: [corp], bindings: [jwk], ${more} } }]\n`

/** `line:col message` of every problem; a policy that is valid has none. */
function problemsOf(text: string): string[] {
  const result = parsePolicy(text)
  return result.ok
    ? []
    : result.problems.map(({ line, column, message }) => `${line}:${column} ${message}`)
}

test('M216: an empty file, only comments and only white space are refused as empty', (t) => {
  for (const text of ['', '\n', '  \n\n', '# nothing\n', '# a\n# b', '\ufeff'])
    t.deepEqual(problemsOf(text), ['1:1 the policy is empty'], JSON.stringify(text))
})

test('M216: null, scalars and lists are no policy', (t) => {
  const kinds = {
    null: 'empty',
    '~': 'empty',
    'no policy': 'a string',
    '7': 'a number',
    '[]': 'a list',
  }
  for (const [text, kind] of Object.entries(kinds))
    t.deepEqual(problemsOf(text), [`1:1 must be a map, not ${kind}`], text)
})

test('M217: a policy cut off at any byte never throws, and only the whole of it is in force', (t) => {
  const bytes = Buffer.from(basePolicy.trim())
  const whole = parsePolicy(bytes.toString())
  if (!whole.ok) return t.fail('the policy itself must be valid')
  const wanted = whole.policy.spec.routes
  let refused = 0
  for (let end = 0; end < bytes.length; end++) {
    const result = parsePolicy(bytes.subarray(0, end).toString())
    if (!result.ok) {
      t.true(result.problems.length > 0)
      refused++
      continue
    }
    const { routes, issuers: known } = result.policy.spec
    t.deepEqual(known, whole.policy.spec.issuers)
    t.deepEqual(routes.slice(0, -1), wanted.slice(0, routes.length - 1), `at byte ${end}`)
  }
  t.true(refused > bytes.length / 2, `${refused} of ${bytes.length}`)
})

test('M217: a policy in JSON, cut off at any byte, is refused', (t) => {
  const whole = parsePolicy(good)
  if (!whole.ok) return t.fail('the policy itself must be valid')
  const json = JSON.stringify(whole.policy)
  t.deepEqual(problemsOf(json), [])
  for (let end = 0; end < json.length; end++)
    t.false(parsePolicy(json.slice(0, end)).ok, `at byte ${end}`)
})

test('M217: no change of one character makes the parser throw', (t) => {
  const char = fc.constantFrom(...'\0\t\n\r "\'#%&*,-:<>?@[]^`{|}~!é\u2028\ufeff\ufffd\ud800')
  const at = fc.nat(basePolicy.length)
  fc.assert(
    fc.property(at, fc.nat(3), char, (index, length, put) => {
      const text = basePolicy.slice(0, index) + put + basePolicy.slice(index + length)
      const result = parsePolicy(text)
      for (const { line, column } of result.ok ? result.warnings : result.problems) {
        t.true(Number.isInteger(line) && line >= 1 && line <= text.split('\n').length)
        t.true(Number.isInteger(column) && column >= 1)
      }
    }),
    { numRuns: 500 },
  )
})

/** Each level holds nine of the level below: nine to the ninth leaves from a kilobyte. */
function bomb(asMap: boolean): string {
  const of = (items: string[]) =>
    asMap ? `{ ${items.map((item, i) => `k${i}: ${item}`).join(', ')} }` : `[${items.join(', ')}]`
  const level = (i: number) => `l${i}: &l${i} ${of(Array(9).fill(i === 0 ? 'x' : `*l${i - 1}`))}`
  return Array.from({ length: 9 }, (_, i) => level(i)).join('\n')
}

test('M218: an alias bomb is refused before it is unfolded', (t) => {
  for (const asMap of [false, true]) {
    const text = `${good}${bomb(asMap)}\n`
    const result = parsePolicy(text)
    if (result.ok) return t.fail('a bomb is no policy')
    const [{ message, advice } = { message: '', advice: '' }, ...more] = result.problems
    t.is(message, 'the policy cannot be read')
    t.is(advice, 'At most 20 uses of YAML aliases are taken.')
    t.deepEqual(more, [])
  }
})

test('policy.md The policy language: a few aliases are taken, more than the budget are not', (t) => {
  const withAliases = (count: number) =>
    withRequirement(
      `scopes: [&s read], claims: { tenant: [${Array(count).fill('*s').join(', ')}] }`,
    )
  t.deepEqual(problemsOf(withAliases(1)), [])
  t.deepEqual(problemsOf(withAliases(19)), [])
  t.deepEqual(problemsOf(withAliases(21)), ['1:1 the policy cannot be read'])
  t.false(parsePolicy(`${good}x: *nowhere\n`).ok)
})

test('M218, M219: merge keys are ordinary keys and therefore unknown', (t) => {
  t.deepEqual(problemsOf(`${good}<<: { kind: BindingPolicy }\n`), ['8:1 unknown key `<<`'])
  const text = `base: &b { require: none }\n${good.replace('require: none', '<<: *b')}`
  t.true(problemsOf(text).some((problem) => problem.endsWith('unknown key `<<`')))
})

test('M219: a key called __proto__ is refused wherever a name of the operator’s own is taken', (t) => {
  const issuer = '{ issuer: https://x.example, audiences: [a], keys: { file: k } }'
  const texts = {
    issuers: good.replace('{ corp:', `{ __proto__: ${issuer}, corp:`),
    claims: withRequirement('claims: { __proto__: [acme] }'),
    context: good.replace('name: a,', 'name: a, match: { context: { __proto__: x } },'),
  }
  for (const [place, text] of Object.entries(texts)) {
    t.notDeepEqual(text, good)
    const result = parsePolicy(text)
    // Taken as a name it would be fine as well; passed over it is a requirement that is gone.
    const kept = result.ok && JSON.stringify(result.policy).includes('"__proto__"')
    t.true(!result.ok || kept, `${place}: the key was passed over in silence`)
  }
})

test('M219: no policy changes what every object has', (t) => {
  parsePolicy(
    `${good}__proto__: { polluted: true }\nconstructor: { prototype: { polluted: true } }\n`,
  )
  t.false('polluted' in {})
})

test('M220: a duplicate key is refused at the second one, at any depth and in JSON too', (t) => {
  t.deepEqual(problemsOf(`${good}kind: BindingPolicy\n`), ['8:1 Map keys must be unique'])
  t.deepEqual(problemsOf('{"kind": 1,\n "kind": 2}'), ['2:2 Map keys must be unique'])
  t.deepEqual(problemsOf('{"kind": 1,\n "\\u006bind": 2}'), ['2:2 Map keys must be unique'])
  const nested = withRequirement('scopes: [a], scopes: [b]')
  t.true(problemsOf(nested).some((problem) => problem.endsWith('Map keys must be unique')))
})

test('M222: what YAML 1.1 took for something else is a typed error here', (t) => {
  const header = (value: string) =>
    good.replace('none }', `none, forward: { presenterHeader: ${value} } }`)
  for (const value of ['no', 'yes', 'on', 'off', 'y', '1', 'TRUE_'])
    t.regex(problemsOf(header(value))[0] ?? '', /must be a boolean, not a (string|number)$/, value)
  for (const value of ['012', '1:30', '.nan', '.inf', '2026-01-01', '0o14', '1_000', '1e3'])
    t.regex(problemsOf(withRequirement(`maxAge: ${value}`))[0] ?? '', /must be a (duration|string)/)
})

test('M222: a claim’s value keeps the type that YAML 1.2 gives it', (t) => {
  const result = parsePolicy(withRequirement('claims: { a: [no, 012, 2026-01-01, true, "1", 1] }'))
  if (!result.ok) return t.fail(result.problems.map(({ message }) => message).join())
  const [route] = result.policy.spec.routes
  t.deepEqual(route?.require === 'none' ? undefined : route?.require.claims, {
    a: ['no', 12, '2026-01-01', true, '1', 1],
  })
})

test('M223: custom and foreign tags are refused, not passed over', (t) => {
  const tags = ['!!js/function', '!!python/object', '!custom', '!<tag:x.example,2026:y>']
  for (const tag of tags) {
    const text = good.replace('[mesh.example]', `${tag} [mesh.example]`)
    t.regex(problemsOf(text).join('\n'), /5:\d+ Unresolved tag/, tag)
  }
  for (const tag of ['!!omap', '!!pairs', '!!set', '!!binary'])
    t.false(parsePolicy(good.replace('[mesh.example]', `${tag} [mesh: x]`)).ok, tag)
  t.deepEqual(problemsOf(good.replace('[mesh', '!!seq [mesh')), [])
})

test('M224: a second document is refused, also an empty one', (t) => {
  for (const more of ['---\n', '---\n# x\n', '---\na: 1\n', `---\n${good}`, '...\n---\n'])
    t.true(problemsOf(good + more).includes('1:1 more than one YAML document'), more)
  t.deepEqual(problemsOf(`---\n${good}`), [])
})

test('M225: tabs as indentation are refused at their place; a BOM and CR LF change nothing', (t) => {
  t.deepEqual(problemsOf('spec:\n\tmode: x\n'), ['2:1 Tabs are not allowed as indentation'])
  t.deepEqual(problemsOf(`\ufeff${good}`), [])
  t.deepEqual(problemsOf(`\ufeff${good}zzz: 1\n`), ['8:1 unknown key `zzz`'])
  t.deepEqual(problemsOf(`${good}zzz: 1\n`.replaceAll('\n', '\r\n')), ['8:1 unknown key `zzz`'])
})

test('M225: UTF-16 and other bytes that are no UTF-8 are refused', (t) => {
  const utf16 = Buffer.from(`\ufeff${good}`, 'utf16le')
  const swapped = Buffer.from(utf16).swap16()
  for (const bytes of [utf16, swapped, Buffer.from([0xff, 0xfe, 0, 0x41]), Buffer.alloc(64)])
    t.true(problemsOf(bytes.toString('utf8')).length > 0)
})

test('parse.ts: nesting without end is a problem and no exception, whether closed or not', (t) => {
  for (const [left, right] of [
    ['[', ']'],
    ['{ a: ', ' }'],
    ['- ', ''],
  ] as const) {
    for (const depth of [50, 2000, 20_000]) {
      for (const close of [right.repeat(depth), '']) {
        const problems = problemsOf(`a: ${left === '- ' ? '\n' : ''}${left.repeat(depth)}x${close}`)
        t.true(problems.length > 0 && problems.length <= 200, `${left} ${depth}`)
      }
    }
  }
})

test('parse.ts: over 1 MiB nothing is read; at most 200 problems are told', (t) => {
  t.deepEqual(problemsOf(`${good}#${'x'.repeat(maxPolicyLength)}`), [
    '1:1 the policy is over 1 MiB',
  ])
  t.deepEqual(problemsOf(`${good}#${'x'.repeat(maxPolicyLength - good.length - 1)}`), [])
  const many = Array.from({ length: 250 }, (_, i) => `k${i}: 1\n`).join('')
  t.is(problemsOf(good + many).length, 200)
})
