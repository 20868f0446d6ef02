/** The slow reading of a CheckRequest: https://protobuf.dev/programming-guides/encoding/ step by step, into what is asked of it. */

/** Field number and bytes of the length-delimited fields; undefined where the message is broken, or has a group. */
function fieldsOf(message: Buffer): (readonly [number: number, value: Buffer])[] | undefined {
  const fields: (readonly [number, Buffer])[] = []
  let at = 0
  const varint = (): bigint | undefined => {
    let value = 0n
    for (let i = 0n; i < 10n; i++) {
      const byte = message[at++]
      if (byte === undefined) return undefined
      value |= BigInt(byte & 127) << (7n * i)
      if (byte < 128) return value
    }
    return undefined
  }
  while (at < message.length) {
    const tag = varint()
    if (tag === undefined) return undefined
    const [number, wireType] = [Number(BigInt.asUintN(32, tag) >> 3n), Number(tag & 7n)]
    if (wireType === 0) {
      if (varint() === undefined) return undefined
    } else if (wireType === 1) at += 8
    else if (wireType === 5) at += 4
    else if (wireType === 2) {
      const length = varint()
      if (length === undefined) return undefined
      const end = at + Number(BigInt.asUintN(32, length))
      if (end > message.length) return undefined
      fields.push([number, message.subarray(at, end)])
      at = end
    } else return undefined
  }
  return at === message.length ? fields : undefined
}

class Broken extends Error {}

/** A message that stands more than once is one message (protobuf: "last one wins", and messages are merged). */
function readAll(messages: readonly Buffer[], number: number): Buffer[] {
  return messages.flatMap((message) => {
    const fields = fieldsOf(message)
    if (fields === undefined) throw new Broken()
    return fields.filter(([found]) => found === number).map(([, value]) => value)
  })
}

const lastText = (values: readonly Buffer[]) => values.at(-1)?.toString('utf8') ?? ''

export interface SlowQuestion {
  readonly method: string
  readonly host: string
  readonly path: string
  readonly certificate: string
  readonly principal: string
  readonly destination: string
}

/** Only of what a check reads; undefined where any of that is broken, or method or path is missing. */
export function readQuestionSlowly(bytes: Buffer): SlowQuestion | undefined {
  try {
    const attributes = readAll([bytes], 1)
    const [source, destination, request] = [1, 2, 4].map((number) => readAll(attributes, number))
    const http = readAll(request ?? [], 2)
    const text = (messages: readonly Buffer[] = [], number: number) =>
      lastText(readAll(messages, number))
    for (const number of [3, 10])
      for (const entry of number === 3 ? readAll(http, 3) : readAll(attributes, 10))
        requireTexts(entry)
    for (const map of readAll(http, 13)) for (const entry of readAll([map], 1)) requireTexts(entry)
    const question = {
      method: text(http, 2),
      host: text(http, 5),
      path: text(http, 4),
      certificate: text(source, 5),
      principal: text(source, 4),
      destination: text(destination, 4),
    }
    return question.method === '' || question.path === '' ? undefined : question
  } catch (error) {
    if (error instanceof Broken) return undefined
    throw error
  }
}

/** A map entry and a HeaderValue hold nothing but texts. */
function requireTexts(entry: Buffer): void {
  let at = 0
  while (at < entry.length) {
    if (((entry[at] ?? 0) & 7) !== 2) throw new Broken()
    const before = at
    for (at++; (entry[at - 1] ?? 0) >= 128; at++)
      if (at - before > 10 || at > entry.length) throw new Broken()
    let length = 0n
    for (let i = 0n; ; i++) {
      const byte = entry[at++]
      if (byte === undefined || i > 9n) throw new Broken()
      length |= BigInt(byte & 127) << (7n * i)
      if (byte < 128) break
    }
    at += Number(BigInt.asUintN(32, length))
  }
  if (at !== entry.length) throw new Broken()
}
