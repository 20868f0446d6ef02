/** Checks past Envoy, straight at meshbind's port, as fast as it answers. */

import { runLoad } from '../bench/http2-load.ts'
import { encodeCheckRequest } from '../test/support/check-request.ts'
import { known } from './cast.ts'
import type { RequestFacts } from './facts.ts'
import type { Rig } from './rig.ts'
import type { Traffic } from './traffic.ts'

const checkPath = '/envoy.service.auth.v3.Authorization/Check'

async function encode({ cast, craft }: Rig, facts: RequestFacts): Promise<Buffer> {
  const { holder, method, path, headers } = await craft(facts)
  return encodeCheckRequest({
    ...{ method, path, host: 'payments.mesh.example' },
    headers: Object.fromEntries(headers),
    certificate: holder === undefined ? '' : known(cast.leaves, holder).envoyText,
  })
}

/**
 * One question that is to be allowed, again and again.
 *
 * @param replica Which of the rig's services.
 */
export async function askDirectly(rig: Rig, traffic: Traffic, replica = 0) {
  const message = await encode(rig, traffic.sound('x5t', 'w0'))
  const port = rig.ports[replica] ?? 0
  const counted = { allows: 0 }
  const onMessage = (payload: Buffer) => {
    if (!payload.includes('application/problem+json')) counted.allows++
  }
  const load = (count: number, concurrency: number) =>
    runLoad({ port, path: checkPath, messages: [message], onMessage, count, concurrency })
  return { counted, load }
}

const warmingCount = 6000
const warmingInFlight = 32

/** Brings each process to the memory that it has under load: what is measured afterwards is compared with that. */
export async function warmUp(rig: Rig, traffic: Traffic): Promise<void> {
  for (const replica of rig.ports.keys()) {
    const { load } = await askDirectly(rig, traffic, replica)
    await load(warmingCount, warmingInFlight)
  }
}

/** Sound tokens that nobody has seen, so many of each kind that is remembered: caches that still fill up look like growth. */
export async function fillCaches(rig: Rig, traffic: Traffic, count: number): Promise<void> {
  const messages: Buffer[] = []
  for (let n = 0; n < count; n++) {
    const facts = traffic.sound('x5t')
    const token = facts.token && { ...facts.token, id: `${facts.token.id}-${n}` }
    messages.push(await encode(rig, token === undefined ? facts : { ...facts, token }))
    if (n % workloadEvery === 0) messages.push(await encode(rig, traffic.sound('wimse')))
  }
  const all = { path: checkPath, messages, count: messages.length, concurrency: warmingInFlight }
  for (const port of rig.ports) await runLoad({ port, ...all })
}

/** One of them for so many tokens: as their bounds have it. */
const workloadEvery = 4
