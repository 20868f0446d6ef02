/** The floor: a grpc-js server that answers every check with one constant allow, its bytes passed through untouched. In several processes, if asked for. */

import cluster from 'node:cluster'
import { Server, ServerCredentials, type ServerUnaryCall, type sendUnaryData } from '@grpc/grpc-js'

const asIs = (bytes: Buffer) => bytes
/** CheckResponse { status {} ok_response {} }, which Envoy takes as an allow. */
const allow = Buffer.from([0x0a, 0x00, 0x1a, 0x00])

const processes = Number(process.argv[2] ?? 1)
if (processes > 1 && cluster.isPrimary) await share()
else serve()

async function share(): Promise<void> {
  const started = Array.from({ length: processes }, () => {
    const worker = cluster.fork()
    return new Promise<unknown>((resolve) => worker.once('message', resolve))
  })
  const [first] = await Promise.all(started)
  process.send?.(first)
}

function serve(): void {
  const server = new Server()
  server.addService(
    {
      Check: {
        path: '/envoy.service.auth.v3.Authorization/Check',
        requestStream: false,
        responseStream: false,
        requestSerialize: asIs,
        requestDeserialize: asIs,
        responseSerialize: asIs,
        responseDeserialize: asIs,
      },
    },
    {
      Check: (_call: ServerUnaryCall<Buffer, Buffer>, callback: sendUnaryData<Buffer>) =>
        callback(null, allow),
    },
  )
  server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, port) => {
    if (error !== null) throw error
    process.send?.({ port })
  })
}
