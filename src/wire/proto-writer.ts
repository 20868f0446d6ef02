/**
 * Writes protobuf into one scratch buffer. An answer is some forty short fields; a general writer's list of deferred
 * operations costs more than the whole decision (see `make bench`), so this one writes each byte once.
 */

export interface ProtoWriter {
  /** Forgets what was written before. */
  begin(): void
  varint(field: number, value: number): void
  text(field: number, value: string): void
  /** Opens a submessage; `close` takes what it gave. */
  open(field: number): number
  close(start: number): void
  /** A copy of what was written since `begin`. */
  finish(): Buffer
}

/** Lengths are always two bytes: a varint may be longer than it must be (protobuf encoding guide), up to this value. */
const maxLength = 0x3fff
const scratchBytes = 64 * 1024
const lengthDelimited = 2
const shortText = 64

/** Fields are at most 15. Throws a RangeError for a text or a submessage over 16 KiB, which no answer comes near. */
export function createProtoWriter(): ProtoWriter {
  const scratch = Buffer.allocUnsafeSlow(scratchBytes)
  let at = 0

  function open(field: number): number {
    scratch[at] = (field << 3) | lengthDelimited
    at += 3
    return at
  }

  function close(start: number): void {
    const length = at - start
    if (length > maxLength || at >= scratchBytes) throw new RangeError('an answer is too long')
    scratch[start - 2] = (length & 0x7f) | 0x80
    scratch[start - 1] = length >> 7
  }

  /** Short ASCII, which is nearly everything here, is written faster byte by byte than through the runtime's encoder. */
  function writeText(value: string): void {
    const start = at
    if (value.length <= shortText) {
      for (let i = 0; i < value.length; i++) {
        const code = value.charCodeAt(i)
        if (code > 0x7f) break
        scratch[at++] = code
      }
      if (at - start === value.length) return
    }
    at = start + scratch.write(value, start, 'utf8')
  }

  return {
    open,
    close,
    begin() {
      at = 0
    },
    varint(field, value) {
      scratch[at++] = field << 3
      let rest = value
      while (rest > 0x7f) {
        scratch[at++] = (rest & 0x7f) | 0x80
        rest >>>= 7
      }
      scratch[at++] = rest
    },
    text(field, value) {
      const start = open(field)
      writeText(value)
      close(start)
    },
    finish: () => Buffer.from(scratch.subarray(0, at)),
  }
}
