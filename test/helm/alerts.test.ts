import { execFile } from 'node:child_process'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import test from 'ava'
import { collectDefaultMetrics, Registry } from 'prom-client'
import { parse } from 'yaml'
import { reasons } from '../../src/decision/reasons.ts'
import { type MetricEntry, metricList } from '../../src/observe/metric-list.ts'

const run = promisify(execFile)
const file = (path: string) => fileURLToPath(new URL(`../../${path}`, import.meta.url))
const read = (path: string) => readFileSync(file(path), 'utf8')

interface Rule {
  readonly alert?: string
  readonly record?: string
  readonly expr: string
  readonly labels?: Readonly<Record<string, string>>
  readonly annotations?: Readonly<Record<string, string>>
}

interface Sourced {
  readonly datasource: { readonly uid: string }
}

interface Panel extends Sourced {
  readonly id: number
  readonly type: string
  readonly title: string
  readonly description: string
  readonly gridPos: Readonly<Record<'x' | 'y' | 'w' | 'h', number>>
  readonly fieldConfig: { readonly defaults: { readonly unit?: string } }
  readonly targets?: readonly (Sourced & { readonly expr: string; readonly legendFormat: string })[]
}

interface Variable {
  readonly name: string
  readonly type: string
  readonly definition?: string
}

interface Dashboard {
  readonly uid: string
  readonly schemaVersion: number
  readonly templating: { readonly list: readonly Variable[] }
  readonly panels: readonly Panel[]
}

const rulesFile = 'helm/meshbind/alerts/meshbind.rules.yaml'
const rules: readonly Rule[] = parse(read(rulesFile)).groups.flatMap(
  (group: { readonly rules: readonly Rule[] }) => group.rules,
)
const alerts = rules.filter((rule) => rule.alert !== undefined)
const dashboards: readonly Dashboard[] = readdirSync(file('helm/meshbind/dashboards')).map((name) =>
  JSON.parse(read(`helm/meshbind/dashboards/${name}`)),
)

/** What Prometheus itself adds to each series. */
const targetLabels = ['job', 'instance']

/** Series name → its labels: THE TABLE, prom-client's own, and what the rules record. */
async function readKnownSeries(): Promise<ReadonlyMap<string, ReadonlySet<string>>> {
  const known = new Map<string, ReadonlySet<string>>()
  const add = (name: string, type: string, labels: readonly string[]) => {
    const parts = type === 'histogram' ? ['_bucket', '_sum', '_count'] : ['']
    for (const part of parts)
      known.set(
        `${name}${part}`,
        new Set([...labels, ...targetLabels, ...(part === '_bucket' ? ['le'] : [])]),
      )
  }
  const table: Readonly<Record<string, MetricEntry>> = metricList
  for (const [name, { type, labels }] of Object.entries(table)) add(name, type, Object.keys(labels))
  const registry = new Registry()
  collectDefaultMetrics({ register: registry })
  for (const metric of registry.getMetricsAsArray()) {
    const { type, labelNames } = metric as unknown as { type: string; labelNames: string[] }
    add(metric.name, type, labelNames)
  }
  for (const { record, expr } of rules)
    if (record !== undefined) known.set(record, new Set(namesIn(expr, /\bby \(([^)]*)\)/)))
  return known
}

function namesIn(text: string, within: RegExp): string[] {
  const lists = [...text.matchAll(new RegExp(within, 'g'))].map(([, list]) => list ?? '')
  return lists.flatMap((list) => list.match(/\w+/g) ?? [])
}

/** Every series that an expression names, with the labels and values that it asks for. */
function selectorsOf(expr: string) {
  const pattern = /\b((?:meshbind|grpc_server|process|nodejs)[_:][\w:]*)(?:\{([^}]*)\})?/g
  return [...expr.matchAll(pattern)].map(([, name = '', inside = '']) => ({
    name,
    matchers: [...inside.matchAll(/(\w+)\s*(=~|!~|!=|=)\s*"([^"]*)"/g)].map(
      ([, label = '', operator = '', value = '']) => ({ label, operator, value }),
    ),
  }))
}

const expressions: readonly (readonly [where: string, expr: string])[] = [
  ...rules.map((rule) => [rule.alert ?? rule.record ?? '', rule.expr] as const),
  ...dashboards.flatMap(({ uid, panels, templating }) => [
    ...panels.flatMap(({ title, targets = [] }) =>
      targets.map(({ expr }) => [`${uid}: ${title}`, expr] as const),
    ),
    ...templating.list.flatMap(({ name, definition }) =>
      definition === undefined ? [] : [[`${uid}: $${name}`, definition] as const],
    ),
  ]),
]

test('every metric and label that rules and dashboards name exists', async (t) => {
  const known = await readKnownSeries()
  for (const [where, expr] of expressions) {
    const selectors = selectorsOf(expr)
    t.not(selectors.length, 0, where)
    const labels = new Set<string>()
    for (const { name, matchers } of selectors) {
      const own = known.get(name)
      t.truthy(own, `${where}: there is no ${name}`)
      for (const { label } of matchers) t.true(own?.has(label), `${where}: ${name} has no ${label}`)
      for (const label of own ?? []) labels.add(label)
    }
    for (const label of namesIn(expr, /\bby \(([^)]*)\)/))
      t.true(labels.has(label), `${where}: nothing there has a label ${label}`)
  }
})

