import { execFile } from 'node:child_process'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import test from 'ava'

const main = fileURLToPath(new URL('../../src/main.ts', import.meta.url))
const directory = await mkdtemp(join(tmpdir(), 'meshbind-limits-'))
test.after.always(() => rm(directory, { recursive: true, force: true }))

/** No measure of speed: what takes this long for a file within its bounds does not end for an operator. */
const hangsAfterMs = 90_000

async function validate(name: string, text: string): Promise<string> {
  const path = join(directory, name)
  await writeFile(path, text)
  const options = {
    timeout: hangsAfterMs,
    killSignal: 'SIGKILL' as const,
    maxBuffer: 64 * 1024 * 1024,
  }
  return new Promise((resolve) => {
    execFile(process.execPath, [main, 'policy', 'validate', path], options, (error, stdout) => {
      resolve(
        error?.killed ? 'did not end' : `exit ${error?.code ?? 0} ${stdout.split('\n').at(-2)}`,
      )
    })
  })
}

const files: { readonly [name: string]: string } = {
  'a megabyte of blank lines': '\n'.repeat(1024 * 1024),
  'a megabyte of spaces': ' '.repeat(1024 * 1024),
  'a megabyte of unknown keys': Array.from({ length: 80_000 }, (_, i) => `key${i}: 1\n`).join(''),
  'a megabyte of open brackets': '['.repeat(1024 * 1024 - 1),
  'a megabyte of one name': `a: ${'x'.repeat(1024 * 1024 - 10)}\n`,
}
for (const [name, text] of Object.entries(files)) {
  test.serial(`M218: ${name} is refused, the command ends`, async (t) => {
    t.regex(await validate(name.replaceAll(' ', '-'), text), /^exit 2 INVALID {2}/)
  })
}
