/** The results as one SVG: a bar for the median, a whisker from least to most, a line where the target is. */

import { spreadText } from './report.ts'
import type { Results, Section, Told } from './results.ts'

interface Panel {
  readonly title: string
  readonly bars: readonly Told[]
}

const width = 800
const labelsEnd = 300
const barsEnd = 660
const barHeight = 14
const lineHeight = 26
const panelHead = 44

/** Mid-tones that can be read on white and on black; where the reader's scheme is known, more contrast. */
const style = `
  text { font: 13px system-ui, sans-serif; fill: #6e7781 }
  .title { font-weight: 600 }
  .bar { fill: #4a90d9 }
  .missed { fill: #d98a3d }
  .whisker { stroke: #6e7781; stroke-width: 1.5 }
  .target { stroke: #c2418f; stroke-width: 2 }
  .axis { stroke: #6e7781; stroke-opacity: 0.5 }
  @media (prefers-color-scheme: dark) { text { fill: #c9d1d9 } .whisker { stroke: #c9d1d9 } }
  @media (prefers-color-scheme: light) { text { fill: #24292f } .whisker { stroke: #24292f } }
`

export function drawChart({ checks, envoy }: Results): string {
  const panels: Panel[] = [
    { title: 'Rate, as a part of what it is compared with', bars: charted(checks, true) },
    { title: 'Latency added through Envoy, p50 in ms', bars: charted(envoy, false) },
  ].filter(({ bars }) => bars.length > 0)
  let top = 0
  const drawn = panels.map((panel) => {
    const text = drawPanel(panel, top)
    top += panelHead + panel.bars.length * lineHeight
    return text
  })
  const legend = legendAt(top + 30)
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${top + 50}" width="${width}" height="${top + 50}" role="img">`,
    '<title>What the benches measured</title>',
    `<style>${style}</style>`,
    ...drawn,
    legend,
    '</svg>',
    '',
  ].join('\n')
}

/** Ratios, or differences in a unit: they do not share an axis. */
function charted(section: Section | undefined, ratios: boolean): Told[] {
  const told = section?.comparisons ?? []
  return told.filter((each) => each.charted === true && (each.base !== undefined) === ratios)
}

function drawPanel({ title, bars }: Panel, top: number): string {
  const most = Math.max(...bars.flatMap(({ max, target }) => [max, target?.value ?? 0]))
  const xOf = (value: number) =>
    (labelsEnd + (Math.max(0, value) / most) * (barsEnd - labelsEnd)).toFixed(1)
  const end = top + panelHead + bars.length * lineHeight
  return [
    `<text class="title" x="10" y="${top + 26}">${escapeText(title)}</text>`,
    ...bars.map((bar, i) => drawBar(bar, top + panelHead + i * lineHeight, xOf)),
    `<line class="axis" x1="${labelsEnd}" x2="${labelsEnd}" y1="${top + panelHead - 6}" y2="${end - 6}"/>`,
  ].join('\n')
}

function drawBar(told: Told, top: number, xOf: (value: number) => string): string {
  const { title, median, min, max, target, verdict } = told
  const middle = top + barHeight / 2
  const kind = verdict?.met === false ? 'bar missed' : 'bar'
  const marks =
    target === undefined ? [] : [line('target', xOf(target.value), top - 4, top + barHeight + 4)]
  return [
    `<text x="${labelsEnd - 8}" y="${middle + 4}" text-anchor="end">${escapeText(title)}</text>`,
    `<rect class="${kind}" x="${labelsEnd}" y="${top}" width="${(Number(xOf(median)) - labelsEnd).toFixed(1)}" height="${barHeight}"/>`,
    `<line class="whisker" x1="${xOf(min)}" x2="${xOf(max)}" y1="${middle}" y2="${middle}"/>`,
    ...[min, max].map((value) => line('whisker', xOf(value), middle - 4, middle + 4)),
    ...marks,
    `<text x="${barsEnd + 12}" y="${middle + 4}">${spreadText(told, 2)}</text>`,
  ].join('\n')
}

function line(kind: string, x: string, from: number, to: number): string {
  return `<line class="${kind}" x1="${x}" x2="${x}" y1="${from}" y2="${to}"/>`
}

function legendAt(y: number): string {
  return [
    `<rect class="bar" x="10" y="${y - 11}" width="14" height="14"/><text x="30" y="${y}">median</text>`,
    `<rect class="bar missed" x="95" y="${y - 11}" width="14" height="14"/><text x="115" y="${y}">median that misses its target</text>`,
    `<line class="target" x1="320" x2="320" y1="${y - 13}" y2="${y + 4}"/><text x="330" y="${y}">target</text>`,
    `<line class="whisker" x1="395" x2="425" y1="${y - 4}" y2="${y - 4}"/><text x="433" y="${y}">least to most</text>`,
  ].join('\n')
}

function escapeText(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;')
}