test('every reason that rules and dashboards ask for is in the table of reasons', (t) => {
  const names = Object.keys(reasons)
  for (const [where, expr] of expressions) {
    const asked = selectorsOf(expr).flatMap(({ matchers }) => matchers)
    for (const { value } of asked.filter(({ label }) => label === 'reason'))
      for (const part of value.split('|'))
        t.true(
          names.some((name) => new RegExp(`^(?:${part})$`).test(name)),
          `${where}: ${part}`,
        )
  }
})

test('what an alert or a legend says of a label, its expression keeps', (t) => {
  const check = (where: string, expr: string, said: readonly string[]) => {
    const kept = /\bby \(/.test(expr) ? namesIn(expr, /\bby \(([^)]*)\)/) : targetLabels
    for (const label of said) t.true(kept.includes(label), `${where}: ${label}`)
  }
  for (const { alert = '', expr, annotations = {} } of alerts) {
    const said = Object.values(annotations)
      .join(' ')
      .matchAll(/\$labels\.(\w+)/g)
    check(
      alert,
      expr,
      [...said].map(([, label]) => label ?? ''),
    )
  }
  for (const { panels } of dashboards)
    for (const { title, targets = [] } of panels)
      for (const { expr, legendFormat } of targets)
        check(
          title,
          expr,
          [...legendFormat.matchAll(/\{\{(\w+)\}\}/g)].map(([, label]) => label ?? ''),
        )
})

test('each alert has a severity, words, a runbook of its own and a test; no runbook is without its alert', (t) => {
  const runbooks = read('docs/runbooks.md')
  const sections = [...runbooks.matchAll(/^## (\w+)$/gm)].map(([, name]) => name)
  t.deepEqual(
    sections,
    alerts.map(({ alert }) => alert),
  )
  const tests = read('helm/meshbind/alerts/meshbind.test.yaml')
  for (const { alert = '', labels, annotations } of alerts) {
    t.true(['warning', 'critical'].includes(labels?.['severity'] ?? ''), alert)
    t.truthy(annotations?.['summary'] && annotations['description'], alert)
    t.is(annotations?.['runbook_url'], `docs/runbooks.md#${alert.toLowerCase()}`)
    t.true(tests.includes(`alertname="${alert}"`), `${alert} is not tested`)
  }
})

test('dashboards can be imported beside each other and into any Grafana: identities, data source variable, form', (t) => {
  t.is(new Set(dashboards.map(({ uid }) => uid)).size, dashboards.length)
  for (const { uid, schemaVersion, templating, panels } of dashboards) {
    t.true(schemaVersion >= 36, uid)
    t.true(templating.list.some(({ name, type }) => name === 'datasource' && type === 'datasource'))
    t.is(new Set(panels.map(({ id }) => id)).size, panels.length, uid)
    const taken = new Set<string>()
    for (const { type, title, description, gridPos, fieldConfig, datasource, targets } of panels) {
      const corner = `${gridPos.x},${gridPos.y}`
      t.false(taken.has(corner), `${uid}: ${title} lies upon another panel`)
      taken.add(corner)
      t.true(gridPos.x + gridPos.w <= 24, title)
      if (type === 'row') continue
      t.truthy(description, title)
      t.truthy(fieldConfig.defaults.unit, title)
      for (const source of [datasource, ...(targets ?? []).map((target) => target.datasource)])
        t.is(source.uid, `\${datasource}`, title)
    }
  }
})

/** Whether there is a promtool; under CI=true its absence is a failure. */
function canRunPromtool(): boolean {
  const directories = (process.env['PATH'] ?? '').split(delimiter)
  if (directories.some((directory) => existsSync(join(directory, 'promtool')))) return true
  const message = 'promtool not found on PATH. Debian: apt-get install prometheus'
  if (process.env['CI'] === 'true') throw new Error(message)
  process.stderr.write(`SKIPPED: ${message}\n`)
  return false
}

const withPromtool = canRunPromtool() ? test : test.skip

async function promtool(...args: string[]): Promise<string> {
  const { stdout } = await run('promtool', args, { timeout: 60_000 }).catch((error) => {
    throw new Error(`${error.stdout}${error.stderr}`)
  })
  return stdout
}

withPromtool(
  'the real promtool: each alert fires on its trouble and on nothing else',
  async (t) => {
    const checked = await promtool('check', 'rules', file(rulesFile))
    t.regex(checked, new RegExp(`${rules.length} rules found`))
    t.regex(
      await promtool('test', 'rules', file('helm/meshbind/alerts/meshbind.test.yaml')),
      /SUCCESS/,
    )
  },
)

withPromtool('the real promtool reads every expression of the dashboards', async (t) => {
  const directory = await mkdtemp(join(tmpdir(), 'meshbind-dashboards-'))
  t.teardown(() => rm(directory, { recursive: true, force: true }))
  const recorded = dashboards.flatMap(({ panels }) =>
    panels.flatMap(({ targets = [] }) => targets.map(({ expr }) => expr)),
  )
  const asRules = recorded.map((expr, at) => ({
    record: `panel:${at}`,
    expr: expr.replaceAll(/\$__(rate_interval|range)/g, '5m'),
  }))
  const path = join(directory, 'panels.yaml')
  await writeFile(path, JSON.stringify({ groups: [{ name: 'panels', rules: asRules }] }))
  t.regex(await promtool('check', 'rules', path), new RegExp(`${recorded.length} rules found`))
})
