/** The parts of the policy language whose feature is not in this version: refused by name, never silently ignored. */

import { error, type Unplaced } from './problem.ts'
import { plannedBindings, type RouteDocument } from './schema.ts'

const advice =
  'The language has it, this version of meshbind cannot do it yet. Remove it, or wait for the release that names it in the changelog.'

function notYet(path: Unplaced['path'], what: string): Unplaced {
  return { ...error(path, `${what} is not in this version`, advice), at: 'key' }
}

function present(base: Unplaced['path'], object: object, names: readonly string[]): Unplaced[] {
  return names
    .filter((name) => Object.hasOwn(object, name))
    .map((name) => notYet([...base, name], `\`${name}\``))
}

export function notYetInSpec(spec: object): Unplaced[] {
  return present(['spec'], spec, ['wimse'])
}

export function notYetInRoute(index: number, route: RouteDocument): Unplaced[] {
  if (route.require === 'none') return []
  const base = ['spec', 'routes', index]
  const planned = new Set<string>(plannedBindings)
  return route.require.bindings.flatMap((binding, i) =>
    planned.has(binding) ? [notYet([...base, 'require', 'bindings', i], `binding ${binding}`)] : [],
  )
}
