import test from 'ava'
import type { Log } from '../../src/observe/log.ts'
import type { Metrics } from '../../src/observe/metrics.ts'
import { tellOfSources } from '../../src/service/source-log.ts'
import type { IntrospectionResult } from '../../src/token/introspection-call.ts'

interface Rig {
  readonly lines: readonly (readonly [level: string, fields: object])[]
  readonly counted: readonly string[]
  call(result: IntrospectionResult, error?: string): void
}

function createRig(): Rig {
  const lines: [string, object][] = []
  const counted: string[] = []
  const at = (level: string) => (fields: object) => void lines.push([level, fields])
  const log = { app: { info: at('info'), warn: at('warn') } } as unknown as Log
  const metrics = {
    introspected: (issuer: string, result: string) => void counted.push(`${issuer} ${result}`),
  } as unknown as Metrics
  const { onIntrospection } = tellOfSources(log, metrics, 'policy.yaml')
  return { lines, counted, call: (...told) => onIntrospection?.('partner', ...told) }
}

test('contract §7: each call is counted, and the log is told of a change alone', (t) => {
  const { lines, counted, call } = createRig()
  for (let i = 0; i < 5; i++) call('active')
  t.deepEqual(lines, [])
  for (let i = 0; i < 5; i++) call('inactive')
  t.deepEqual(lines, [])
  for (let i = 0; i < 5; i++) call('unauthorized', 'answered 401')
  call('refused', 'the last calls failed')
  t.deepEqual(lines, [
    ['warn', { issuer: 'partner', result: 'unauthorized', error: 'answered 401' }],
  ])
  t.is(counted.length, 16)
  t.is(counted.at(-1), 'partner refused')
})

test('an endpoint that comes and goes by the second is a few lines, however many calls there are', (t) => {
  const { lines, counted, call } = createRig()
  for (let i = 0; i < 1000; i++) {
    call('timeout', 'no answer within 2000 ms')
    call('active')
  }
  t.is(counted.length, 2000)
  t.true(lines.length >= 1 && lines.length < 10, String(lines.length))
})
