/** Threats J183-J185, K191, F15: what was revoked is refused on every way there is to present it, and nobody else is. */

import test from 'ava'
import { parseDenylist } from '../../src/policy/denylist.ts'
import {
  createMemoryRevocations,
  endOf,
  type RevocationFeed,
} from '../../src/state/revocation-feed.ts'
import {
  createRevocationIndex,
  noRevocations,
  type Revocation,
  type RevocationIndex,
} from '../../src/state/revocations.ts'
import { encodeCheckRequest } from '../support/check-request.ts'
import type { Leaf } from '../support/pki.ts'
import { basePolicy, createWorld, ordersId, type Question, thiefId } from '../support/world.ts'
import { xfccElement } from '../support/xfcc.ts'

const issuer = 'https://idp.example'
const gatewayId = 'spiffe://mesh.example/ns/edge/sa/gateway'
const policy = basePolicy.replace(
  'evidence: [certificate, principal]',
  `evidence: [certificate, xfcc, principal], maxForwards: 2, forwarders: [${gatewayId}, ${gatewayId}-2]`,
)
let denylist: RevocationIndex = noRevocations
let feed: RevocationFeed = { index: noRevocations, readAt: undefined }
const world = await createWorld({
  policy,
  denylist: () => denylist,
  revocations: {
    get index() {
      return feed.index
    },
    get readAt() {
      return feed.readAt
    },
  },
})
const now = world.now()
const gateway = await world.authority.issue({ spiffeId: gatewayId })
const inner = await world.authority.issue({ spiffeId: `${gatewayId}-2` })
test.afterEach(() => {
  denylist = noRevocations
  feed = { index: noRevocations, readAt: undefined }
})

const indexOf = (...revocations: Revocation[]) =>
  createRevocationIndex(
    revocations.map((revocation) => ({ revocation, until: Number.POSITIVE_INFINITY })),
  )
/** The world holds one denylist: tests that set it go one after another. */
const serial = test.serial

async function ask(question: Question): Promise<string> {
  const { allowed, reason } = await world.ask(question)
  return allowed ? 'allowed' : reason
}

/** Before and after: the token is warm in every cache when it is revoked. */
async function revoke(question: Question, ...revocations: Revocation[]): Promise<string> {
  denylist = noRevocations
  const before = await ask(question)
  denylist = indexOf(...revocations)
  const after = await ask(question)
  return before === 'allowed' ? after : `${before} before it was revoked`
}

const spiffe = { path: '/identity' }
const [id, claims] = [{ jti: 'id-1', sid: 'session-1' }, { jti: 'id-1' }]
const kinds: readonly (readonly [Revocation, string])[] = [
  [{ issuer, jti: 'id-1' }, 'token_revoked'],
  [{ issuer, subject: ordersId }, 'token_revoked'],
  [{ issuer, subject: ordersId, before: now + 1 }, 'token_revoked'],
  [{ issuer, session: 'session-1' }, 'token_revoked'],
  [{ issuer, key: world.issuer.keyId }, 'token_revoked'],
  [{ presenter: ordersId }, 'presenter_revoked'],
  [{ presenter: ordersId, before: now + 1 }, 'presenter_revoked'],
  [{ certificate: world.orders.x5tS256 }, 'presenter_revoked'],
]
for (const [revocation, reason] of kinds) {
  serial(
    `J183, K191: ${JSON.stringify(revocation)} refuses a token that was allowed a moment ago, and undone allows it again`,
    async (t) => {
      const token = await world.token({ ...id, iat: now })
      t.is(await revoke({ token }, revocation), reason)
      denylist = noRevocations
      t.is(await ask({ token }), 'allowed')
      feed = { index: indexOf(revocation), readAt: now }
      t.is(await ask({ token }), reason, 'from the shared state')
    },
  )
}

serial(
  'J183: a refusal by revocation is a 401 with invalid_token, and cites nothing of the entry',
  async (t) => {
    const token = await world.token(claims)
    denylist = indexOf({ issuer, jti: 'id-1' })
    const verdict = await world.ask({ token })
    t.deepEqual([verdict.http, verdict.grpc], [401, 16])
    t.regex(verdict.challenge, /error="invalid_token"/)
    t.notRegex(JSON.stringify(verdict.response), /id-1/)
    t.false(verdict.line.includes(token))
  },
)

serial(
  'J184: no spelling of a revoked token is allowed: padding, white space, the s → n−s twin',
  async (t) => {
    const token = await world.token(claims)
    denylist = indexOf({ issuer, jti: 'id-1' })
    t.is(await ask({ token }), 'token_revoked')
    const spellings = [
      `${token}=`,
      `${token}==`,
      `${token} `,
      ` ${token}`,
      `${token}.`,
      token.replace('.', '=.'),
    ]
    for (const spelling of spellings) t.not(await ask({ token: spelling }), 'allowed', spelling)
    t.is(await ask({ token: twinOf(token) }), 'token_revoked', 'another text of the same token')
  },
)

