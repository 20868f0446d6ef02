/** THE LIST of what `make bench` measures: what is sent to whom, what is compared, and the targets. */

import type { Material } from './material.ts'
import type { PeerName } from './peers.ts'
import type { Comparison, Row } from './results.ts'

export type SubjectName =
  | 'floor'
  | 'floorOfTwo'
  | 'meshbind'
  | 'crowded'
  | 'workers'
  | 'jose'
  | 'ownCode'
  | PeerName

export interface CheckRow extends Row {
  readonly subject: SubjectName
  readonly count: number
  /** How many are under way at once. */
  readonly inFlight: 1 | 32
  /** One, unless there is a number. */
  readonly connections?: number
  /** The questions; jose gets proofs, and verifies them alone. */
  readonly ask: (material: Material, count: number) => Questions | Promise<Questions>
}

export type Questions = readonly (Buffer | string)[]

/** Answers cost little, or much: about the same time for each row. */
const many = 30_000
const some = 8000
const few = 6000

const warm = ({ warm }: Material) => warm
const cold = (material: Material, count: number) => material.cold(count)
const bareProofs = (material: Material, count: number) => material.bareProofs(count)

export const checkRows: readonly CheckRow[] = [
  {
    id: 'floor',
    title: 'floor',
    subject: 'floor',
    count: many,
    inFlight: 32,
    ask: warm,
    sent: 'the questions of “warm”; one constant allow is the answer to all of them',
  },
  {
    id: 'warm',
    title: 'warm',
    subject: 'meshbind',
    count: many,
    inFlight: 32,
    ask: warm,
    sent: 'a thousand tokens over a hundred certificates, all seen before; paths and request ids differ',
  },
  {
    id: 'hops',
    title: 'two hops (XFCC)',
    subject: 'meshbind',
    count: many,
    inFlight: 32,
    sent: 'the same tokens behind a gateway, with an XFCC header of two elements',
    ask: ({ hops }) => hops,
  },
  {
    id: 'floorHops',
    title: 'floor, two hops',
    subject: 'floor',
    count: many,
    inFlight: 32,
    sent: 'the questions of “two hops”: what their greater length costs',
    ask: ({ hops }) => hops,
  },
  {
    id: 'crowded',
    title: '1,000 routes',
    subject: 'crowded',
    count: many,
    inFlight: 32,
    sent: 'the questions of “warm”, under a policy with a thousand routes before theirs',
    ask: warm,
  },
  {
    id: 'floorAlone',
    title: 'floor, one at a time',
    subject: 'floor',
    count: few,
    sent: 'as “floor”',
    inFlight: 1,
    ask: warm,
  },
  {
    id: 'warmAlone',
    title: 'warm, one at a time',
    subject: 'meshbind',
    count: few,
    sent: 'as “warm”',
    inFlight: 1,
    ask: warm,
  },
  {
    id: 'ownCode',
    title: 'our own code, warm',
    subject: 'ownCode',
    count: many,
    inFlight: 32,
    sent: 'the questions of “warm”, in a process without a server: from their bytes to the answers’',
    ask: warm,
  },
  {
    id: 'ownCodeHops',
    title: 'our own code, two hops',
    subject: 'ownCode',
    count: many,
    inFlight: 32,
    sent: 'the questions of “two hops”, likewise',
    ask: ({ hops }) => hops,
  },
  {
    id: 'jose',
    title: 'jose, ES256, in turn',
    subject: 'jose',
    count: some,
    inFlight: 1,
    sent: 'DPoP proofs, to be verified and nothing else, one after the other',
    ask: bareProofs,
  },
  {
    id: 'joseAtOnce',
    title: 'jose, ES256, 32 at once',
    subject: 'jose',
    count: some,
    sent: 'the same, 32 under way at once',
    inFlight: 32,
    ask: bareProofs,
  },
  {
    id: 'cold',
    title: 'token never seen',
    subject: 'meshbind',
    count: some,
    inFlight: 32,
    sent: 'a new token in every request, under certificates seen before',
    ask: cold,
  },
  {
    id: 'dpop',
    title: 'DPoP, fresh proof each',
    subject: 'meshbind',
    count: some,
    sent: 'a new DPoP proof in every request, all by one key, with tokens seen before',
    inFlight: 32,
    ask: (material, count) => material.proofs(count),
  },
  {
    id: 'wimse',
    title: 'WIT, fresh WPT each',
    subject: 'meshbind',
    count: some,
    sent: 'a new workload proof in every request, with workload tokens seen before',
    inFlight: 32,
    ask: (material, count) => material.workloads(count),
  },
  {
    id: 'opaque',
    title: 'introspected, known',
    subject: 'meshbind',
    count: many,
    sent: 'a thousand opaque tokens that have been asked about',
    inFlight: 32,
    ask: ({ opaque }) => opaque,
  },
  {
    id: 'opaqueCold',
    title: 'introspected, never seen',
    subject: 'meshbind',
    count: some,
    sent: 'a new opaque token in every request; its issuer takes a millisecond to answer',
    inFlight: 32,
    ask: (material, count) => material.neverIntrospected(count),
  },
  {
    id: 'floorOfTwo',
    title: 'floor, two processes',
    subject: 'floorOfTwo',
    count: many,
    inFlight: 32,
    connections: 4,
    sent: 'as “floor”, over four connections to two processes that share the port',
    ask: warm,
  },
  {
    id: 'workers',
    title: 'warm, two workers',
    subject: 'workers',
    count: many,
    inFlight: 32,
    connections: 4,
    sent: 'as “warm”, over four connections to `--workers 2`',
    ask: warm,
  },
  {
    id: 'workersDpop',
    title: 'DPoP, two workers',
    subject: 'workers',
    count: some,
    inFlight: 32,
    connections: 4,
    sent: 'as “DPoP”, over four connections to `--workers 2`; each proof is spent in the first process',
    ask: (material, count) => material.proofs(count),
  },
  {
    id: 'opa',
    title: 'OPA-Envoy, warm',
    subject: 'opa',
    count: some,
    inFlight: 32,
    sent: 'the questions of “warm”',
    ask: warm,
  },
  {
    id: 'opaCold',
    title: 'OPA-Envoy, never seen',
    subject: 'opa',
    count: some,
    inFlight: 32,
    sent: 'the questions of “token never seen”',
    ask: cold,
  },
  {
    id: 'authorino',
    title: 'Authorino, warm',
    subject: 'authorino',
    count: some,
    sent: 'the questions of “warm”',
    inFlight: 32,
    ask: warm,
  },
]

