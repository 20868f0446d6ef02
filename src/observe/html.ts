/** HTML by template: every value is escaped unless it is HTML already, so that a forgotten escape cannot happen. */

export interface Html {
  readonly markup: string
}

/** `false` stands for nothing, for `condition && html`. */
type Value = Html | string | number | false | readonly Html[]

export function html(parts: TemplateStringsArray, ...values: readonly Value[]): Html {
  const markup = parts.reduce((text, part, i) => text + render(values[i - 1] ?? false) + part)
  return { markup }
}

function render(value: Value): string {
  if (value === false) return ''
  if (typeof value === 'string' || typeof value === 'number') return escapeText(String(value))
  return 'markup' in value ? value.markup : value.map(({ markup }) => markup).join('')
}

const escapes: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
}

/** For text and for quoted attributes. */
function escapeText(text: string): string {
  return text.replace(/[&<>"']/g, (char) => escapes[char] ?? char)
}
