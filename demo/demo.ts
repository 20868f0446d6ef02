/** `make demo`: a stolen token bounces off real Envoys, told as a table. Exit code 0 only if every row is as expected. */

import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { styleText } from 'node:util'
import type { Answer } from '../test/support/mesh.ts'
import type { Row } from './row.ts'
import { cleanUp, orders, type Stage, setStage } from './stage.ts'
import { tellStory } from './story.ts'

const bold = (text: string) => styleText('bold', text, { stream: process.stdout })
const green = (text: string) => styleText('green', text, { stream: process.stdout })
const red = (text: string) => styleText('red', text, { stream: process.stdout })
const dim = (text: string) => styleText('dim', text, { stream: process.stdout })

function progress(message: string): void {
  process.stderr.write(`… ${message}\n`)
}

function printHead(): void {
  console.log(`\n${bold(line('who', 'what', 'expected', 'got', 'reason', 'time'))}`)
}

function line(
  who: string,
  what: string,
  expected: string,
  got: string,
  reason: string,
  time: string,
): string {
  return `  ${who.padEnd(8)} ${what.padEnd(50)} ${expected.padEnd(9)} ${got.padEnd(4)} ${reason.padEnd(24)} ${time.padStart(8)}`
}

function printRow({ who, what, status, reason }: Row, answer: Answer): boolean {
  const good = answer.status === status && answer.reason === reason
  const text = line(
    who,
    what,
    `${status}`,
    `${answer.status}`,
    answer.reason || '-',
    `${answer.milliseconds.toFixed(1)} ms`,
  )
  console.log(
    good
      ? text.replace(/ (\d{3}) {2}/, (part) => green(part))
      : red(`${text}   EXPECTED ${status} ${reason}`),
  )
  return good
}

async function main(): Promise<number> {
  const stage = await setStage(progress)
  printHead()
  const held = process.env['HOLD'] === '1'
  const chapters = await tellStory(stage)
  let told = 0
  let failed = 0
  for (const { title, rows } of held ? chapters.slice(0, -1) : chapters) {
    console.log(dim(`  ${title}`))
    for (const row of rows) {
      told++
      if (!printRow(row, await row.send())) failed++
    }
  }
  printEnd(stage, told, failed)
  if (held) await hold(stage)
  return failed === 0 ? 0 : 1
}

function printEnd(stage: Stage, count: number, failed: number): void {
  const denies = stage.meshbind.decisions().filter((decision) => decision['decision'] === 'deny')
  const stolen = denies.find((decision) => decision['reason'] === 'binding_mismatch')
  console.log(
    failed === 0
      ? green(`\n  ${count} of ${count} as expected.`)
      : red(`\n  ${failed} of ${count} NOT as expected.`),
  )
  console.log(`\n${bold('  The log line of the stolen token')} ${dim('(no token in it)')}`)
  console.log(`  ${JSON.stringify(stolen)}`)
  console.log(`\n${bold('  Next')}`)
  console.log(
    '  make demo HOLD=1                        leaves all of it running and prints curl commands',
  )
  console.log('  less demo/policy.yaml                   the policy that was enforced')
  console.log(
    '  less docs/rollout.md docs/revocation.md from audit to enforce, and killing a credential',
  )
  console.log('  less docs/reasons.md                    every reason, and what to do about it')
  console.log('  less docs/envoy.md                      put it in front of your own service')
  console.log(
    '  less docs/hops.md docs/dpop.md          gateways, and clients without a certificate',
  )
  console.log(
    '  less docs/wimse.md docs/opaque-tokens.md docs/delegation.md docs/unbound.md   the rest of the estate\n',
  )
}

/** Keeps the mesh up until Ctrl-C, with files for curl. */
async function hold({
  directory,
  authority,
  orders: owner,
  blog,
  issuer,
  port,
  admin,
}: Stage): Promise<void> {
  const token = await issuer.sign({
    sub: orders,
    scope: 'payments.write',
    cnf: { 'x5t#S256': owner.x5tS256 },
    exp: Math.floor(Date.now() / 1000) + 900,
  })
  const files = {
    'ca.pem': authority.certificatePem,
    'orders.pem': owner.pem,
    'orders.key': owner.keyPem,
    'blog.pem': blog.pem,
    'blog.key': blog.keyPem,
    token,
  }
  for (const [name, text] of Object.entries(files))
    await writeFile(join(directory, name), text, { mode: 0o600 })
  const curl = (as: string) =>
    `  curl -i --cacert ${directory}/ca.pem --cert ${directory}/${as}.pem --key ${directory}/${as}.key -H "Authorization: Bearer $(cat ${directory}/token)" -X POST https://localhost:${port}/v1/payments`
  console.log(
    `${bold('  It stays up for 15 minutes, or until Ctrl-C. As the owner, then as the thief:')}\n${curl('orders')}\n${curl('blog')}\n\n${bold('  The rollout report, live:')} http://${admin}/\n`,
  )
  await sleep(15 * 60_000)
}

for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  process.once(signal, () => cleanUp().finally(() => process.exit(130)))
}

try {
  process.exitCode = await main()
} catch (error) {
  process.stderr.write(
    `${red('The demo could not run:')} ${error instanceof Error ? error.message : String(error)}\n`,
  )
  process.exitCode = 3
} finally {
  await cleanUp()
}
