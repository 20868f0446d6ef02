/** A Request as the story reads it, from the few parts that a test is about. */

import type { Request } from '../../src/request.ts'

export function bareRequest(parts: Partial<Request>): Request {
  return {
    id: '1',
    method: 'GET',
    host: 'a.test',
    path: '/',
    authorization: { kind: 'absent' },
    dpop: { kind: 'absent' },
    workloadToken: { kind: 'absent' },
    workloadProof: { kind: 'absent' },
    transactionToken: { kind: 'absent' },
    traceparent: '',
    reservedHeaders: [],
    peer: { certificate: '', principal: '', destination: '', xfcc: { kind: 'absent' } },
    context: new Map(),
    ...parts,
  }
}