/** ECDSA takes (r, n − s) as well as (r, s): a second text that verifies. */
function twinOf(token: string): string {
  const [header, payload, signature = ''] = token.split('.')
  const bytes = Buffer.from(signature, 'base64url')
  const n = 0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551n
  const s = n - BigInt(`0x${bytes.subarray(32).toString('hex')}`)
  const twin = Buffer.concat([
    bytes.subarray(0, 32),
    Buffer.from(s.toString(16).padStart(64, '0'), 'hex'),
  ])
  return [header, payload, twin.toString('base64url')].join('.')
}

serial(
  'J184: the twin is allowed while nothing is revoked, so it is the entry that refuses it',
  async (t) => {
    t.is(await ask({ token: twinOf(await world.token(claims)) }), 'allowed')
  },
)

serial(
  'policy.md: a key that is revoked refuses every token that it signed, named in the header or not',
  async (t) => {
    const entry = { issuer, key: world.issuer.keyId }
    t.is(await revoke({ token: await world.token(claims) }, entry), 'token_revoked')
    const unnamed = await world.token(claims, { kid: undefined })
    t.is(
      await revoke({ token: unnamed }, entry),
      'token_revoked',
      'who holds the key writes the header',
    )
  },
)

serial(
  'policy.md: a jti is revoked of its issuer, a token without jti is revoked by subject',
  async (t) => {
    const other = 'https://other.example'
    t.is(
      await revoke({ token: await world.token(claims) }, { issuer: other, jti: 'id-1' }),
      'allowed',
    )
    const bare = await world.token({ jti: undefined })
    t.is(await revoke({ token: bare }, { issuer, jti: '' }), 'allowed')
    t.is(await revoke({ token: bare }, { issuer, jti: 'undefined' }), 'allowed')
    t.is(await revoke({ token: bare }, { issuer, subject: ordersId }), 'token_revoked')
  },
)

for (const name of [
  '__proto__',
  'constructor',
  'toString',
  'caf\u00e9 \u{1f525}',
  'a\u0000b',
  '\u202e',
]) {
  serial(`K194, K195: ${JSON.stringify(name)} is an identifier like any other`, async (t) => {
    const token = await world.token({ jti: name, sid: name })
    t.is(await revoke({ token }, { issuer, jti: name }), 'token_revoked')
    t.is(await revoke({ token }, { issuer, session: name }), 'token_revoked')
    t.is(await revoke({ token }, { issuer, jti: `${name} ` }), 'allowed')
    t.is(await revoke({ token: await world.token(claims) }, { issuer, jti: name }), 'allowed')
  })
}

for (const named of [{ issuer, subject: ordersId }, { presenter: ordersId }]) {
  serial(
    `policy.md: the edge of before for ${Object.keys(named).at(-1)}: iat is compared, the second itself is spared`,
    async (t) => {
      const token = await world.token({ iat: now - 10, exp: now + 300 })
      t.is(await revoke({ token }, { ...named, before: now - 10 }), 'allowed')
      t.not(await revoke({ token }, { ...named, before: now - 9 }), 'allowed')
      t.not(await revoke({ token }, { ...named, before: now + 86_400 }), 'allowed', 'in the future')
    },
  )
}

serial(
  'policy.md: a before that is dated ahead also refuses what is issued until then, and nothing later',
  async (t) => {
    const before = now + 20
    const fresh = (iat: number) => world.token({ iat, exp: iat + 300 })
    const entry = { issuer, subject: ordersId, before }
    t.is(await revoke({ token: await fresh(now + 19) }, entry), 'token_revoked')
    t.is(await revoke({ token: await fresh(now + 20) }, entry), 'allowed')
  },
)

serial(
  'no entry revokes everybody: a wildcard, a trust domain and an empty text hit nobody',
  async (t) => {
    const token = await world.token(id)
    for (const text of ['', '*', '.*', 'spiffe://mesh.example', 'spiffe://mesh.example/*']) {
      const entries: Revocation[] = [
        { issuer, jti: text },
        { issuer, subject: text },
        { issuer, session: text },
        { issuer, key: text },
        { issuer: text, subject: ordersId },
        { presenter: text },
        { certificate: text },
      ]
      t.is(await revoke({ token }, ...entries), 'allowed', text)
    }
  },
)

serial(
  'a revoked workload is refused with every credential that it presents, another one with its own is not',
  async (t) => {
    const entry = { presenter: ordersId }
    t.is(
      await revoke({ ...spiffe, token: await world.token({ cnf: undefined }) }, entry),
      'presenter_revoked',
    )
    t.is(await revoke({ token: await world.token() }, entry), 'presenter_revoked')
    const own = await world.token({ sub: thiefId, cnf: { 'x5t#S256': world.thief.x5tS256 } })
    t.is(await revoke({ as: world.thief, token: own }, entry), 'allowed')
  },
)

serial('a revoked certificate refuses its workload until it has another one', async (t) => {
  const renewed = await world.authority.issue({ spiffeId: ordersId })
  const entry = { certificate: world.orders.x5tS256 }
  t.is(await revoke({ token: await world.token() }, entry), 'presenter_revoked')
  const token = await world.token({ cnf: { 'x5t#S256': renewed.x5tS256 } })
  t.is(await revoke({ as: renewed, token }, entry), 'allowed')
})

