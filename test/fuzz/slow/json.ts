/** The slow reading of strict JSON: RFC 8259 by recursive descent, with what policy.md (Defaults) refuses refused on the way. */

const maxDepth = 16

/** `{ value }`, or undefined where the text is refused. */
export function readJsonSlowly(text: string): { readonly value: unknown } | undefined {
  const reader = new Reader(text)
  try {
    const value = reader.value(1)
    reader.skipSpace()
    return reader.at === text.length ? { value } : undefined
  } catch (error) {
    if (error instanceof Refused) return undefined
    throw error
  }
}

/** Of bytes, which have to be UTF-8 and an object. */
export function readObjectSlowly(bytes: Buffer): { readonly [name: string]: unknown } | undefined {
  const text = bytes.toString('utf8')
  if (!Buffer.from(text, 'utf8').equals(bytes)) return undefined
  const found = readJsonSlowly(text)?.value
  if (typeof found !== 'object' || found === null || Array.isArray(found)) return undefined
  return found as { readonly [name: string]: unknown }
}

class Refused extends Error {}

const escapes: { readonly [char: string]: string } = {
  '"': '"',
  '\\': '\\',
  '/': '/',
  b: '\b',
  f: '\f',
  n: '\n',
  r: '\r',
  t: '\t',
}

class Reader {
  at = 0
  readonly #text: string

  constructor(text: string) {
    this.#text = text
  }

  skipSpace(): void {
    while (this.at < this.#text.length && ' \t\n\r'.includes(this.#text.charAt(this.at))) this.at++
  }

  value(depth: number): unknown {
    this.skipSpace()
    const char = this.#text.charAt(this.at)
    if (char === '{') return this.#object(depth)
    if (char === '[') return this.#array(depth)
    if (char === '"') return this.#string()
    for (const [word, value] of [
      ['true', true],
      ['false', false],
      ['null', null],
    ] as const) {
      if (this.#text.startsWith(word, this.at)) {
        this.at += word.length
        return value
      }
    }
    return this.#integer()
  }

  #object(depth: number): object {
    this.#expect('{')
    if (depth > maxDepth) throw new Refused()
    const object = {}
    if (this.#closes('}')) return object
    for (;;) {
      this.skipSpace()
      const name = this.#string()
      this.#expect(':')
      if (Object.hasOwn(object, name)) throw new Refused()
      const value = this.value(depth + 1)
      // Not by assignment: a member may be called __proto__.
      Object.defineProperty(object, name, {
        value,
        enumerable: true,
        writable: true,
        configurable: true,
      })
      if (this.#closes('}')) return object
      this.#expect(',')
    }
  }

  #array(depth: number): unknown[] {
    this.#expect('[')
    if (depth > maxDepth) throw new Refused()
    const array: unknown[] = []
    if (this.#closes(']')) return array
    for (;;) {
      array.push(this.value(depth + 1))
      if (this.#closes(']')) return array
      this.#expect(',')
    }
  }

  #string(): string {
    if (this.#text.charAt(this.at) !== '"') throw new Refused()
    this.at++
    let value = ''
    for (;;) {
      if (this.at >= this.#text.length) throw new Refused()
      const char = this.#text.charAt(this.at++)
      if (char === '"') break
      if (char.charCodeAt(0) < 0x20) throw new Refused()
      value += char === '\\' ? this.#escape() : char
    }
    for (const point of value) {
      const code = point.codePointAt(0) ?? 0
      if (code >= 0xd800 && code <= 0xdfff) throw new Refused() // a surrogate alone
    }
    return value
  }

  #escape(): string {
    const char = this.#text.charAt(this.at++)
    if (char !== 'u') {
      const value = escapes[char]
      if (value === undefined || char === '') throw new Refused()
      return value
    }
    const digits = this.#text.slice(this.at, this.at + 4)
    if (!/^[0-9a-fA-F]{4}$/.test(digits)) throw new Refused()
    this.at += 4
    return String.fromCharCode(Number.parseInt(digits, 16))
  }

  #integer(): number {
    const start = this.at
    if (this.#text.charAt(this.at) === '-') this.at++
    const first = this.at
    while (isDigit(this.#text.charAt(this.at))) this.at++
    const digits = this.#text.slice(first, this.at)
    if (digits === '' || (digits.startsWith('0') && digits !== '0')) throw new Refused()
    if ('.eE'.includes(this.#text.charAt(this.at) || ' ')) throw new Refused()
    const exact = BigInt(digits)
    if (exact > 9_007_199_254_740_991n) throw new Refused()
    return Number(this.#text.slice(start, this.at))
  }

  #closes(char: string): boolean {
    this.skipSpace()
    if (this.#text.charAt(this.at) !== char) return false
    this.at++
    return true
  }

  #expect(char: string): void {
    this.skipSpace()
    if (this.#text.charAt(this.at) !== char) throw new Refused()
    this.at++
  }
}

function isDigit(char: string): boolean {
  return char >= '0' && char <= '9' && char.length === 1
}
