/** Writes the pages of docs/ that are made from code; `npm run docs`. A test fails while a page differs from its source. */

import { writeFileSync } from 'node:fs'
import { generatedPages } from './pages.ts'

for (const [path, text] of generatedPages()) {
  writeFileSync(new URL(`../${path}`, import.meta.url), text)
  process.stdout.write(`wrote ${path}\n`)
}
