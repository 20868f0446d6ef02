/** One real Check against a running server, as Envoy would ask it, and its answer in plain words. */

import {
  type ChannelCredentials,
  Client,
  credentials,
  type MethodDefinition,
  type ServiceError,
  status,
} from '@grpc/grpc-js'
import { authorizationFile, authorizationName, loadService } from './proto.ts'

export interface ClientTls {
  /** PEM bundle that must verify the server. */
  readonly ca: Buffer
  /** What this client shows, where the server demands it. */
  readonly pair: { readonly certificate: Buffer; readonly key: Buffer } | undefined
  /** The name that the server's certificate must have, where that is not the target's host. */
  readonly serverName?: string | undefined
}

export interface CheckCall {
  /** `host:port` or `unix:/path`. */
  readonly target: string
  /** Undefined: plaintext. */
  readonly tls: ClientTls | undefined
  readonly timeoutMs: number
}

export interface CheckAnswer {
  /** Envoy decides by this alone: 0 allows. */
  readonly code: number
  readonly allowed: boolean
  /** HTTP status of a refusal, undefined on an allow. */
  readonly http: number | undefined
  /** For the client on a refusal, for the upstream on an allow. */
  readonly headers: readonly AnswerHeader[]
  /** Taken off the request to the upstream. */
  readonly headersToRemove: readonly string[]
  readonly body: string
  readonly metadata: { readonly [name: string]: string | number | boolean | null }
}

export interface AnswerHeader {
  readonly name: string
  readonly value: string
}

/** The parts of a CheckResponse that protos/ describe, as the loader gives them. */
interface CheckResponse {
  readonly status?: { readonly code: number } | null
  readonly deniedResponse?: {
    readonly status?: { readonly code: number } | null
    readonly headers: readonly HeaderOption[]
    readonly body: string
  } | null
  readonly okResponse?: {
    readonly headers: readonly HeaderOption[]
    readonly headersToRemove: readonly string[]
  } | null
  readonly dynamicMetadata?: { readonly fields: { readonly [name: string]: MetadataValue } } | null
}

interface HeaderOption {
  readonly header?: { readonly key: string; readonly value: string } | null
}

interface MetadataValue {
  readonly stringValue?: string
  readonly boolValue?: boolean
  readonly numberValue?: number
}

const maxAnswerBytes = 1024 * 1024

/**
 * Rejects with a message that says what to do; the question is never part of it.
 *
 * @param question A CheckRequest.
 * @param now Unix milliseconds.
 */
export async function callCheck(
  call: CheckCall,
  question: Buffer,
  now: number,
): Promise<CheckAnswer> {
  const { path, responseDeserialize } = loadCheck()
  const client = new Client(call.target, channelCredentials(call.tls), {
    'grpc.max_receive_message_length': maxAnswerBytes,
    // The question may hold a token: it goes to the target, and to no proxy that the environment names.
    'grpc.enable_http_proxy': 0,
    // Nor has a TXT record of the target's name any say in how it is asked.
    'grpc.service_config_disable_resolution': 1,
    ...(call.tls?.serverName === undefined
      ? {}
      : { 'grpc.ssl_target_name_override': call.tls.serverName }),
  })
  try {
    return readAnswer(
      await new Promise<CheckResponse>((resolve, reject) => {
        client.makeUnaryRequest(
          path,
          (bytes: Buffer) => bytes,
          responseDeserialize,
          question,
          { deadline: now + call.timeoutMs },
          (error, answer) =>
            error === null && answer !== undefined
              ? resolve(answer)
              : reject(new Error(`${call.target}: ${describeFailure(error, call)}`)),
        )
      }),
    )
  } finally {
    client.close()
  }
}

/** Statuses as numbers, which are what is told. */
function loadCheck(): MethodDefinition<Buffer, CheckResponse> {
  const service = loadService(authorizationFile, authorizationName, {})
  return service['Check'] as MethodDefinition<Buffer, CheckResponse>
}

function channelCredentials(tls: ClientTls | undefined): ChannelCredentials {
  if (tls === undefined) return credentials.createInsecure()
  try {
    return credentials.createSsl(tls.ca, tls.pair?.key ?? null, tls.pair?.certificate ?? null)
  } catch {
    throw new Error('the TLS files cannot be used: they must be PEM, and the key the certificate’s')
  }
}

/** No status is code 0 (protobuf's default), and code 0 allows whatever the rest says: so does Envoy read it. */
function readAnswer(answer: CheckResponse): CheckAnswer {
  const code = answer.status?.code ?? 0
  const allowed = code === 0
  const denied = allowed ? undefined : answer.deniedResponse
  const ok = allowed ? answer.okResponse : undefined
  const options = denied?.headers ?? ok?.headers ?? []
  return {
    code,
    allowed,
    // Envoy answers 403 where a refusal names no status.
    http: allowed ? undefined : denied?.status?.code || 403,
    headers: options.map(({ header }) => ({ name: header?.key ?? '', value: header?.value ?? '' })),
    headersToRemove: ok?.headersToRemove ?? [],
    body: denied?.body ?? '',
    metadata: Object.fromEntries(
      Object.entries(answer.dynamicMetadata?.fields ?? {}).map(([name, value]) => [
        name,
        value.stringValue ?? value.boolValue ?? value.numberValue ?? null,
      ]),
    ),
  }
}

/** grpc-js puts the system's words into its own: what they come from is told with what to do about it. */
const causes: readonly (readonly [sign: RegExp, told: string])[] = [
  [/ECONNREFUSED|ENOENT/, 'nothing listens there: is `meshbind serve` running with this --listen?'],
  [/EACCES|EPERM/, 'the socket may not be opened by this user'],
  [/Name resolution failed|ENOTFOUND|EAI_AGAIN/, 'the host name cannot be resolved'],
  [
    /wrong version number|packet length too long|EPROTO/i,
    'the server does not speak TLS: leave out --tls-ca, --tls-cert and --tls-key',
  ],
  [
    /altnames|Hostname\/IP/,
    'the server’s certificate is for another name than this target: give its name with --tls-name',
  ],
  [
    /self.signed|unable to (?:get|verify)|CERT_/i,
    '--tls-ca does not verify the server’s certificate',
  ],
  [
    /certificate required|alert|bad certificate|handshake/i,
    'the server refused the TLS connection: it wants a client certificate that it trusts (--tls-cert, --tls-key)',
  ],
]

function describeFailure(error: ServiceError | null, { tls, timeoutMs }: CheckCall): string {
  const details = error?.details ?? ''
  if (error?.code === status.DEADLINE_EXCEEDED)
    return `no answer within ${timeoutMs} ms; give it longer with --timeout`
  if (error?.code === status.UNIMPLEMENTED)
    return 'what listens there is no ext_authz server (it has no envoy.service.auth.v3.Authorization)'
  if (error?.code !== status.UNAVAILABLE)
    return `the server failed with gRPC code ${error?.code ?? 'none'}`
  const cause = causes.find(([sign]) => sign.test(details))
  if (cause !== undefined) return cause[1]
  return tls === undefined
    ? 'the server closed the connection: if it serves TLS, give --tls-ca (and --tls-cert with --tls-key where it wants a client certificate)'
    : 'the server closed the connection: it may want a client certificate that it trusts (--tls-cert, --tls-key)'
}
