/** JSON as a token or a header may carry it: RFC 8259 with no duplicate keys, bounded depth and nothing that two readers read differently. */

export type JsonObject = { readonly [name: string]: unknown }

const maxDepth = 16
const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/** One JSON object from UTF-8 bytes, or undefined: see `parseStrictJsonValue`. A BOM is no JSON. */
export function parseStrictJson(bytes: Uint8Array): JsonObject | undefined {
  let text: string
  try {
    text = utf8.decode(bytes)
  } catch {
    return undefined
  }
  const value = parseStrictJsonValue(text)
  return isJsonObject(value) ? value : undefined
}

/**
 * A JSON value, or undefined. `JSON.parse` decides the grammar; what it lets through is refused here: duplicate keys
 * (also when escaped differently), depth over 16, numbers that are no safe integers or not written as integers
 * (`1e400` reads as Infinity and would never expire), lone surrogates.
 *
 * A member called `__proto__` stays an ordinary member; read members with `member`, never with a plain index.
 */
export function parseStrictJsonValue(text: string): unknown {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    return undefined
  }
  return isPlain(text) && isPortable(value) ? value : undefined
}

export function isJsonObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** An own member, or undefined: `constructor` and its like are never inherited. */
export function member(object: JsonObject, name: string): unknown {
  return Object.hasOwn(object, name) ? object[name] : undefined
}

/** No key twice, no depth beyond the bound, no fraction or exponent. The text is JSON already, so its marks suffice. */
function isPlain(text: string): boolean {
  const open: (Set<string> | undefined)[] = []
  let expectKey = false
  for (let i = 0; i < text.length; i++) {
    const char = text[i]
    if (char === '{' || char === '[') {
      expectKey = char === '{'
      if (open.push(expectKey ? new Set() : undefined) > maxDepth) return false
    } else if (char === '}' || char === ']') {
      open.pop()
      expectKey = false
    } else if (char === ',') {
      expectKey = open.at(-1) !== undefined
    } else if (char === '"') {
      const end = endOfString(text, i)
      if (expectKey) {
        const key = JSON.parse(text.slice(i, end + 1))
        const keys = open.at(-1)
        if (keys === undefined || keys.has(key)) return false
        keys.add(key)
        expectKey = false
      }
      i = end
    } else if (char === '.' || char === 'E' || (char === 'e' && isDigit(text[i - 1]))) {
      return false // rounding could make a whole number of it; the `e` of true and false follows a letter
    }
  }
  return true
}

function isDigit(char: string | undefined): boolean {
  return char !== undefined && char >= '0' && char <= '9'
}

function endOfString(text: string, start: number): number {
  let i = start + 1
  while (text[i] !== '"') i += text[i] === '\\' ? 2 : 1
  return i
}

/** How many values a value holds, itself included. */
export function countValues(value: unknown): number {
  if (typeof value !== 'object' || value === null) return 1
  return Object.values(value).reduce((sum: number, item) => sum + countValues(item), 1)
}

function isPortable(value: unknown): boolean {
  if (typeof value === 'number') return Number.isSafeInteger(value)
  if (typeof value === 'string') return value.isWellFormed()
  if (typeof value !== 'object' || value === null) return true
  return Object.entries(value).every(([key, item]) => key.isWellFormed() && isPortable(item))
}
