/** docs/metrics.md, made from THE TABLE of metrics. */

import { type MetricEntry, maxSeries, metricList } from '../src/observe/metric-list.ts'

export function metricsPage(): string {
  return [
    '# Metrics',
    '',
    '<!-- Made from src/observe/metric-list.ts by `npm run docs`; edit there. -->',
    '',
    '`GET /metrics` on the addresses of `--admin` and `--probe`, in the text format of Prometheus. Dashboards and alerts',
    'are in [`helm/`](../helm), and what to do about an alert is in [runbooks.md](runbooks.md).',
    '',
    'Labels come from the policy or from fixed lists: never an identity, a path, a token or anything else that came with a',
    'request. `_none` stands where there is no value. A reload may bring new names of routes and issuers for ever, so a',
    `counter keeps ${maxSeries.toLocaleString('en')} series of such names; those that come later are added up under \`_other\`, and sums stay right.`,
    '',
    'Beside these there are the usual `process_*` and `nodejs_*` metrics: CPU, memory, file descriptors, event loop,',
    'garbage collection.',
    '',
    ...Object.entries(metricList).map(metricSection),
  ].join('\n')
}

function metricSection([name, { type, unit, help, labels }]: [string, MetricEntry]): string {
  const rows = Object.entries(labels).map(([label, values]) => `| \`${label}\` | ${values} |`)
  const table = rows.length === 0 ? [] : ['', '| label | values |', '|---|---|', ...rows]
  const kind = `${capitalise(type)}${unit === 'seconds' ? ', in seconds' : ''}`
  return [`## ${name}`, '', `*${kind}.* ${help}`, ...table, ''].join('\n')
}

function capitalise(text: string): string {
  return `${text.slice(0, 1).toUpperCase()}${text.slice(1)}`
}
