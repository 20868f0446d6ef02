/** A real browser for the pages: Chromium, found in this order: CHROMIUM_BIN, then the usual names on PATH. */

import { constants } from 'node:fs'
import { access } from 'node:fs/promises'
import { delimiter, join } from 'node:path'
import { type Browser, launch } from 'puppeteer-core'

const names = ['chromium', 'chromium-browser', 'google-chrome']

/** Throws an error that names the ways to have one. */
async function findBrowser(): Promise<string> {
  const given = process.env['CHROMIUM_BIN']
  if (given !== undefined && given !== '') {
    await access(given, constants.X_OK).catch(() => {
      throw new Error(`CHROMIUM_BIN=${given} cannot be run`)
    })
    return given
  }
  for (const directory of (process.env['PATH'] ?? '').split(delimiter)) {
    for (const name of names) {
      const path = join(directory, name)
      const usable = await access(path, constants.X_OK).then(
        () => true,
        () => false,
      )
      if (directory !== '' && usable) return path
    }
  }
  throw new Error(`no browser: set CHROMIUM_BIN, or have one of ${names.join(', ')} on PATH`)
}

/** Without the browser's own sandbox, which containers often forbid: the pages are the tests' own and have no script. */
export async function startBrowser(): Promise<Browser> {
  return launch({
    executablePath: await findBrowser(),
    args: ['--no-sandbox', '--disable-dev-shm-usage'],
    timeout: 60_000,
    protocolTimeout: 60_000,
  })
}

/** Whether the tests in a browser can run. Under CI=true the want of a browser is a failure, never a skip. */
export async function canRunBrowser(): Promise<boolean> {
  try {
    await findBrowser()
    return true
  } catch (error) {
    if (process.env['CI'] === 'true') throw error
    process.stderr.write(`SKIPPED: ${error instanceof Error ? error.message : error}\n`)
    return false
  }
}
