import { deflateSync } from 'node:zlib'
import test, { type ExecutionContext } from 'ava'
import { createKeySource, type KeySource } from '../../src/token/key-source.ts'
import { createStatusLists, maxLists } from '../../src/token/status-source.ts'
import { type Claims, createTestIssuer, type TestIssuer } from '../support/issuer.ts'
import vectors from '../vectors/token_status_list.json' with { type: 'json' }

const start = 1_800_000_000
const uri = 'https://idp.example/statuslists/1'
const corp = await createTestIssuer('https://idp.example', { now: () => start, keyId: 'k1' })
const next = await createTestIssuer('https://idp.example', { now: () => start, keyId: 'k2' })
const other = await createTestIssuer('https://other.example', { now: () => start, keyId: 'k1' })

/** Statuses 1, 0, 0, 1, 1, 1, 0, 1 and 2, 1, 2, 1 at 8 bits: more than one kind of not valid. */
const lst = vectors.vectors[0]?.lst ?? ''
const allValid = deflateSync(new Uint8Array(2)).toString('base64url')

interface ListOptions {
  readonly claims?: Claims
  readonly header?: Claims
  readonly issuer?: TestIssuer
  readonly body?: unknown
}

/** A status list token (§5.1) with sound defaults. */
function listToken(options: ListOptions = {}): Promise<string> {
  const { claims, header, issuer = corp, body = { bits: 1, lst } } = options
  const defaults = { sub: uri, aud: undefined, jti: undefined, exp: undefined, status_list: body }
  return issuer.sign({ ...defaults, ...claims }, { typ: 'statuslist+jwt', ...header })
}

async function keysOf(t: ExecutionContext, ...issuers: TestIssuer[]): Promise<KeySource> {
  const keys = issuers.map(({ publicJwk }) => publicJwk)
  const load = async () => ({ bytes: Buffer.from(JSON.stringify({ keys })) })
  const source = createKeySource({
    load,
    algorithms: ['ES256'],
    clock: () => start,
    refreshSeconds: 300,
  })
  t.teardown(() => source.close())
  await source.tried
  return source
}

interface Rig {
  /** What every read gives; an Error is thrown, a promise waited for. */
  serve(document: string | Error | Promise<string>): void
  at(secondsAfterStart: number): void
  /** '' or reason and detail, at once. */
  judge(reference?: Claims, iss?: string): string
  /** All reads that were begun have ended. */
  settle(): Promise<void>
  /** Judged once, read, judged again: what the list has to say. */
  ask(document: string, reference?: Claims): Promise<string>
  readonly results: string[]
  readonly loaded: string[]
  /** Withdraws or exchanges the keys of the issuers. */
  setKeys(keys: { [iss: string]: KeySource }): void
}

async function createRig(
  t: ExecutionContext,
  document: string | Error = '',
  settings: { readonly maxStaleSeconds?: number; readonly hosts?: readonly string[] } = {},
): Promise<Rig> {
  let served: string | Error | Promise<string> = document
  let now = start
  let keys: { [iss: string]: KeySource } = {
    [corp.issuer]: await keysOf(t, corp),
    [other.issuer]: await keysOf(t, other),
  }
  let underWay = 0
  const results: string[] = []
  const loaded: string[] = []
  const lists = createStatusLists({
    hosts: new Set(settings.hosts ?? ['idp.example']),
    maxStaleSeconds: settings.maxStaleSeconds ?? 300,
    clockSkewSeconds: 30,
    async load(url) {
      loaded.push(url.href)
      underWay++
      if (served instanceof Error) throw served
      return { bytes: Buffer.from(await served) }
    },
    keys: (issuer) => keys[issuer],
    clock: () => now,
    onFetch(host, result, error) {
      underWay--
      results.push([host, result, error].filter(Boolean).join(' '))
    },
  })
  t.teardown(() => lists.close())
  const rig: Rig = {
    serve: (other) => {
      served = other
    },
    at: (seconds) => {
      now = start + seconds
    },
    judge(reference = {}, iss = corp.issuer) {
      const status = { status_list: { uri, idx: 1, ...reference } }
      const refusal = lists.judge({ iss, status })
      return refusal === undefined ? '' : `${refusal.refused}: ${refusal.detail}`
    },
    async settle() {
      while (underWay > 0) await new Promise((resolve) => setImmediate(resolve))
    },
    async ask(text, reference) {
      served = text
      rig.judge(reference)
      await rig.settle()
      return rig.judge(reference)
    },
    results,
    loaded,
    setKeys: (fresh) => {
      keys = fresh
    },
  }
  return rig
}

