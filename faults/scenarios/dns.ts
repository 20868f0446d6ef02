/** The key server's name cannot be resolved, or resolves to the cloud's metadata address (F18). */

import { spawnSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { claim, type Scenario } from '../scenario.ts'
import { askWithUnknownKey } from './keys.ts'

const name = 'keys.mesh.test'
const metadataAddress = '169.254.169.254'

const hosts = (address: string) => `127.0.0.1 localhost\n${address} ${name}\n`

const dns: Scenario = {
  ...{ name: 'dns', covers: ['F18'], short: false, recoverySeconds: 12, soundDuring: 0.999 },
  title: 'the key server’s name leads nowhere, then to 169.254.169.254',
  without: 'a resolver: a hosts file of meshbind’s own, in a mount namespace, answers',
  rig: {
    keysName: name,
    under(directory) {
      const file = join(directory, 'hosts')
      writeFileSync(file, hosts('127.0.0.1'))
      const mount = `mount --bind ${file} /etc/hosts && exec "$@"`
      return ['unshare', '--mount', 'sh', '-c', mount, 'sh']
    },
  },
  impossible() {
    const { status } = spawnSync('unshare', ['--mount', 'true'])
    return status === 0 ? undefined : 'no mount namespace can be made (unshare, as root)'
  },
  async fault(stage) {
    const { rig } = stage
    const [service] = rig.services
    const told = () =>
      JSON.stringify(service?.messages().filter((line) => JSON.stringify(line).includes('corp')))
    const seen: string[] = []
    for (const text of ['127.0.0.1 localhost\n', hosts(metadataAddress)]) {
      const before = told().length
      writeFileSync(join(rig.directory, 'hosts'), text)
      const until = performance.now() + 12_000
      while (performance.now() < until) {
        await askWithUnknownKey(stage)
        await sleep(200)
      }
      seen.push(told().slice(before))
    }
    writeFileSync(join(rig.directory, 'hosts'), hosts('127.0.0.1'))
    const [nowhere = '', metadata = ''] = seen
    const short = (text: string) =>
      (/"(?:error|problem)":"([^"]*)"/.exec(text)?.[1] ?? text).slice(0, 120)
    return [
      claim('the failure to resolve is told', /ENOTFOUND|EAI_AGAIN/.test(nowhere), short(nowhere)),
      claim(
        'the metadata address is no address for it',
        /no address that may be used|link-local/.test(metadata),
        short(metadata),
      ),
    ]
  },
}

export const dnsScenarios = [dns]
