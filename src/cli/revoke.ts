/** `meshbind revoke`: kills a credential on every replica through the shared state, lists what is revoked, and undoes it. */

import { Command, Option } from 'commander'
import { CommandError, exitCode } from '../exit.ts'
import type { SharedState } from '../state/redis.ts'
import { endOf } from '../state/revocation-feed.ts'
import { endsWithin } from '../time-limit.ts'
import { type Exit, examples, outputOption } from './options.ts'
import { readBefore, readDuration, readSelectors, type Selectors } from './revoke-selectors.ts'
import { describeEnd, describeRevocation, type Listed, listed } from './revoke-text.ts'
import { stateAddress } from './settings.ts'

interface Flags extends Selectors {
  readonly state?: string
  readonly output: string
  readonly before?: string
  readonly for?: string
}

const nowSeconds = () => Math.floor(Date.now() / 1000)
const connectLimitMs = 5000
const notTaken = 'the shared state did not take it, or did not say so: try again'

export function revokeCommand(exit: Exit): Command {
  const revoke = withSelectors(new Command('revoke'))
    .exitOverride()
    .description(
      'Revoke by identifiers, never by a token’s text: in force on every replica within 2 s.',
    )
    .addOption(
      new Option(
        '--before <time>',
        'tokens issued before: now, or a time such as 2026-11-22T10:00:00Z; without it every token is hit, future ones too',
      ),
    )
    .addOption(
      new Option(
        '--for <duration>',
        'forget it after this long (h, m, s); by default once no token that it names can live',
      ),
    )
    .addHelpText(
      'after',
      examples(
        'meshbind revoke --state redis://redis:6379 --issuer https://idp.example --jti 4f9c1d',
        'meshbind revoke --state redis://redis:6379 --issuer https://idp.example --subject batch-42 --before now',
        'meshbind revoke --state redis://redis:6379 --presenter spiffe://mesh.example/ns/batch/sa/job-42 --before now',
        'meshbind revoke list --state redis://redis:6379',
        'meshbind revoke undo --state redis://redis:6379 --issuer https://idp.example --subject batch-42',
      ),
    )
    .action(async (flags: Flags) => exit(await add(flags)))
  revoke.addCommand(
    new Command('list')
      .exitOverride()
      .description('Show what is revoked in the shared state, and for how long.')
      .addOption(stateOption())
      .addOption(outputOption())
      .addHelpText(
        'after',
        examples('meshbind revoke list --state redis://redis:6379 --output json'),
      )
      .action(async (_: Flags, command: Command) => exit(await list(command.optsWithGlobals()))),
  )
  revoke.addCommand(
    withSelectors(new Command('undo'))
      .exitOverride()
      .description(
        'Take entries back, whatever their --before. What else refuses a token still does.',
      )
      .addHelpText(
        'after',
        examples(
          'meshbind revoke undo --state redis://redis:6379 --presenter spiffe://mesh.example/ns/batch/sa/job-42',
        ),
      )
      .action(async (_: Flags, command: Command) => exit(await undo(command.optsWithGlobals()))),
  )
  return revoke
}

const stateOption = () =>
  new Option('--state <url>', 'the shared state: redis://… or rediss://…').env('MESHBIND_STATE')

function withSelectors(command: Command): Command {
  return command
    .addOption(stateOption())
    .option('--issuer <iss>', 'the exact `iss` of the tokens; goes with jti, subject, session, key')
    .option('--jti <jti>', 'one token')
    .option('--subject <sub>', 'the tokens of a subject')
    .option('--session <sid>', 'the tokens of a session')
    .option('--key <kid>', 'the tokens that a key of the issuer has signed')
    .option('--presenter <spiffe-id>', 'whatever this workload presents')
    .option('--certificate <thumbprint>', 'whatever is presented with this certificate (x5t#S256)')
    .addOption(outputOption())
}

async function add(flags: Flags): Promise<number> {
  const now = nowSeconds()
  const before = readBefore(flags.before, now)
  const revocation = readSelectors(flags, before)
  const until = flags.for === undefined ? endOf(revocation, now) : now + readDuration(flags.for)
  return withState(flags, async ({ revocations }) => {
    if ((await revocations.add([{ revocation, until }])) === 'unavailable')
      throw new CommandError(notTaken, exitCode.couldNotRun)
    const text = `revoked: ${describeRevocation(revocation)}\nIn force on every replica within 2 s; ${describeEnd(until)}.`
    return { data: listed({ revocation, until }), text }
  })
}

function list(flags: Flags): Promise<number> {
  return withState(flags, async ({ revocations }) => {
    const entries = revocations.list().map(listed)
    const rows = revocations
      .list()
      .map(({ revocation, until }) => `${describeRevocation(revocation)}  (${describeEnd(until)})`)
    return { data: entries, text: rows.length === 0 ? 'nothing is revoked' : rows.join('\n') }
  })
}

function undo(flags: Flags): Promise<number> {
  const revocation = readSelectors(flags, undefined)
  return withState(flags, async ({ revocations }) => {
    const removed = await revocations.remove(revocation).catch(() => {
      throw new CommandError(notTaken, exitCode.couldNotRun)
    })
    const text =
      removed === 0 ? 'no such entry' : `undone: ${describeRevocation(revocation)} (${removed})`
    return { data: { removed }, text, code: removed === 0 ? exitCode.no : exitCode.good }
  })
}

interface Outcome {
  readonly data: Listed | readonly Listed[] | { readonly removed: number }
  readonly text: string
  readonly code?: number
}

/** Connects, does one thing, and leaves. The URL may hold a password: it is never repeated. */
async function withState(
  { state, output }: Flags,
  act: (shared: SharedState) => Promise<Outcome>,
): Promise<number> {
  const url = state === undefined ? undefined : stateAddress('--state', state)
  if (url === undefined || url === 'memory') {
    throw new CommandError(
      '--state: needs the Redis that the replicas share (redis://host:6379); memory is known to its own process alone: use the denylist there',
    )
  }
  let problem = `no answer within ${connectLimitMs / 1000} s`
  const { createSharedState } = await import('../state/redis.ts')
  const shared = createSharedState({
    url,
    clock: nowSeconds,
    onChange: (_, why) => {
      problem = why ?? problem
    },
    onRevocations: (why) => {
      problem = why ?? problem
    },
  })
  try {
    if (!(await endsWithin(connectLimitMs, shared.revocations.tried)))
      throw new CommandError(`--state: cannot be used: ${problem}`, exitCode.couldNotRun)
    const { data, text, code = exitCode.good } = await act(shared)
    process.stdout.write(`${output === 'json' ? JSON.stringify(data, null, 2) : text}\n`)
    return code
  } finally {
    await shared.close()
  }
}