const stale = 'revocation_stale: no fresh status list'
const revoked = 'token_revoked: status list'

test('J183: without a list the first question is refused at once, and the read in the background answers the next', async (t) => {
  const rig = await createRig(t, await listToken())
  t.is(rig.judge(), stale)
  await rig.settle()
  t.deepEqual(rig.results, ['idp.example ok'])
  t.is(rig.judge({ idx: 1 }), '')
  t.is(rig.judge({ idx: 0 }), revoked)
})

test('J183: a revocation is in force after the next read', async (t) => {
  const rig = await createRig(t)
  const before = await listToken({ body: { bits: 1, lst: allValid }, claims: { ttl: 5 } })
  t.is(await rig.ask(before, { idx: 0 }), '')
  rig.at(5)
  rig.serve(await listToken({ claims: { ttl: 5, iat: start + 5 } }))
  t.is(rig.judge({ idx: 0 }), '')
  await rig.settle()
  t.is(rig.judge({ idx: 0 }), revoked)
})

test('status-list-20 §7.1: every status but 0 is refused, the reserved ones too', async (t) => {
  const statuses = Uint8Array.from({ length: 256 }, (_, i) => i)
  const body = { bits: 8, lst: deflateSync(statuses).toString('base64url') }
  const rig = await createRig(t)
  t.is(await rig.ask(await listToken({ body }), { idx: 0 }), '')
  for (let idx = 1; idx < 256; idx++) t.is(rig.judge({ idx }), revoked, `${idx}`)
})

test('status-list-20 §8.3: an index beyond the list is refused', async (t) => {
  const rig = await createRig(t)
  t.is(await rig.ask(await listToken(), { idx: 14 }), '')
  t.is(rig.judge({ idx: 16 }), 'token_revoked: index beyond the status list')
})

test('status-list-20 §6.1: a token without status needs no list, and a malformed status is refused without a read', async (t) => {
  const rig = await createRig(t)
  const lists = createStatusLists({
    hosts: new Set(),
    maxStaleSeconds: 300,
    clockSkewSeconds: 30,
    load: () => Promise.reject(new Error('not to be called')),
    keys: () => undefined,
    clock: () => start,
  })
  t.teardown(() => lists.close())
  t.is(lists.judge({ iss: corp.issuer }), undefined)
  t.is(rig.judge({ idx: -1 }), 'claim_invalid: status.status_list.idx')
  t.deepEqual(rig.loaded, [])
})

test('policy `statusList.hosts`: nothing is read from a host that is not listed, and the token is refused', async (t) => {
  const rig = await createRig(t)
  const hosts = ['evil.example', 'idp.example.evil.example', 'sub.idp.example', '10.0.0.1']
  for (const host of [...hosts, 'idp.example.', 'xn--dp-2ga.example'])
    t.is(
      rig.judge({ uri: `https://${host}/statuslists/1` }),
      'revocation_stale: the status list is on a host that is not listed',
      host,
    )
  t.deepEqual(rig.loaded, [])
  rig.judge({ uri: 'https://IDP.example:8443/1' })
  t.deepEqual(rig.loaded, ['https://idp.example:8443/1'])
})

