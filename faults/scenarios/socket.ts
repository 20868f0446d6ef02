/** The Unix socket that Envoy asks over is removed, and left behind stale (F9); Envoy itself is restarted (F19). */

import { existsSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import { claim, type Scenario } from '../scenario.ts'

const socket: Scenario = {
  ...{ name: 'socket', covers: ['F9'], short: false, recoverySeconds: 3 },
  title: 'the socket file is removed; then a killed process leaves a stale one behind',
  without: 'changed permissions: the rig may run as root, whom they do not bind',
  async fault({ rig, many }) {
    const path = rig.sockets[0] ?? ''
    await rm(path)
    await sleep(many(1000, 5000))
    rig.services[0]?.kill('SIGKILL')
    await rig.services[0]?.exited
    await rig.startService(0)
    await sleep(many(1000, 5000))
    const recreated = existsSync(path)
    rig.services[0]?.kill('SIGKILL')
    await rig.services[0]?.exited
    const stale = existsSync(path)
    await rig.startService(0)
    return [
      claim('a new process makes the socket anew', recreated, recreated ? 'it is there' : 'gone'),
      claim('a new process starts over a stale socket', stale, stale ? 'there was one' : 'none'),
    ]
  },
}

const envoy: Scenario = {
  ...{ name: 'envoy-restart', covers: ['F19'], short: true, recoverySeconds: 3 },
  breaksConnections: true,
  title: 'Envoy is ended and started again under load',
  without: 'hot restart, and two versions of Envoy: one is pinned here',
  async fault({ rig, many }) {
    const before = rig.services[0]?.openFiles() ?? 0
    for (let n = 0; n < many(1, 5); n++) {
      await rig.stopEnvoy()
      await sleep(500)
      await rig.restartEnvoy()
      await sleep(many(500, 3000))
    }
    const after = rig.services[0]?.openFiles() ?? 0
    const text = `${before} → ${after} open files`
    return [claim('connections of the Envoy that went are closed', after <= before + 4, text)]
  },
}

export const socketScenarios = [socket, envoy]
