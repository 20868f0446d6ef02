/** Text for a terminal: colour where it is wanted, and nothing from outside that a terminal would obey. */

import { styleText } from 'node:util'

/** Colour only on a terminal, and never against NO_COLOR. */
export function paint(style: 'green' | 'yellow' | 'red' | 'dim' | 'bold', text: string): string {
  return styleText(style, text, { stream: process.stdout })
}

/** Control characters, and those that turn the direction of a line or break it, become visible escapes. */
export function makePrintable(text: string): string {
  return text.replace(
    /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu,
    (char) => `\\u{${char.codePointAt(0)?.toString(16)}}`,
  )
}

/** Breaks at spaces; a word longer than the width stays whole. */
export function wrap(text: string, width: number): readonly string[] {
  const lines: string[] = []
  let line = ''
  for (const word of text.split(' ')) {
    if (line !== '' && line.length + 1 + word.length > width) {
      lines.push(line)
      line = word
    } else line = line === '' ? word : `${line} ${word}`
  }
  return [...lines, line]
}