const unusable: readonly (readonly [string, ListOptions, string])[] = [
  ['of type JWT', { header: { typ: 'JWT' } }, 'token_type_refused typ is not statuslist+jwt'],
  ['of type at+jwt', { header: { typ: 'at+jwt' } }, 'token_type_refused typ is not statuslist+jwt'],
  ['without type', { header: { typ: undefined } }, 'token_type_refused typ is not statuslist+jwt'],
  ['that is compressed as a whole', { header: { zip: 'DEF' } }, 'token_malformed header'],
  ['with a kid that is a number', { header: { kid: 1 } }, 'token_malformed kid'],
  ['for another URI', { claims: { sub: `${uri}/` } }, 'sub is not the URI of the list'],
  ['without sub', { claims: { sub: undefined } }, 'sub is not the URI of the list'],
  ['without iat', { claims: { iat: undefined } }, 'iat'],
  ['with iat as text', { claims: { iat: `${start}` } }, 'iat'],
  ['from the future', { claims: { iat: start + 31 } }, 'iat'],
  ['that has expired', { claims: { iat: start - 90, exp: start - 30 } }, 'exp'],
  ['with exp null', { claims: { exp: null } }, 'exp'],
  ['with ttl 0', { claims: { ttl: 0 } }, 'ttl'],
  ['with ttl as text', { claims: { ttl: '5' } }, 'ttl'],
  ['without list', { body: null }, 'status_list'],
  ['with a list of lists', { body: [] }, 'status_list'],
  ['of 3 bits', { body: { bits: 3, lst } }, 'status_list.bits'],
  ['of "1" bits', { body: { bits: '1', lst } }, 'status_list.bits'],
  ['with a broken list', { body: { bits: 1, lst: 'AAAA' } }, 'status_list.lst'],
  ['without lst', { body: { bits: 1 } }, 'status_list.lst'],
  ['signed by another issuer', { issuer: other }, 'token_signature_invalid'],
  ['signed by a key that is not in the set', { issuer: next }, 'token_key_unknown'],
]
for (const [title, options, problem] of unusable) {
  test(`status-list-20 §8.3: a list ${title} is not taken`, async (t) => {
    const rig = await createRig(t)
    t.is(await rig.ask(await listToken(options)), stale)
    t.deepEqual(rig.results, [`idp.example unusable ${problem}`])
  })
}

test('J185: a list whose signature was tampered with, alg none and junk are not taken', async (t) => {
  const text = await listToken()
  const [header = '', payload = '', signature = ''] = text.split('.')
  const none = Buffer.from('{"alg":"none","typ":"statuslist+jwt"}').toString('base64url')
  const crit = Buffer.from('{"alg":"ES256","typ":"statuslist+jwt","crit":["x"]}').toString(
    'base64url',
  )
  const broken = [
    `${header}.${payload}.${signature.startsWith('A') ? 'B' : 'A'}${signature.slice(1)}`,
    `${header}.${Buffer.from('{}').toString('base64url')}.${signature}`,
    `${none}.${payload}.`,
    `${crit}.${payload}.${signature}`,
    `${text}=`,
    `${text}\n`,
    `${text}.`,
    '',
    '<html>not found</html>',
    'a'.repeat(2 * 1024 * 1024 + 1),
  ]
  for (const [index, document] of broken.entries()) {
    const rig = await createRig(t)
    t.is(await rig.ask(document), stale, `${index}`)
    t.regex(rig.results.join(), /^idp\.example unusable token_\w+/, `${index}`)
  }
})

