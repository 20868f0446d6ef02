/** M232: a first policy that is broken. There is nothing to answer by, so nothing is started that could answer (contract §1). */

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test from 'ava'
import { listens, runCommand } from '../support/meshbind.ts'
import { basePolicy } from '../support/world.ts'

const broken = {
  'that is empty': '',
  'that is cut off': basePolicy.slice(0, 700),
  'with an issuer that is not there': basePolicy.replaceAll('issuers: [corp]', 'issuers: [crop]'),
  'with a key that is not known': basePolicy.replace('audiences:', 'audience:'),
}
for (const [what, text] of Object.entries(broken)) {
  test(`M232: a first policy ${what} ends the start: no socket, no answer`, async (t) => {
    const directory = mkdtempSync(join(tmpdir(), 'meshbind-start-'))
    t.teardown(() => rmSync(directory, { recursive: true, force: true }))
    const socket = join(directory, 'authz.sock')
    writeFileSync(join(directory, 'policy.yaml'), text)
    const policy = join(directory, 'policy.yaml')
    const listen = `unix:${socket}`
    const run = ['serve', '--policy', policy, '--listen', listen, '--admin', 'off']
    const { code, output } = await runCommand(run)
    t.is(code, 2, output)
    t.false(await listens(socket))
  })
}
