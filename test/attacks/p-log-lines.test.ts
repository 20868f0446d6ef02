/**
 * Attack group P, 267 and 268: what a request can make of its log line.
 *
 * observe/decision-log.test.ts has `sub` and request id with CR LF, quotes and U+2028, one claim of 1.5 kB, and a host
 * of 5 kB. Here: each text that a line shows, every control character, and texts as large as a question can be.
 */

import { readFileSync } from 'node:fs'
import test from 'ava'
import fc from 'fast-check'
import { z } from 'zod'
import { createTestIssuer } from '../support/issuer.ts'
import { createWorld, type Question, type World } from '../support/world.ts'

const schema = z.fromJSONSchema(
  JSON.parse(readFileSync(new URL('../../docs/decision-log.schema.json', import.meta.url), 'utf8')),
)

/** C0, DEL, C1 (U+009B begins a terminal’s control sequence, ECMA-48 §5.4), and the line ends of Unicode. */
const breaks = /[\p{Cc}\p{Zl}\p{Zp}]/u
const hostile = 'a\r\n{"type":"decision"}\u001b[31m\u009b2J\u0085\u2028\u2029\u0000\u007f"\\'

interface Line {
  readonly request: { readonly [name: string]: string } | null
  readonly token: { readonly [name: string]: string } | null
}

async function lineOf(world: World, question: Question): Promise<{ line: string; read: Line }> {
  const { line } = await world.ask(question)
  return { line, read: JSON.parse(line) }
}

/** A world whose issuer has a key of that name, so that a token under it is believed. */
const worldWithKey = async (keyId: string) =>
  createWorld({ issuer: await createTestIssuer('https://idp.example', { keyId }) })

for (const name of ['id', 'method', 'host', 'path'] as const) {
  test(`P267: line ends, quotes and terminal sequences in ${name} stay inside one string`, async (t) => {
    const world = await createWorld()
    const text = name === 'path' ? `/${hostile}` : hostile
    const { line, read } = await lineOf(world, { [name]: text })
    t.is(read.request?.[name], text)
    t.true(schema.safeParse(read).success)
    t.notRegex(line, breaks)
  })
}

for (const name of ['subject', 'kid'] as const) {
  test(`P267: line ends, quotes and terminal sequences in ${name} stay inside one string`, async (t) => {
    const world = await worldWithKey(name === 'kid' ? hostile : 'key-1')
    const token = await world.token(name === 'subject' ? { sub: hostile } : {})
    const { line, read } = await lineOf(world, { token })
    t.is(read.token?.[name], hostile)
    t.true(schema.safeParse(read).success)
    t.notRegex(line, breaks)
  })
}

test('P267: a hostile member of cnf is named in its string, a hostile iss or traceparent not at all', async (t) => {
  const world = await createWorld()
  const cnf = { 'x5t#S256': world.orders.x5tS256, [hostile]: 'x' }
  const member = await lineOf(world, { token: await world.token({ cnf }) })
  t.deepEqual(member.read.token?.['confirmation'], ['x5t#S256', hostile])
  t.notRegex(member.line, breaks)
  const strange = await lineOf(world, { token: await world.token({ iss: hostile }) })
  t.is(strange.read.token, null)
  t.false(strange.line.includes('31m'))
  const traced = await lineOf(world, { headers: { traceparent: hostile } })
  t.like(traced.read, { trace_id: null })
  t.false(traced.line.includes('31m'))
})

test('P267: any text in any field is one line that satisfies the published schema', async (t) => {
  const world = await createWorld()
  const anyText = fc.oneof(
    fc.string({ unit: 'binary', maxLength: 600 }),
    fc.string({ unit: fc.constantFrom(...hostile), maxLength: 40 }),
  )
  const parts = fc.record({
    id: anyText,
    method: anyText.map((text) => `x${text}`),
    host: anyText,
    path: anyText.map((text) => `/${text}`),
    principal: anyText,
  })
  await fc.assert(
    fc.asyncProperty(parts, async (question) => {
      const { line, read } = await lineOf(world, question)
      t.notRegex(line, /[\r\n]/)
      t.true(schema.safeParse(read).success, line)
    }),
    { numRuns: 500 },
  )
})

/** 512 letters of each text, six bytes each where all must be escaped, and the rest of the line. */
const maxLineBytes = 24 * 1024

test('P268: texts of any length leave a line that is short and whole', async (t) => {
  const world = await createWorld()
  for (const letter of ['x', '\u0000', '😀', '\ud800'])
    for (const length of [511, 512, 513, 5000, 60_000]) {
      const long = letter.repeat(length)
      const token = await world.token({ sub: long, jti: long, scope: long }).catch(() => 'x')
      const question = { id: long, method: long, host: long, path: `/${long}`, token }
      const { line, read } = await lineOf(world, question)
      t.true(Buffer.byteLength(line) < maxLineBytes, `${length}: ${line.length}`)
      t.true(schema.safeParse(read).success)
    }
})

test('P268: of a believed token, key and claims of many kilobytes are cut to a mark', async (t) => {
  const world = await worldWithKey('k'.repeat(600))
  const members = Object.fromEntries(Array.from({ length: 10 }, (_, i) => [`m${i}`.repeat(300), 1]))
  const cnf = { 'x5t#S256': world.orders.x5tS256, ...members }
  const { line, read } = await lineOf(world, {
    token: await world.token({ sub: 's'.repeat(2000), cnf }),
  })
  t.is(read.token?.['subject'], `${'s'.repeat(512)}…`)
  t.is(read.token?.['kid'], `${'k'.repeat(512)}…`)
  t.is(read.token?.['confirmation']?.length, 8)
  t.true(Buffer.byteLength(line) < maxLineBytes)
})

test('P268: a claim of 1 MB is refused before it is read, and its line is short', async (t) => {
  const world = await createWorld()
  const token = await world.token({ sub: 'x'.repeat(1_000_000) })
  const { line, read } = await lineOf(world, { token })
  t.is(read.token, null)
  t.true(line.length < 2000)
})