test('J185: garbage and failures leave the good list in force until it is stale, and then nothing passes', async (t) => {
  const rig = await createRig(t)
  t.is(await rig.ask(await listToken({ claims: { ttl: 20 } })), '')
  const text = await listToken({ claims: { iat: start + 1 } })
  const bad = [
    new Error('answered 500'),
    'garbage',
    text.slice(0, -8),
    await listToken({ issuer: other }),
  ]
  for (const [index, document] of bad.entries()) {
    rig.at(20 + index * 20)
    rig.serve(document)
    t.is(rig.judge(), '')
    await rig.settle()
    t.is(rig.judge(), '')
    t.is(rig.judge({ idx: 0 }), revoked)
  }
  t.deepEqual(
    rig.results.map((result) => result.split(' ')[1]),
    ['ok', 'failed', 'unusable', 'unusable', 'unusable'],
  )
  rig.at(300)
  t.is(rig.judge(), '')
  rig.at(301)
  t.is(rig.judge(), stale)
  t.is(rig.judge({ idx: 0 }), stale)
  await rig.settle()
  t.is(await rig.ask(text), stale, 'within the cooldown')
  rig.at(320)
  t.is(await rig.ask(text), '')
})

test('J185: an older list than the known one is not taken, one of the same age is', async (t) => {
  const rig = await createRig(t)
  t.is(await rig.ask(await listToken({ claims: { ttl: 5 } }), { idx: 0 }), revoked)
  rig.at(10)
  const old = await listToken({ claims: { iat: start - 1 }, body: { bits: 1, lst: allValid } })
  t.is(await rig.ask(old, { idx: 0 }), revoked)
  rig.at(301)
  t.is(await rig.ask(old, { idx: 0 }), stale)
  t.is(rig.results.at(-1), 'idp.example unusable older than the known list')
  rig.at(330)
  t.is(await rig.ask(await listToken({ body: { bits: 1, lst: allValid } }), { idx: 0 }), '')
})

test('status-list-20 §5.1: a list answers until its exp, with the skew of the policy', async (t) => {
  const rig = await createRig(t)
  t.is(await rig.ask(await listToken({ claims: { exp: start + 60 } })), '')
  rig.serve(new Error('down'))
  rig.at(89)
  t.is(rig.judge(), '')
  rig.at(90)
  t.is(rig.judge(), stale)
})

for (const [title, claims, after] of [
  ['after its ttl', { ttl: 60 }, 60],
  ['not sooner than after 5 s', { ttl: 1 }, 5],
  ['at half its time of service, whatever its ttl', { ttl: 43_200 }, 150],
  ['at half its time of service, without ttl', {}, 150],
  ['at half the way to its exp', { exp: start + 100, ttl: 90 }, 50],
  ['not sooner than after 5 s, with its exp near', { exp: start + 2 }, 5],
] as const) {
  test(`status-list-20 §8.4: a list is read again ${title}`, async (t) => {
    const rig = await createRig(t)
    t.is(await rig.ask(await listToken({ claims })), '')
    rig.at(after - 1)
    rig.judge()
    t.is(rig.loaded.length, 1)
    rig.at(after)
    rig.judge()
    t.is(rig.loaded.length, 2)
  })
}

test('F4: a failing source is asked once per 10 s, however many tokens point to it', async (t) => {
  const rig = await createRig(t, new Error('down'))
  for (let i = 0; i < 1000; i++) {
    rig.at(i / 100)
    t.is(rig.judge({ idx: i }), stale)
    await rig.settle()
  }
  t.is(rig.loaded.length, 1)
  rig.at(10)
  rig.judge()
  t.is(rig.loaded.length, 2)
  t.is(rig.results[0], 'idp.example failed down')
})

test('F4: while one read is under way no other is begun', async (t) => {
  let answer: (text: string) => void = () => {}
  const rig = await createRig(t)
  rig.serve(
    new Promise((resolve) => {
      answer = resolve
    }),
  )
  for (let i = 0; i < 100; i++) {
    rig.at(i * 60)
    t.is(rig.judge(), stale)
  }
  t.is(rig.loaded.length, 1)
  rig.at(0)
  answer(await listToken())
  await rig.settle()
  t.is(rig.judge(), '')
})

