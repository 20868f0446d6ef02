/** How meshbind shows an authorization server who it is: RFC 6749 §2.3.1, RFC 7523 §2.2, RFC 8705 §2. */

import { createPrivateKey, type KeyObject, randomUUID } from 'node:crypto'
import { SignJWT } from 'jose'
import { member, parseStrictJson } from '../strict-json.ts'
import { type Algorithm, algorithms, fitsAlgorithm } from './algorithms.ts'

export type ClientMethod = 'basic' | 'post' | 'private_key_jwt' | 'mtls'

export interface ClientSettings {
  readonly method: ClientMethod
  readonly clientId: string
  /** The authorization server's issuer identifier. */
  readonly audience: string
}

/** The texts of the client's files as they are now; each rejects, naming the file, where there is none to be had. */
export interface ClientFiles {
  readonly secret: () => Promise<string>
  readonly key: () => Promise<string>
  readonly certificate: () => Promise<string>
}

/** What a request to the authorization server carries, and shows of the client. */
export interface ClientProof {
  readonly headers: { readonly [name: string]: string }
  readonly parameters: readonly (readonly [name: string, value: string])[]
  /** PEM, for the connection. */
  readonly certificate?: { readonly cert: string; readonly key: string }
}

const assertionType = 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer'
const assertionLifetimeSeconds = 60

/**
 * Gives the proof for one request. What it rejects with never holds anything of a secret.
 *
 * @param clock Unix seconds.
 */
export function createClientProof(
  { method, clientId, audience }: ClientSettings,
  files: ClientFiles,
  clock: () => number,
): () => Promise<ClientProof> {
  const own = ['client_id', clientId] as const
  let known: { readonly text: string; readonly key: SigningKey } | undefined

  async function readKey(): Promise<SigningKey> {
    const text = await files.key()
    if (known?.text !== text) known = { text, key: importSigningKey(text) }
    return known.key
  }

  switch (method) {
    case 'basic':
      return async () => {
        const secret = withoutNewline(await files.secret())
        const pair = Buffer.from(`${encodeForm(clientId)}:${encodeForm(secret)}`)
        const authorization = `Basic ${pair.toString('base64')}`
        return { headers: { authorization }, parameters: [] }
      }
    case 'post':
      return async () => {
        const secret = withoutNewline(await files.secret())
        return { headers: {}, parameters: [own, ['client_secret', secret]] }
      }
    case 'private_key_jwt':
      return async () => {
        const assertion = await signAssertion(await readKey(), clientId, audience, clock())
        return {
          headers: {},
          parameters: [
            own,
            ['client_assertion_type', assertionType],
            ['client_assertion', assertion],
          ],
        }
      }
    case 'mtls':
      return async () => {
        const [cert, key] = await Promise.all([files.certificate(), files.key()])
        return { headers: {}, parameters: [own], certificate: { cert, key } }
      }
  }
}

/** RFC 6749 appendix B: id and secret are form-encoded first, so that a colon in the id divides nothing. */
function encodeForm(text: string): string {
  return new URLSearchParams([['', text]]).toString().slice(1)
}

/** Editors and `echo` end a file with one. */
function withoutNewline(secret: string): string {
  const text = secret.replace(/\r?\n$/, '')
  if (text === '') throw new Error('the client secret is empty')
  return text
}

/** RFC 7523 §3, with the issuer identifier as the one audience: an assertion for this server is good at no other. */
function signAssertion(
  { key, algorithm, keyId }: SigningKey,
  clientId: string,
  audience: string,
  now: number,
): Promise<string> {
  return new SignJWT({
    iss: clientId,
    sub: clientId,
    aud: audience,
    jti: randomUUID(),
    iat: now,
    exp: now + assertionLifetimeSeconds,
  })
    .setProtectedHeader({
      alg: algorithm,
      typ: 'JWT',
      ...(keyId === undefined ? {} : { kid: keyId }),
    })
    .sign(key)
}

interface SigningKey {
  readonly key: KeyObject
  readonly algorithm: Algorithm
  readonly keyId: string | undefined
}

/** The JWK's own words are never shown: what a parser says of a text may quote it. */
function importSigningKey(text: string): SigningKey {
  const jwk = parseStrictJson(Buffer.from(text))
  let key: KeyObject
  try {
    key = jwk === undefined ? createPrivateKey(text) : createPrivateKey({ key: jwk, format: 'jwk' })
  } catch {
    throw new Error('the client key is neither PKCS#8 PEM nor a private JWK')
  }
  const algorithm = algorithmOf({
    ...key.export({ format: 'jwk' }),
    ...(jwk !== undefined && Object.hasOwn(jwk, 'alg') ? { alg: member(jwk, 'alg') } : {}),
  })
  const keyId = jwk && member(jwk, 'kid')
  return { key, algorithm, keyId: typeof keyId === 'string' ? keyId : undefined }
}

/** The JWK's own `alg`; else the first that fits, and RS256 for RSA, which every server must take (OpenID Connect Core §15.1). */
const preferred: readonly Algorithm[] = ['RS256', ...algorithms]

function algorithmOf(jwk: Parameters<typeof fitsAlgorithm>[0]): Algorithm {
  const algorithm = preferred.find((name) => fitsAlgorithm(jwk, name))
  if (algorithm === undefined)
    throw new Error('the client key fits no signature algorithm, or not the `alg` that it names')
  return algorithm
}
