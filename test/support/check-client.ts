/** Asks a running meshbind over gRPC, as Envoy would. */

import { Client, credentials } from '@grpc/grpc-js'
import { decodeCheckResponse, type UpstreamCheckResponse } from './check-request.ts'

const checkPath = '/envoy.service.auth.v3.Authorization/Check'
const asIs = (bytes: Buffer) => bytes

export interface CheckClient {
  /** Rejects on a gRPC error: meshbind must never give one. */
  ask(question: Buffer): Promise<UpstreamCheckResponse>
  close(): void
}

export function createCheckClient(port: number): CheckClient {
  const client = new Client(`127.0.0.1:${port}`, credentials.createInsecure())
  return {
    ask: (question) =>
      new Promise((resolve, reject) => {
        const options = { deadline: Date.now() + 10_000 }
        client.makeUnaryRequest(checkPath, asIs, asIs, question, options, (error, answer) =>
          error !== null || answer === undefined
            ? reject(error)
            : resolve(decodeCheckResponse(answer)),
        )
      }),
    close: () => client.close(),
  }
}

/** A text of the answer's dynamic metadata. */
export function metadataOf(
  { dynamic_metadata }: UpstreamCheckResponse,
  name: string,
): string | undefined {
  const field = dynamic_metadata?.fields[name] as { readonly stringValue?: string } | undefined
  return field?.stringValue
}
