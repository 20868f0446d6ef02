/** THE PROPERTY, for WIMSE: change any one byte of a WIT or a WPT, and the request is not allowed. */

import test from 'ava'
import type { ReplayStore } from '../../src/state/replay.ts'
import { createWimseWorkload } from '../support/wimse.ts'
import { createWimseWorld, wimseOrdersId } from '../support/wit-judge.ts'

/** Takes every proof as often as it comes: nothing below is refused for having been spent. */
const forgetful: ReplayStore = { remembersSince: undefined, spend: () => 'fresh' }
const { mesh, ask, now } = await createWimseWorld({ replay: forgetful })
const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'
const strange = '!=+/ ,.%\té'

async function isAllowed(wit: string, wpt: string): Promise<boolean> {
  return (await ask(wit, wpt)).allowed
}

/** Every text that is one edit at one place away: the letter's two neighbours, one at random, a strange one, none, and two. */
function* editsOf(text: string): Generator<string> {
  for (const [at, char] of [...text].entries()) {
    const digit = alphabet.indexOf(char)
    const random = alphabet.charAt((digit + 2 + Math.floor(Math.random() * 61)) % 64)
    const letters =
      digit === -1
        ? ['A', '_']
        : [alphabet.charAt(digit ^ 1), alphabet.charAt((digit + 1) % 64), random]
    for (const other of [...letters, strange.charAt(at % strange.length), '', char + char])
      if (other !== char) yield text.slice(0, at) + other + text.slice(at + 1)
  }
}

for (const algorithm of ['ES256', 'EdDSA', 'PS256']) {
  test(`wpt-01 §3.3: a WIT or a WPT under ${algorithm} with any one character changed, removed or doubled is refused`, async (t) => {
    const workload = await createWimseWorkload(mesh, wimseOrdersId, { algorithm, now: () => now })
    const wit = await workload.wit()
    const wpt = await workload.proof({ wit })
    t.true(await isAllowed(wit, wpt), 'control: unchanged, they are allowed')
    const allowed: string[] = []
    let asked = 0
    for (const text of editsOf(wpt)) {
      asked++
      if (await isAllowed(wit, text)) allowed.push(text)
    }
    for (const text of editsOf(wit)) {
      asked++
      // With a proof of the changed text: nothing but the WIT itself can refuse it.
      if (await isAllowed(text, await workload.proof({ wit: text }))) allowed.push(text)
    }
    t.deepEqual(allowed, [])
    t.true(asked > 5 * (wit.length + wpt.length))
    t.true(await isAllowed(wit, wpt), 'control: changed back, they are allowed')
  })
}
