import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join, relative, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import test from 'ava'

const source = fileURLToPath(new URL('../src', import.meta.url))

interface SourceFile {
  /** Path below src/, such as token/jws.ts. */
  readonly path: string
  readonly room: string
  readonly text: string
  /** Imported files below src/, and packages. */
  readonly files: readonly string[]
  readonly packages: readonly string[]
}

const files: readonly SourceFile[] = readdirSync(source, { recursive: true, encoding: 'utf8' })
  .filter((path) => path.endsWith('.ts'))
  .map(readSource)

function readSource(path: string): SourceFile {
  const text = readFileSync(join(source, path), 'utf8')
  const imports = [
    ...text.matchAll(
      /(?:^|\n)(?:import|export)\b[^'"]*?from '([^']+)'|import '([^']+)'|import\('([^']+)'\)/g,
    ),
  ].map((match) => match[1] ?? match[2] ?? match[3] ?? '')
  const own = imports.filter((name) => name.startsWith('.'))
  return {
    path,
    room: roomOf(path),
    text,
    files: own.map((name) => relative(source, resolve(source, dirname(path), name))),
    packages: imports.filter((name) => !name.startsWith('.') && !name.startsWith('node:')),
  }
}

function roomOf(path: string): string {
  return path.includes('/') ? path.slice(0, path.indexOf('/')) : path.replace(/\.ts$/, '')
}

/**
 * The import law (docs/architecture.md): which rooms each room may look into. `policy` also reads lists and
 * grammars of other rooms, by file; docs/decisions/0001 says why.
 */
const law: { readonly [room: string]: readonly string[] } = {
  decision: [],
  request: [],
  state: [],
  exit: [],
  'time-limit': [],
  'line-reader': [],
  'tls-files': [],
  'strict-json': [],
  'text-cache': [],
  evidence: ['decision', 'request', 'strict-json', 'text-cache'],
  token: ['decision', 'request', 'strict-json', 'text-cache', 'time-limit'],
  confirmation: ['decision', 'request', 'evidence', 'token', 'state', 'strict-json', 'text-cache'],
  policy: ['decision', 'request'],
  access: ['decision', 'evidence', 'policy', 'token', 'strict-json', 'text-cache'],
  answer: ['confirmation', 'decision', 'evidence', 'policy', 'request', 'token'],
  revoked: ['decision', 'evidence', 'state', 'token', 'strict-json'],
  check: [
    'access',
    'answer',
    'confirmation',
    'decision',
    'evidence',
    'policy',
    'request',
    'revoked',
    'state',
    'token',
  ],
  explain: ['decision', 'policy'],
  observe: ['decision', 'time-limit'],
  wire: ['decision', 'request', 'check', 'policy', 'observe', 'time-limit', 'tls-files'],
  admin: ['decision', 'request', 'check', 'policy', 'observe', 'tls-files'],
  index: ['check', 'decision', 'policy', 'request'],
}
const page = readFileSync(new URL('../docs/architecture.md', import.meta.url), 'utf8')

test('docs/architecture.md has the import law as it is held here', (t) => {
  const told = Object.fromEntries(
    [...page.matchAll(/^\| `([a-z-]+)(?:\/|\.ts)` \| .* \| ([^|]*) \|$/gm)].map(
      ([, room = '', cell = '']) => [
        room,
        cell
          .replace(/, and .*/, '')
          .split(', ')
          .filter((name) => name !== 'nothing'),
      ],
    ),
  )
  for (const [room, allowed] of Object.entries(law))
    t.deepEqual(told[room]?.toSorted(), allowed.toSorted(), room)
})

const policyMayRead = [
  'confirmation/methods.ts',
  'confirmation/target.ts',
  'evidence/sources.ts',
  'evidence/spiffe-id.ts',
  'token/algorithms.ts',
  'state/revocations.ts',
  'token/url.ts',
]
const above = ['rehearsal', 'service', 'cli', 'main']

for (const file of files) {
  test(`import law: ${file.path} looks only into the rooms it may`, (t) => {
    if (above.includes(file.room)) {
      const fromService =
        file.room === 'service' && file.files.some((target) => roomOf(target) === 'cli')
      return t.false(fromService, `${file.path} looks into cli`)
    }
    const allowed = law[file.room]
    t.truthy(allowed, `no law for room ${file.room}`)
    for (const target of file.files) {
      const room = roomOf(target)
      const exception = file.room === 'policy' && policyMayRead.includes(target)
      t.true(
        room === file.room || exception || allowed?.includes(room),
        `${file.path} imports ${target}`,
      )
    }
    return undefined
  })
}

const packageRooms: { readonly [name: string]: (file: SourceFile) => boolean } = {
  '@grpc/grpc-js': ({ room }) => room === 'wire',
  '@grpc/proto-loader': ({ room }) => room === 'wire',
  'protobufjs/minimal.js': ({ room }) => room === 'wire',
  '@redis/client': ({ room }) => room === 'state',
  '@opentelemetry/api': ({ room }) => room === 'observe',
  '@opentelemetry/core': ({ path }) => path === 'observe/trace-exporter.ts',
  '@opentelemetry/exporter-trace-otlp-http': ({ path }) => path === 'observe/trace-exporter.ts',
  '@opentelemetry/resources': ({ path }) => path === 'observe/trace-exporter.ts',
  '@opentelemetry/sdk-trace': ({ path }) => path === 'observe/trace-exporter.ts',
  'prom-client': ({ room }) => room === 'observe',
  jose: ({ path, room }) =>
    ['token/signature.ts', 'token/client-authentication.ts'].includes(path) || room === 'rehearsal',
  pkijs: ({ path }) => /^evidence\/trust[a-z-]*\.ts$/.test(path),
  birpc: ({ path }) => path === 'service/worker-calls.ts',
  'lru-cache': ({ room }) => room === 'text-cache',
  yaml: ({ path, room }) =>
    ['policy/document.ts', 'policy/manifest.ts'].includes(path) || room === 'rehearsal',
  zod: ({ room }) => room === 'policy' || room === 'rehearsal',
  leven: ({ room }) => room === 'policy',
  pino: ({ room }) => room === 'observe',
  commander: ({ room, path }) => room === 'cli' || path === 'main.ts',
}

test('packages are used only in the rooms that own them', (t) => {
  for (const file of files) {
    for (const name of file.packages)
      t.true(packageRooms[name]?.(file) ?? false, `${file.path} imports ${name}`)
  }
})

test('every runtime dependency is used and has its reason in docs/dependencies.md', (t) => {
  const root = join(source, '..')
  const { dependencies } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))
  const page = readFileSync(join(root, 'docs/dependencies.md'), 'utf8')
  const used = new Set(
    files.flatMap((file) =>
      file.packages.map((name) => name.replace(/^([^@/]+|@[^/]+\/[^/]+).*/, '$1')),
    ),
  )
  for (const name of Object.keys(dependencies)) {
    t.true(used.has(name), `${name} is not imported`)
    t.true(page.includes(`\`${name}\``), `${name} has no reason`)
  }
})