/** Orders, through forwarders, the nearest last. */
function through(...forwarders: Leaf[]): Question {
  const seen = [world.orders, ...forwarders]
  const header = seen.map((leaf, i) => {
    const by = forwarders[i]?.spiffeId
    return xfccElement(leaf, by === undefined ? {} : { by })
  })
  const nearest = forwarders.at(-1) ?? world.orders
  return { as: nearest, headers: { 'x-forwarded-client-cert': header.join(',') } }
}

for (const [what, forwarders] of [
  ['a forwarder', [gateway]],
  ['two forwarders', [inner, gateway]],
] as const) {
  serial(
    `behind ${what} the presenter is revoked by its SPIFFE ID and its certificate`,
    async (t) => {
      const question = { ...through(...forwarders), token: await world.token() }
      t.is(await revoke(question, { presenter: ordersId }), 'presenter_revoked')
      t.is(await revoke(question, { certificate: world.orders.x5tS256 }), 'presenter_revoked')
      t.is(await revoke(question, { presenter: thiefId }), 'allowed')
    },
  )

  serial(
    `nothing passes through ${what} of which one is revoked: what it says of others is not to be believed`,
    async (t) => {
      const question = { ...through(...forwarders), token: await world.token() }
      for (const { spiffeId, x5tS256 } of forwarders) {
        t.is(await revoke(question, { presenter: spiffeId }), 'presenter_revoked', spiffeId)
        t.is(
          await revoke(question, { certificate: x5tS256 }),
          'presenter_revoked',
          `${spiffeId}: certificate`,
        )
      }
      t.is(await ask({ token: await world.token() }), 'allowed', 'without it the workload passes')
    },
  )
}

serial(
  'a client cannot show another workload’s revocation away: elements that nobody vouches for are not read',
  async (t) => {
    const question = {
      token: await world.token(),
      headers: {
        'x-forwarded-client-cert': `${xfccElement(world.thief)},${xfccElement(world.orders)}`,
      },
    }
    t.is(await revoke(question, { presenter: ordersId }), 'presenter_revoked')
    t.is(await revoke(question, { presenter: thiefId }), 'allowed')
  },
)

serial(
  'F15: what has never been read is no permission: 503, and public routes are served',
  async (t) => {
    feed = { index: undefined, readAt: undefined }
    const token = await world.token()
    t.is(await ask({ token }), 'state_unavailable')
    t.is((await world.ask({ token })).http, 503)
    t.is(await ask({ path: '/healthz' }), 'allowed')
  },
)

serial(
  'F15: a feed that was read 300 s ago still serves, one second later it is stale',
  async (t) => {
    const token = await world.token()
    feed = { index: noRevocations, readAt: now - 300 }
    t.true((await world.askBytes(bytesOf(token), now)).allowed)
    const later = await world.askBytes(bytesOf(token), now + 1)
    t.deepEqual([later.reason, later.http], ['revocation_stale', 503])
  },
)

serial('F15: a clock that was set back does not make an old feed fresh', async (t) => {
  const token = await world.token()
  feed = { index: noRevocations, readAt: now + 3600 }
  t.is((await world.askBytes(bytesOf(token), now)).reason, 'revocation_stale')
})

function bytesOf(token: string): Buffer {
  const { envoyText: certificate, spiffeId: principal } = world.orders
  return encodeCheckRequest({ token, certificate, principal })
}

serial(
  'issue (e): an entry that has ended hits nothing, and no token that it named is alive by then',
  async (t) => {
    const store = createMemoryRevocations(() => now)
    const revocation = { issuer, jti: 'id-1' }
    const until = endOf(revocation, now)
    await store.add([{ revocation, until }])
    feed = store
    const token = await world.token({ jti: 'id-1', iat: now, exp: now + 900 })
    for (const at of [now, now + 900, until - 1, until, until + 1])
      t.false((await world.askBytes(bytesOf(token), at)).allowed, `${at - now} s later`)
  },
)

serial('J185: a denylist in the words of policy.md refuses what it names', async (t) => {
  const text = [
    `- { issuer: ${issuer}, jti: id-1 }`,
    `- { presenter: ${thiefId}, before: 2099-01-01T00:00:00Z }`,
    `- { certificate: ${world.orders.x5tS256} }`,
  ].join('\n')
  const parsed = parseDenylist(text)
  denylist = createRevocationIndex(parsed.ok ? parsed.entries : [])
  t.is(await ask({ token: await world.token(claims) }), 'token_revoked')
  t.is(await ask({ token: await world.token({ jti: 'id-2' }) }), 'presenter_revoked')
  const thiefs = await world.token({ jti: 'id-3', cnf: { 'x5t#S256': world.thief.x5tS256 } })
  t.is(await ask({ as: world.thief, token: thiefs }), 'presenter_revoked')
})
