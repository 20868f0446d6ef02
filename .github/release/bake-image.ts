/** `node bake-image.ts REPOSITORY DIGEST VALUES`: writes the image that was just pushed into a copy of the chart's values. */

import { readFileSync, writeFileSync } from 'node:fs'
import { isScalar, parseDocument } from 'yaml'

/** The two values alone are rewritten, in place: comments and order are the chart's documentation. */
export function bakeImage(text: string, repository: string, digest: string): string {
  if (!/^[\w.-]+(:\d+)?(\/[a-z0-9._-]+)+$/.test(repository))
    throw new Error(`${repository} is no repository: it has a host and a path, and no tag`)
  if (!/^sha256:[0-9a-f]{64}$/.test(digest)) throw new Error(`${digest} is no sha256 digest`)
  const document = parseDocument(text)
  const baked = { repository, digest }
  // From the end, so that the places of what comes before stay.
  const edits = Object.entries(baked).map(([name, value]) => {
    const node = document.getIn(['image', name], true)
    if (!isScalar(node) || node.value !== '' || !node.range)
      throw new Error(`image.${name} is not empty in the values: it would be overwritten`)
    return { start: node.range[0], end: node.range[1], value }
  })
  return edits
    .toSorted((a, b) => b.start - a.start)
    .reduce(
      (rest, { start, end, value }) => `${rest.slice(0, start)}"${value}"${rest.slice(end)}`,
      text,
    )
}

if (import.meta.main) {
  const [repository = '', digest = '', path = ''] = process.argv.slice(2)
  writeFileSync(path, bakeImage(readFileSync(path, 'utf8'), repository, digest))
}