test('F4: a clock that was set back makes nothing fresh, and does not stop the reading', async (t) => {
  const rig = await createRig(t)
  t.is(await rig.ask(await listToken()), '')
  rig.at(-301)
  rig.serve(new Error('down'))
  t.is(rig.judge(), stale)
  t.is(rig.loaded.length, 2)
})

test(`${maxLists} lists are kept; the one that was asked for the longest ago goes first`, async (t) => {
  const rig = await createRig(t)
  const uriOf = (i: number) => ({ uri: `https://idp.example/${i}`, idx: 1 })
  for (let i = 0; i < maxLists; i++)
    t.is(await rig.ask(await listToken({ claims: { sub: uriOf(i).uri } }), uriOf(i)), '')
  t.is(rig.judge(uriOf(0)), '')
  t.is(await rig.ask(await listToken({ claims: { sub: uriOf(64).uri } }), uriOf(64)), '')
  t.is(rig.judge(uriOf(0)), '')
  t.is(rig.judge(uriOf(2)), '')
  t.is(rig.judge(uriOf(1)), stale)
})

test('a list that one issuer signed does not answer for the tokens of another (RFC 8725 §3.8)', async (t) => {
  const rig = await createRig(t, await listToken())
  rig.judge()
  await rig.settle()
  t.is(rig.judge(), '')
  t.is(rig.judge({}, other.issuer), stale)
  await rig.settle()
  t.is(rig.judge({}, other.issuer), stale)
  t.deepEqual(rig.results, ['idp.example ok', 'idp.example unusable token_signature_invalid'])
  t.is(rig.judge({}, 'https://unknown.example'), stale)
  await rig.settle()
  t.is(rig.results.at(-1), 'idp.example unusable there are no keys for the issuer of the token')
})

test('L213: a list goes with the key that signed it, and is read again', async (t) => {
  const rig = await createRig(t)
  t.is(await rig.ask(await listToken()), '')
  rig.setKeys({ [corp.issuer]: await keysOf(t, next) })
  rig.at(9)
  t.is(rig.judge(), stale)
  t.is(rig.loaded.length, 1)
  rig.at(10)
  t.is(await rig.ask(await listToken({ issuer: next })), '')
})

test('a listener that throws does not end the reading', async (t) => {
  let loads = 0
  let now = start
  const lists = createStatusLists({
    hosts: new Set(['idp.example']),
    maxStaleSeconds: 300,
    clockSkewSeconds: 30,
    load: async () => {
      loads++
      throw new Error('down')
    },
    keys: () => undefined,
    clock: () => now,
    onFetch: () => {
      throw new Error('the log is full')
    },
  })
  t.teardown(() => lists.close())
  const claims = { iss: corp.issuer, status: { status_list: { idx: 0, uri } } }
  for (const second of [0, 10, 20]) {
    now = start + second
    lists.judge(claims)
    await new Promise((resolve) => setImmediate(resolve))
  }
  t.is(loads, 3)
})

test.serial(
  'lists are kept fresh while nobody asks, for an hour, and not after close',
  async (t) => {
    const original = globalThis.setInterval
    let sweep: () => void = () => {}
    const recorder = (callback: () => void) => {
      sweep = callback
      return original(() => {}, 1e6)
    }
    Object.assign(globalThis, { setInterval: recorder })
    let rig: Rig
    try {
      rig = await createRig(t, await listToken({ claims: { ttl: 100 } }))
    } finally {
      Object.assign(globalThis, { setInterval: original })
    }
    rig.judge()
    await rig.settle()
    for (const second of [99, 100, 199, 200, 3600]) {
      rig.at(second)
      sweep()
      await rig.settle()
    }
    t.is(rig.loaded.length, 4)
    t.is(rig.judge(), '')
    rig.at(7201)
    sweep()
    t.is(rig.loaded.length, 4)
    t.is(rig.judge(), stale)
  },
)
