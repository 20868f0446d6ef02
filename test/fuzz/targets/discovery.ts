/** Metadata of an issuer, which says where its keys are: served on loopback, beside a server that nobody may be sent to. */

import { fetchDiscoveredKeys } from '../../../src/token/discovery.ts'
import { type JsonServer, serveJson } from '../../support/issuer.ts'
import { objectText, reshapeJson } from '../json-text.ts'
import { readObjectSlowly } from '../slow/json.ts'
import { readTargetSlowly } from '../slow/uri.ts'
import { agree, demand, type Target } from '../target.ts'

/** In an input: the ports are new in every process, a corpus is not. */
const issuerWord = 'http://issuer.example'
const elsewhereWord = 'http://elsewhere.example'
const metadataPath = '/.well-known/openid-configuration'
const refusals = [
  'the discovery document is not strict JSON',
  'the discovery document names another issuer',
  'the discovery document has no jwks_uri',
  'jwks_uri is of another origin; write it as keys.url if it is right',
]

interface Servers {
  readonly issuer: JsonServer
  readonly elsewhere: JsonServer
}
let metadata = ''
let started: Promise<Servers> | undefined

/** Not when the module is read: who only wants the list of grammars needs no server. */
async function start(): Promise<Servers> {
  const issuer = await serveJson((path) => (path === metadataPath ? metadata : { keys: [] }))
  const elsewhere = await serveJson(() => ({ keys: [] }))
  for (const { server } of [issuer, elsewhere]) server.unref()
  return { issuer, elsewhere }
}

export const discovery: Target = {
  name: 'discovery',
  source: 'OpenID Connect Discovery 1.0 §4, RFC 8414 §3.3',
  dictionary: [
    issuerWord,
    elsewhereWord,
    '"issuer":',
    '"jwks_uri":',
    `@${elsewhereWord.slice(7)}`,
    'https://',
    'file:///',
    '\\\\',
    '%2f',
    '/jwks',
  ],
  generate: (random) =>
    Buffer.from(
      objectText(random, {
        issuer: random.chance(5) ? random.pick([`${issuerWord}/`, elsewhereWord]) : issuerWord,
        jwks_uri: random.pick([
          `${issuerWord}/jwks`,
          `${issuerWord}/jwks`,
          `${issuerWord}/a/../%2e%2e/jwks?a=b#c`,
          `${issuerWord.toUpperCase()}/jwks`,
          `${elsewhereWord}/jwks`,
          `${issuerWord}@${elsewhereWord.slice(7)}/jwks`,
          `${issuerWord}\\@${elsewhereWord.slice(7)}/jwks`,
          `${elsewhereWord}#@${issuerWord.slice(7)}/jwks`,
          `//${issuerWord.slice(7)}/jwks`,
          'http:/jwks',
          '/jwks',
          '',
        ]),
        ...(random.chance(3) ? { token_endpoint: `${elsewhereWord}/token`, acr: ['a'] } : {}),
      }),
    ),
  reshape: reshapeJson,
  async judge(input) {
    started ??= start()
    const { issuer, elsewhere } = await started
    const text = input.toString('utf8').slice(0, 256 * 1024)
    metadata = text.replaceAll(issuerWord, issuer.url).replaceAll(elsewhereWord, elsewhere.url)
    issuer.paths.length = 0
    const outcome = await fetchDiscoveredKeys(issuer.url).then(
      ({ bytes }) => (Buffer.from(bytes).length > 0 ? 'taken' : 'empty'),
      (error: Error) => error.message,
    )
    demand('nobody is sent elsewhere', elsewhere.paths.length === 0)
    const own = new Map(Object.entries(readObjectSlowly(Buffer.from(metadata)) ?? {}))
    const uri = own.get('jwks_uri')
    const where = typeof uri === 'string' ? readTargetSlowly(uri) : undefined
    const isNamed = own.get('issuer') === issuer.url
    // The server reads no longer targets; that one was sent says that the document had been taken.
    if (outcome.startsWith('answered 431') && String(uri).length > 4096)
      return 'taken, and too long'
    if (outcome !== 'taken') {
      demand(`a reason that is known: ${outcome}`, refusals.includes(outcome))
      agree('asked for', issuer.paths, [metadataPath])
      agree('not strict JSON', outcome === refusals[0], own.size === 0 && outcome === refusals[0])
      demand('a sound document is followed', !isNamed || where?.origin !== issuer.url)
      return outcome
    }
    demand('the issuer names itself', isNamed && typeof uri === 'string')
    agree('asked for', [issuer.paths.length, issuer.paths[0]], [2, metadataPath])
    return where?.origin === issuer.url ? 'taken' : 'taken, from another spelling of the origin'
  },
}
