/** What operators write: policies and denylists. Any text gives a document or problems with their places, never an exception. */

import { parseDenylist } from '../../../src/policy/denylist.ts'
import { parsePolicy } from '../../../src/policy/parse.ts'
import type { Problem } from '../../../src/policy/problem.ts'
import { basePolicy } from '../../support/world.ts'
import type { Random } from '../random.ts'
import { agree, demand, type Target } from '../target.ts'

const policyWords = [
  'mode: audit',
  'unmatched: allow',
  'clockSkew: 5m',
  '      introspection: { url: "https://a.example", clientId: a, clientSecretFile: s }',
  'dpop: { origins: [https://a.example] }',
  'require: none',
  'bindings: [dpop]',
  'unbound: allow',
  'rotation: { grace: 10m }',
  'delegation: {}',
  '&a [*a]',
  '*a',
  '<<: *a',
  '!!js/function',
  '!!set',
  '---\n',
  '...',
  '%YAML 1.1\n',
  '? ',
  '- ',
  ': ',
  '|\n  ',
  '"\\x',
  '\t',
  '# ',
  '{',
  '}',
  '.inf',
  '1:30',
  '0o7',
  'no',
]
const policyLines = basePolicy.split('\n')
const denylistLines = [
  '- { issuer: https://idp.example, jti: a }',
  '- { issuer: https://idp.example, subject: b, before: 2026-11-22T10:00:00Z }',
  '- { presenter: spiffe://mesh.example/ns/batch/sa/job, before: 2026-11-22T10:00:00+14:00 }',
  `- { certificate: ${'A'.repeat(43)} }`,
  '- { issuer: https://idp.example, key: k }',
  '[]',
  '- ',
  '- {}',
]

/** The lines as they are, or with one that is gone, twice there, moved, or another's. */
function shuffled(lines: readonly string[], words: readonly string[], random: Random): Buffer {
  const copy = [...lines]
  for (let changes = random.int(4); changes > 0; changes--) {
    const [from, to] = [random.int(copy.length), random.int(copy.length)]
    const line = copy[from] ?? ''
    const indent = ' '.repeat(2 * random.int(5))
    const put = random.pick([line, line.trim(), indent + line.trim(), indent + random.pick(words)])
    copy.splice(to, random.int(2), put)
  }
  return Buffer.from(copy.join(random.chance(20) ? '\r\n' : '\n'))
}

function checkProblems(text: string, problems: readonly Problem[]): string {
  demand('there are problems', problems.length > 0 && problems.length <= 500)
  const lines = text.split(/\r\n|\r|\n/).length
  for (const { line, column, message } of problems) {
    demand(`line ${line} of ${lines}`, line >= 1 && line <= lines + 1)
    demand(`column ${column}`, column >= 1 && column <= text.length + 2)
    demand(
      'a problem has words, and they end',
      message.length > 0 && message.length <= 6 * text.length + 500,
    )
  }
  const [first] = problems
  // Without the words of the text, which are new every time.
  const [words = ''] = first?.message.split(/[:`"]/) ?? []
  return `refused: ${words.split(' ').slice(0, 2).join(' ')}`
}

export const policy: Target = {
  name: 'policy',
  source: 'policy.md; YAML 1.2.2',
  dictionary: policyWords,
  generate: (random) => shuffled(policyLines, policyWords, random),
  judge(input) {
    const text = input.toString('utf8')
    const result = parsePolicy(text)
    agree('what is read twice', parsePolicy(text), result)
    if (!result.ok) return checkProblems(text, result.problems)
    demand('a policy has routes', result.policy.spec.routes.length > 0)
    demand('nothing but data', !('polluted' in {}) && Object.getPrototypeOf(result.policy) !== null)
    return `taken, ${result.warnings.length > 0} ${result.policy.spec.routes.length > 3}`
  },
}

export const denylist: Target = {
  name: 'denylist',
  source: 'policy.md, Revocation entries',
  dictionary: [...denylistLines, ...policyWords],
  generate: (random) =>
    shuffled(
      random
        .many(6, () => random.pick(denylistLines))
        .concat('[]')
        .slice(0, 6),
      denylistLines,
      random,
    ),
  judge(input) {
    const text = input.toString('utf8')
    const result = parseDenylist(text)
    if (!result.ok) return checkProblems(text, result.problems)
    for (const { revocation, until } of result.entries) {
      demand('an entry stays as long as it is listed', until === Number.POSITIVE_INFINITY)
      const before = 'before' in revocation ? revocation.before : undefined
      demand('a time is a time', before === undefined || Number.isSafeInteger(before))
    }
    return `taken, ${Math.min(3, result.entries.length)}`
  },
}
