/** A problem of a policy as data, and how it is shown: file:line:col, the line, a caret, what to do. */

export interface Problem {
  readonly severity: 'error' | 'warning'
  /** Where in the document: keys and list indexes. */
  readonly path: readonly (string | number)[]
  readonly message: string
  /** What to do about it; may be empty. */
  readonly advice: string
  /** One-based; 1:1 where the place is the whole file. */
  readonly line: number
  readonly column: number
}

export type Unplaced = Omit<Problem, 'line' | 'column'> & { readonly at?: 'key' | 'value' }

export function error(path: Problem['path'], message: string, advice = ''): Unplaced {
  return { severity: 'error', path, message, advice }
}

export function warning(path: Problem['path'], message: string, advice = ''): Unplaced {
  return { severity: 'warning', path, message, advice }
}

export const pathText = (path: Problem['path']): string =>
  path
    .map((part, i) => (typeof part === 'number' ? `[${part}]` : i === 0 ? part : `.${part}`))
    .join('')

const maxLineLength = 160

/** For people: four lines a problem. The document's own line is shown, so never give this a file of secrets. */
export function renderProblem(problem: Problem, file: string, source: string): string {
  const { line, column, severity, message, advice, path } = problem
  const text = (source.split(/\r?\n/)[line - 1] ?? '').slice(0, maxLineLength)
  const gutter = String(line)
  const where = path.length === 0 ? '' : ` (${pathText(path)})`
  const lines = [
    `${file}:${line}:${column}: ${severity}: ${message}${where}`,
    `  ${gutter} | ${text.replaceAll('\t', ' ')}`,
    `  ${' '.repeat(gutter.length)} | ${' '.repeat(Math.min(column - 1, maxLineLength))}^`,
  ]
  if (advice !== '') lines.push(`  ${' '.repeat(gutter.length)} = ${advice}`)
  return lines.join('\n')
}
