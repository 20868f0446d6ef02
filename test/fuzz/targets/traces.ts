/** The grammar by which a check joins a trace: `traceparent`, of Envoy's own call and of the request, in the span and in the decision log. */

import { type Context, type SpanContext, type TracerProvider, trace } from '@opentelemetry/api'
import { denyOutright } from '../../../src/decision/decision.ts'
import { decisionLine } from '../../../src/observe/decision-log.ts'
import { createTraces } from '../../../src/observe/traces.ts'
import type { Random } from '../random.ts'
import { agree, demand, type Target } from '../target.ts'

const traceId = '4bf92f3577b34da6a3ce929d0e0e4736'
const spanId = '00f067aa0ba902b7'
/** Between what Envoy's call carries and what the request does; without it there is no trace of the call. */
const bar = '|'

let parent: SpanContext | undefined
const provider = {
  getTracer: () => ({
    startSpan(_name: string, _options: object, context: Context) {
      parent = trace.getSpanContext(context)
      return { isRecording: () => false }
    },
  }),
} as unknown as TracerProvider
const traces = createTraces(provider, '1.2.3')

function header(random: Random): string {
  if (random.chance(9)) return ''
  const fine = random.chance(2)
  const one = (usual: string, ...others: readonly string[]) =>
    fine ? usual : random.pick([usual, ...others])
  const parts = [
    one('00', '01', 'ff', 'FF', '0', 'cc'),
    one(traceId, '0'.repeat(32), traceId.toUpperCase(), traceId.slice(1), `0${traceId}`, ''),
    one(spanId, '0'.repeat(16), spanId.toUpperCase(), spanId.slice(1)),
    one(random.pick(['00', '01', 'ff']), '0', 'AA', '012'),
  ]
  return parts.join('-') + one('', '-', '-what-comes', 'x', '\n', ' ')
}

export const traceparent: Target = {
  name: 'traceparent',
  source: 'W3C Trace Context level 1 §3.2, §4.3',
  dictionary: ['00-', 'ff-', '-01', '-00', bar, traceId, spanId, '0'.repeat(32), '0'.repeat(16)],
  generate(random) {
    const own = header(random)
    return Buffer.from(random.chance(2) ? own : header(random) + bar + own)
  },
  judge(input) {
    const text = input.toString('utf8')
    const at = text.indexOf(bar)
    const ofCall = at === -1 ? undefined : text.slice(0, at)
    const ofRequest = text.slice(at + 1)
    const logged = {
      id: 'decision-1',
      decision: denyOutright('overloaded'),
      request: { id: '', method: 'GET', host: 'a', path: '/', traceparent: ofRequest },
      time: 1_790_000_000_999,
      durationMicroseconds: 1,
      callTraceparent: () => ofCall,
    }
    parent = undefined
    traces.decided(logged)
    const slow = readSlowly(ofCall ?? '') ?? readSlowly(ofRequest)
    agree('parent', parent, slow)
    const line = decisionLine(logged)
    demand('one line', !/[\n\r\u2028\u2029]/.test(line))
    const { trace_id: named } = JSON.parse(line)
    agree('trace_id', named, slow?.traceId ?? null)
    if (slow === undefined) return 'refused'
    return `taken, ${slow.traceFlags}, ${readSlowly(ofCall ?? '') === undefined ? 'of the request' : 'of the call'}`
  },
}

/** Field by field, as §3.2.2 tells them; a version that is not known may go on after a dash (§4.3). */
function readSlowly(text: string): SpanContext | undefined {
  const isHex = (part: string, length: number) =>
    part.length === length && [...part].every((char) => '0123456789abcdef'.includes(char))
  const [version = '', trace = '', span = '', flags = '', ...rest] = text.split('-')
  if (!isHex(version, 2) || version === 'ff') return undefined
  if (!isHex(trace, 32) || Number.parseInt(trace, 16) === 0) return undefined
  if (!isHex(span, 16) || Number.parseInt(span, 16) === 0) return undefined
  if (!isHex(flags, 2) || (version === '00' && rest.length > 0)) return undefined
  const traceFlags = Number.parseInt(flags, 16) % 2
  return { traceId: trace, spanId: span, traceFlags, isRemote: true }
}
