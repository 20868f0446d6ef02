import test from 'ava'
import { renderValues } from '../support/chart.ts'
import { canRunHelm, find, renderFailure } from '../support/helm.ts'

const withHelm = canRunHelm() ? test : test.skip

const secret = (data: object) => ({
  apiVersion: 'v1',
  kind: 'Secret',
  metadata: { name: 'extra' },
  stringData: data,
})

withHelm(
  'an object that is given as a map is rendered, with what is a template in it carried out',
  async (t) => {
    const object = secret({
      a: '{{ .Release.Name }}',
      b: 'no',
      c: '{{ include "meshbind.fullname" . }}',
    })
    const { objects } = await renderValues({ extraObjects: [object] }, { release: 'blue' })
    t.deepEqual(find(objects, 'Secret')['stringData'], { a: 'blue', b: 'no', c: 'blue-meshbind' })
  },
)

withHelm(
  'an object that is given as text is rendered likewise, and may have conditions',
  async (t) => {
    const text = [
      'apiVersion: v1',
      'kind: Secret',
      'metadata: { name: extra }',
      'stringData:',
      '  {{- if .Values.tls.enabled }}',
      '  a: "on"',
      '  {{- else }}',
      '  a: "off"',
      '  {{- end }}',
    ].join('\n')
    const { objects } = await renderValues({ extraObjects: [text] })
    t.deepEqual(find(objects, 'Secret')['stringData'], { a: 'off' })
  },
)

withHelm('several objects stay several', async (t) => {
  const extraObjects = ['one', 'two'].map((name) => ({ ...secret({}), metadata: { name } }))
  const { objects } = await renderValues({ extraObjects })
  t.is(find(objects, 'Secret', 'one').apiVersion, 'v1')
  t.is(find(objects, 'Secret', 'two').apiVersion, 'v1')
})

withHelm('what is neither map nor text is refused', async (t) => {
  const values = { image: { repository: 'registry.example/meshbind' }, extraObjects: [1] }
  t.regex(await renderFailure(values), /\/extraObjects\/0/)
})
