/** The chart's README: its values with their defaults, from the comments of values.yaml that begin with `# --`. */

import { readFileSync } from 'node:fs'
import { isMap, isScalar, type Pair, parseDocument } from 'yaml'

const source = new URL('../helm/meshbind/values.yaml', import.meta.url)

interface Value {
  readonly path: string
  readonly fallback: string
  readonly text: string
}

export function chartPage(): string {
  const text = readFileSync(source, 'utf8')
  const { contents } = parseDocument(text)
  if (!isMap(contents)) throw new Error('values.yaml is no map')
  const values = (contents.items as Pair[]).flatMap((pair) => valuesAt(pair, '', text))
  const rows = values.map(
    ({ path, fallback, text }) => `| \`${path}\` | ${fallback} | ${text.replaceAll('|', '\\|')} |`,
  )
  return [
    '# The meshbind chart',
    '',
    '<!-- Made from values.yaml by `npm run docs`; edit there. -->',
    '',
    'Envoy and Istio external authorization that allows a token only from the workload it is bound to. For Helm 3.14 and',
    'later, and Helm 4; Kubernetes 1.29 and later.',
    '',
    '```sh',
    'helm install meshbind helm/meshbind --namespace meshbind --create-namespace \\',
    '  --set image.repository=YOUR-REGISTRY/meshbind --set istio.enabled=true',
    '```',
    '',
    'With nothing but that, a starter policy lets every request pass and records what it sees. What to do next is printed',
    'after the install, for the values that were given. [Installing](../../docs/install.md) goes through it.',
    '',
    'A value that is not in this table is refused, and so is a policy with a problem that its schema can show.',
    '',
    '| value | default | |',
    '|---|---|---|',
    ...rows,
    '',
  ].join('\n')
}

/** A map without a comment of its own is described by what is in it. */
function valuesAt(pair: Pair, prefix: string, text: string): Value[] {
  const { key, value } = pair
  if (!isScalar(key)) throw new Error('a key of values.yaml is no word')
  const path = `${prefix}${key.value}`
  const comment = commentBefore(text, key.range?.[0] ?? 0)
  if (isMap(value) && value.items.length > 0 && comment === '')
    return (value.items as Pair[]).flatMap((inner) => valuesAt(inner, `${path}.`, text))
  return [{ path, fallback: shown(value), text: comment }]
}

function shown(value: unknown): string {
  const plain = (value as { toJSON(): unknown }).toJSON()
  return plain === '' ? '' : `\`${JSON.stringify(plain)}\``
}

/** The line right above a key, if it is a description. */
function commentBefore(text: string, offset: number): string {
  const above = text.slice(0, text.lastIndexOf('\n', offset) + 1).trimEnd()
  const line = above.slice(above.lastIndexOf('\n') + 1).trim()
  return line.startsWith('# -- ') ? line.slice('# -- '.length) : ''
}