test('time comes from the process edge: no Date.now outside service and cli (architecture §4)', (t) => {
  for (const { path, room, text } of files) {
    if (!above.includes(room)) t.false(/\bDate\.now\b|new Date\(\)/.test(text), path)
  }
})

test('proofs are minted by their makers alone (architecture §5)', (t) => {
  const makers = {
    Presenter: 'evidence/presenter.ts',
    VerifiedToken: 'token/verify.ts',
    Confirmed: 'confirmation/confirm.ts',
    Unspent: 'confirmation/confirm.ts',
    Unprotected: 'policy/compile.ts',
    Waiver: 'policy/compile.ts',
    SpiffeId: 'evidence/spiffe-id.ts',
  }
  for (const [type, maker] of Object.entries(makers)) {
    const minting = files.filter(({ text }) =>
      new RegExp(`\\bas (?:unknown as )?${type}\\b`).test(text),
    )
    t.deepEqual(
      minting.map(({ path }) => path),
      [maker],
      type,
    )
  }
})

test('every file opens with a sentence that says its job, and stays under 250 lines; the median is near 100', (t) => {
  const lengths = files.map(({ path, text }) => {
    const lines = text.split('\n').length
    t.true(lines <= 250, `${path} has ${lines} lines`)
    t.regex(text, /^(?:#!.*\n)?\/\*\*/, path)
    return lines
  })
  const median = lengths.toSorted((a, b) => a - b)[Math.floor(lengths.length / 2)] ?? 0
  t.true(median <= 130, `the median is ${median}`)
})
