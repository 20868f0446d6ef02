/** Kubernetes objects out of rendered YAML, read as Kubernetes reads it, and found by kind and name. */

import { parseAllDocuments } from 'yaml'

/** What YAML gives, typed as JSON.parse types it: tests look into it freely. */
type Field = ReturnType<typeof JSON.parse>

export interface KubeObject {
  readonly apiVersion: string
  readonly kind: string
  readonly metadata: Field
  readonly spec?: Field
  readonly data?: Field
  readonly [field: string]: Field
}

/**
 * As Helm and Kubernetes read YAML: 1.1, so that a bare `off` is false, but with no dates and no numbers to the base of
 * 60, which their reader (sigs.k8s.io/yaml) does not have. The empty documents of templates that gave nothing are left out.
 */
export function parseObjects(text: string): readonly KubeObject[] {
  const documents = parseAllDocuments(text, {
    version: '1.1',
    customTags: (tags) =>
      tags.filter(
        (tag) => typeof tag === 'string' || (tag.format !== 'TIME' && !/timestamp$/.test(tag.tag)),
      ),
  })
  return documents.flatMap((document) => {
    const [problem] = [...document.errors, ...document.warnings]
    if (problem !== undefined) throw new Error(`what was rendered is no YAML: ${problem.message}`)
    const value = document.toJS()
    return value === null || value === undefined ? [] : [value]
  })
}

/** The one object of this kind, and of this name if one is given. Throws an error that says what there is. */
export function find(objects: readonly KubeObject[], kind: string, name?: string): KubeObject {
  const [first, ...more] = findAll(objects, kind).filter(
    ({ metadata }) => name === undefined || metadata?.name === name,
  )
  if (first !== undefined && more.length === 0) return first
  const wanted = name === undefined ? kind : `${kind}/${name}`
  const there = objects.map((object) => `${object.kind}/${object.metadata?.name}`).join(', ')
  throw new Error(
    `${first === undefined ? 'no' : 'more than one'} ${wanted}; there are: ${there || 'no objects'}`,
  )
}

export function findAll(objects: readonly KubeObject[], kind: string): readonly KubeObject[] {
  return objects.filter((object) => object.kind === kind)
}
