/** `meshbind doctor`: what evidence a live server has been given by its Envoys so far, and the setting that is missing. */

import http from 'node:http'
import { Command, Option } from 'commander'
import { CommandError, exitCode } from '../exit.ts'
import { diagnose, type Finding } from '../observe/diagnosis.ts'
import type { Setting } from '../observe/envoy-settings.ts'
import {
  type EvidenceReport,
  evidenceKinds,
  evidenceRefusals,
  evidenceSigns,
  type KindSeen,
} from '../observe/evidence-seen.ts'
import { isJsonObject, type JsonObject, member, parseStrictJson } from '../strict-json.ts'
import { isListenAddress } from '../wire/listen.ts'
import { type Exit, examples, outputOption } from './options.ts'
import { paint } from './terminal.ts'

const timeoutMs = 5000
const maxBytes = 64 * 1024

export function doctorCommand(exit: Exit): Command {
  return new Command('doctor')
    .exitOverride()
    .description(
      'Say what evidence a running server has been given so far, and which setting of Envoy or Istio is missing. Exit code 1 if one is.',
    )
    .addOption(
      new Option('--target <address>', 'host:port of its --admin listener').makeOptionMandatory(),
    )
    .addOption(outputOption())
    .addHelpText(
      'after',
      examples(
        'meshbind doctor --target 127.0.0.1:9464',
        'kubectl port-forward pod/payments-0 9464 & sleep 3; meshbind doctor --target 127.0.0.1:9464',
        'meshbind doctor --target 127.0.0.1:9464 --output json',
      ),
    )
    .action(async ({ target, output }: { target: string; output: string }) =>
      exit(await consult(target, output)),
    )
}

async function consult(target: string, output: string): Promise<number> {
  if (!isListenAddress(target) || target.startsWith('unix:')) {
    throw new CommandError('--target: not an address; write host:port (127.0.0.1:9464)')
  }
  const bytes = await fetchEvidence(target).catch((error: Error) => {
    const why = error.message.startsWith('Parse Error')
      ? 'what answers speaks no HTTP: is it the port of --listen?'
      : error.message
    throw new CommandError(`${target}: ${why}\n${howToReach}`, exitCode.couldNotRun)
  })
  const report = readReport(bytes)
  const findings = diagnose(report)
  process.stdout.write(
    output === 'json'
      ? `${JSON.stringify({ ...report, findings }, null, 2)}\n`
      : renderReport(report, findings),
  )
  return findings.some(({ severity }) => severity === 'problem') ? exitCode.no : exitCode.good
}

const howToReach =
  'The target is the address of meshbind serve --admin (default 127.0.0.1:9464), which is bound to loopback; from outside a pod:\n  kubectl port-forward pod/NAME 9464'

/** The body of a 200 answer; rejects with a message. */
async function fetchEvidence(target: string): Promise<Buffer> {
  const signal = AbortSignal.timeout(timeoutMs)
  try {
    const response = await new Promise<http.IncomingMessage>((resolve, reject) => {
      http
        .get(`http://${target}/evidence`, { agent: false, signal }, resolve)
        .once('error', reject)
        .once('close', () => reject(new Error('the connection ended without an answer')))
    })
    if (response.statusCode !== 200) {
      response.destroy()
      throw new Error(`/evidence answered with status ${response.statusCode}`)
    }
    const chunks: Buffer[] = []
    let size = 0
    for await (const chunk of response) {
      size += chunk.length
      if (size > maxBytes) throw new Error(`the answer is over ${maxBytes / 1024} KiB`)
      chunks.push(chunk)
    }
    return Buffer.concat(chunks)
  } catch (error) {
    if (signal.aborted) throw new Error(`no answer within ${timeoutMs / 1000} s`)
    const refused = error instanceof Error && 'code' in error && error.code === 'ECONNREFUSED'
    throw refused ? new Error('nothing is listening there') : error
  }
}

/** A report of the form that doctor knows; throws where it is another one. Members that it does not know are left out. */
function readReport(bytes: Uint8Array): EvidenceReport {
  const report = parseStrictJson(bytes) ?? {}
  const policy = objectIn(report, 'policy')
  const evidence = objectIn(report, 'evidence')
  const kinds = objectIn(evidence, 'kinds')
  const signs = objectIn(evidence, 'signs')
  const refusals = objectIn(evidence, 'refusals')
  return {
    policy: {
      name: textIn(policy, 'name'),
      revision: textIn(policy, 'revision'),
      evidence: textsIn(policy, 'evidence'),
      bindings: textsIn(policy, 'bindings'),
      forwarders: textsIn(policy, 'forwarders'),
      presenter: flagIn(policy, 'presenter'),
      certificate: flagIn(policy, 'certificate'),
    },
    evidence: {
      since: numberIn(evidence, 'since'),
      checks: numberIn(evidence, 'checks'),
      kinds: recordOf(evidenceKinds, (name) => readKind(objectIn(kinds, name))),
      signs: recordOf(evidenceSigns, (name) => numberIn(signs, name)),
      refusals: recordOf(evidenceRefusals, (name) => numberIn(refusals, name)),
    },
  }
}

