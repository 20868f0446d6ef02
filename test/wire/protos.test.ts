import { fileURLToPath } from 'node:url'
import { loadSync, type PackageDefinition } from '@grpc/proto-loader'
import test from 'ava'
import { upstream } from '../support/check-request.ts'

const protos = fileURLToPath(new URL('../../protos', import.meta.url))
const ours = loadSync('envoy/service/auth/v3/external_auth.proto', {
  includeDirs: [protos],
  keepCase: true,
})

interface Field {
  readonly name: string
  readonly number: number
  readonly label: string
  readonly type: string
  readonly typeName: string
}

/** A descriptor as proto-loader gives it: messages have fields and messages inside them, enums have values. */
interface Descriptor {
  readonly name: string
  readonly field?: readonly Field[]
  readonly nestedType?: readonly Descriptor[]
  readonly value?: readonly { readonly name: string; readonly number: number }[]
}

/** Every message and enum by its full name, those inside others included. */
function descriptorsOf(definition: PackageDefinition): ReadonlyMap<string, Descriptor> {
  const found = new Map<string, Descriptor>()
  const add = (name: string, descriptor: Descriptor) => {
    found.set(name, descriptor)
    for (const nested of descriptor.nestedType ?? []) add(`${name}.${nested.name}`, nested)
  }
  for (const [name, value] of Object.entries(definition)) {
    if ('format' in value) add(name, value.type as Descriptor)
  }
  return found
}

/** Type names are compared by their last part: how much of the path is written depends on the loader. */
const describe = ({ name, number, label, type, typeName }: Field) =>
  `${name} = ${number}: ${label} ${type} ${typeName?.split('.').at(-1) ?? ''}`

for (const [name, descriptor] of descriptorsOf(ours)) {
  test(`protos/: ${name} has upstream’s field names, numbers, types and cardinalities`, (t) => {
    const theirs = descriptorsOf(upstream).get(name)
    t.truthy(theirs, `upstream has no ${name}`)
    const fields = new Set(theirs?.field?.map(describe))
    for (const field of descriptor.field ?? []) t.true(fields.has(describe(field)), describe(field))
    const values = new Map(theirs?.value?.map((value) => [value.name, value.number]))
    for (const value of descriptor.value ?? [])
      t.is(values.get(value.name), value.number, value.name)
    t.true((descriptor.field?.length ?? 0) + (descriptor.value?.length ?? 0) > 0)
  })
}

test('protos/: the Check method has upstream’s path', (t) => {
  const pathOf = (definition: PackageDefinition) =>
    (definition['envoy.service.auth.v3.Authorization'] as unknown as { Check: { path: string } })
      .Check.path
  t.is(pathOf(ours), '/envoy.service.auth.v3.Authorization/Check')
  t.is(pathOf(ours), pathOf(upstream))
})

test('protos/: the subset covers every message that the service needs', (t) => {
  const names = [...descriptorsOf(ours).keys()]
  for (const name of [
    'CheckRequest',
    'AttributeContext.Peer',
    'AttributeContext.HttpRequest',
    'CheckResponse',
    'OkHttpResponse',
    'DeniedHttpResponse',
  ]) {
    t.true(names.includes(`envoy.service.auth.v3.${name}`), name)
  }
})

test('protos/: what upstream encodes, our definitions decode, and the other way round', (t) => {
  type Codec = Record<'requestSerialize' | 'responseSerialize', (value: object) => Buffer> &
    Record<'requestDeserialize' | 'responseDeserialize', (bytes: Buffer) => object>
  const codecOf = (definition: PackageDefinition) =>
    (definition['envoy.service.auth.v3.Authorization'] as unknown as { Check: Codec }).Check
  const question = {
    attributes: {
      source: { principal: 'spiffe://mesh.example/a', certificate: 'PEM' },
      request: { http: { id: '7', method: 'GET', path: '/x', host: 'h', headers: { a: 'b' } } },
      context_extensions: { tier: 'high' },
    },
  }
  t.like(codecOf(ours).requestDeserialize(codecOf(upstream).requestSerialize(question)), question)
  const answer = {
    status: { code: 16, message: '' },
    denied_response: {
      status: { code: 'Unauthorized' },
      body: 'no',
      headers: [{ header: { key: 'a', value: 'b' } }],
    },
  }
  t.like(codecOf(upstream).responseDeserialize(codecOf(ours).responseSerialize(answer)), answer)
})
