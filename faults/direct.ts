/** Checks past Envoy, straight at meshbind's port, as fast as it answers: one question that is to be allowed. */

import { runLoad } from '../bench/http2-load.ts'
import { encodeCheckRequest } from '../test/support/check-request.ts'
import { known } from './cast.ts'
import type { Rig } from './rig.ts'
import type { Traffic } from './traffic.ts'

const path = '/envoy.service.auth.v3.Authorization/Check'

/** @param replica Which of the rig's services. */
export async function askDirectly({ cast, craft, ports }: Rig, traffic: Traffic, replica = 0) {
  const { headers } = await craft(traffic.sound('x5t', 'w0'))
  const message = encodeCheckRequest({
    ...{ method: 'POST', path: '/x5t', host: 'payments.mesh.example' },
    headers: Object.fromEntries(headers),
    certificate: known(cast.leaves, 'w0').envoyText,
  })
  const port = ports[replica] ?? 0
  const counted = { allows: 0 }
  const onMessage = (payload: Buffer) => {
    if (!payload.includes('application/problem+json')) counted.allows++
  }
  const load = (count: number, concurrency: number) =>
    runLoad({ port, path, messages: [message], onMessage, count, concurrency })
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