const atLeast = (value: number) => ({ bound: 'at least', value }) as const
const atMost = (value: number) => ({ bound: 'at most', value }) as const
const rate = (of: string, base: string) =>
  ({ of, base, figure: 'perSecond', charted: true }) as const
const cpu = (of: string, base: string) => ({ of, base, figure: 'cpuMicroseconds' }) as const
const p99 = (of: string, base: string) => ({ of, base, figure: 'p99Milliseconds' }) as const

/** By rate, more is better; by CPU and latency, less. The targets are the project's own. */
export const checkComparisons: readonly Comparison[] = [
  { title: 'warm / floor', ...rate('warm', 'floor'), target: atLeast(0.85) },
  { title: 'the same, one at a time', ...rate('warmAlone', 'floorAlone'), target: atLeast(0.8) },
  { title: 'two hops / warm', ...rate('hops', 'warm'), target: atLeast(0.9) },
  { title: 'the floor, two hops / warm', ...rate('floorHops', 'floor') },
  { title: '1,000 routes / warm', ...rate('crowded', 'warm'), target: atLeast(0.9) },
  { title: 'never seen / jose in turn', ...rate('cold', 'jose'), target: atLeast(0.8) },
  { title: 'DPoP / jose in turn', ...rate('dpop', 'jose'), target: atLeast(0.7) },
  { title: 'WIT and WPT / jose in turn', ...rate('wimse', 'jose') },
  { title: 'never seen / jose 32 at once', ...rate('cold', 'joseAtOnce') },
  { title: 'DPoP / jose 32 at once', ...rate('dpop', 'joseAtOnce') },
  { title: 'introspected, known / warm', ...rate('opaque', 'warm') },
  { title: 'two workers / floor of two processes', ...rate('workers', 'floorOfTwo') },
  { title: 'two workers / one, warm', ...rate('workers', 'warm') },
  { title: 'two workers / one, DPoP', ...rate('workersDpop', 'dpop') },
  { title: 'p99, warm / floor', ...p99('warm', 'floor'), target: atMost(1.5) },
  { title: 'CPU, warm / floor', ...cpu('warm', 'floor') },
  { title: 'CPU, our own code / all of warm', ...cpu('ownCode', 'warm') },
  { title: 'CPU, our own code, two hops / warm', ...cpu('ownCodeHops', 'ownCode') },
  { title: 'CPU, two hops / warm', ...cpu('hops', 'warm') },
  { title: 'CPU, the floor, two hops / warm', ...cpu('floorHops', 'floor') },
  { title: 'CPU, 1,000 routes / warm', ...cpu('crowded', 'warm') },
  { title: 'CPU, two workers / floor of two', ...cpu('workers', 'floorOfTwo') },
  { title: 'CPU, never seen / jose in turn', ...cpu('cold', 'jose') },
  { title: 'CPU, DPoP / jose in turn', ...cpu('dpop', 'jose') },
  {
    title: 'warm / OPA-Envoy',
    of: 'warm',
    base: 'opa',
    figure: 'perSecond',
    target: atLeast(8),
  },
  { title: 'CPU, warm / OPA-Envoy', ...cpu('warm', 'opa') },
  { title: 'never seen / OPA-Envoy', of: 'cold', base: 'opaCold', figure: 'perSecond' },
  { title: 'warm / Authorino', of: 'warm', base: 'authorino', figure: 'perSecond' },
]
