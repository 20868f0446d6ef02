/** Where the limits of resets are set in grpc-js; that they hold is shown with frames in test/attacks/o-frames.test.ts and o-streams.test.ts. */

import { Server } from '@grpc/grpc-js'
import test from 'ava'
import { limitResets } from '../../src/wire/reset-limits.ts'

const limits = { burst: 5, perSecond: 2 }

test('decision 0014: this grpc-js has the place where options of its HTTP/2 servers are kept; another is left as it is', (t) => {
  const server = new Server()
  t.true(limitResets(server, limits))
  const { commonServerOptions } = server as unknown as { readonly commonServerOptions: object }
  t.like(commonServerOptions, { streamResetBurst: 5, streamResetRate: 2 })
  t.false(limitResets({} as Server, limits))
})