function readKind(kind: JsonObject): KindSeen {
  const count = numberIn(kind, 'count')
  if (count === 0) return { count, firstAt: null, lastAt: null }
  return { count, firstAt: numberIn(kind, 'firstAt'), lastAt: numberIn(kind, 'lastAt') }
}

function recordOf<Name extends string, Value>(
  names: readonly Name[],
  read: (name: Name) => Value,
): { readonly [name in Name]: Value } {
  return Object.fromEntries(names.map((name) => [name, read(name)])) as Record<Name, Value>
}

function objectIn(object: JsonObject, name: string): JsonObject {
  const value = member(object, name)
  return isJsonObject(value) ? value : refuseReport(name)
}

/** What is printed must be printable. */
function textIn(object: JsonObject, name: string): string {
  const value = member(object, name)
  return isPrintable(value) ? value : refuseReport(name)
}

function textsIn(object: JsonObject, name: string): readonly string[] {
  const value = member(object, name)
  return Array.isArray(value) && value.every(isPrintable) ? value : refuseReport(name)
}

function isPrintable(value: unknown): value is string {
  return typeof value === 'string' && /^[\x20-\x7e]{1,2048}$/.test(value)
}

function flagIn(object: JsonObject, name: string): boolean {
  const value = member(object, name)
  return typeof value === 'boolean' ? value : refuseReport(name)
}

/** A count, or a time that Date can show. */
function numberIn(object: JsonObject, name: string): number {
  const value = member(object, name)
  return typeof value === 'number' && value >= 0 && value <= 8.64e15 ? value : refuseReport(name)
}

function refuseReport(name: string): never {
  const message = `the answer is no evidence report of this version of meshbind (${name})`
  throw new CommandError(message, exitCode.couldNotRun)
}

const colours = { ok: 'green', warning: 'yellow', problem: 'red' } as const
const indent = '  '

function renderReport({ policy, evidence }: EvidenceReport, findings: readonly Finding[]): string {
  const shown = new Set<Setting>()
  const topicWidth = Math.max(...findings.map(({ topic }) => topic.length))
  const lines = findings.flatMap(({ severity, topic, seen, advice, settings }) => {
    const word = severity === 'problem' ? 'PROBLEM' : severity
    const painted = paint(colours[severity], word.padEnd(7))
    const margin = ' '.repeat(indent.length + 7 + 2 + topicWidth + 2)
    return [
      `${indent}${painted}  ${topic.padEnd(topicWidth)}  ${seen}`,
      ...(advice === null ? [] : [`${margin}${advice}`]),
      ...settings.flatMap((setting) => renderSetting(setting, shown)),
      ...(settings.length > 0 ? [''] : []),
    ]
  })
  return `${[
    `policy ${policy.name}, revision ${policy.revision}: evidence ${policy.evidence.join(', ')}; bindings ${policy.bindings.join(', ') || 'none'}`,
    `${evidence.checks} checks since ${timeText(evidence.since)}`,
    '',
    `${indent}evidence      checks  first seen            last seen`,
    ...evidenceKinds.map((kind) => renderKind(kind, evidence.kinds[kind])),
    '',
    ...lines,
  ]
    .join('\n')
    .trimEnd()}\n`
}

function renderKind(name: string, { count, firstAt, lastAt }: KindSeen): string {
  const times = firstAt === null ? 'never' : `${timeText(firstAt)}  ${timeText(lastAt ?? firstAt)}`
  return `${indent}${name.padEnd(11)}  ${String(count).padStart(7)}  ${times}`
}

/** One setting may help in several findings; it is shown in full once. */
function renderSetting(setting: Setting, shown: Set<Setting>): string[] {
  if (shown.has(setting)) return [`${indent}${indent}${setting.place}: as above`]
  shown.add(setting)
  const yaml = setting.yaml.split('\n').map((line) => `${indent.repeat(4)}${line}`)
  return [`${indent}${indent}${setting.place}:`, ...yaml]
}

function timeText(milliseconds: number): string {
  return new Date(milliseconds).toISOString().replace(/\.\d+Z$/, 'Z')
}
