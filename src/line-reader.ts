/** Bytes → lines, each of bounded length, however they come in pieces. */

const newline = 0x0a

export interface LineReader {
  push(chunk: Buffer): void
  /** Gives the last line, if it has no newline. */
  end(): void
}

/** @param onLine Gets each line without its newline, and undefined for one that is too long. */
export function createLineReader(
  maxBytes: number,
  onLine: (line: string | undefined) => void,
): LineReader {
  let held: Buffer[] = []
  let heldBytes = 0

  /** Of a line that is too long its length alone is kept. */
  function hold(piece: Buffer): void {
    heldBytes += piece.length
    if (heldBytes <= maxBytes) held.push(piece)
    else held = []
  }

  function give(): void {
    onLine(heldBytes > maxBytes ? undefined : Buffer.concat(held).toString('utf8'))
    held = []
    heldBytes = 0
  }

  return {
    push(chunk) {
      let start = 0
      for (let at = chunk.indexOf(newline); at !== -1; at = chunk.indexOf(newline, start)) {
        hold(chunk.subarray(start, at))
        give()
        start = at + 1
      }
      if (start < chunk.length) hold(chunk.subarray(start))
    },
    end() {
      if (heldBytes > 0) give()
    },
  }
}
