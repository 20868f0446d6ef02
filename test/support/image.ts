/** The Dockerfile carried out without an engine: its own copies and commands, in a directory for each stage. */

import { execFile } from 'node:child_process'
import { cp, mkdir, readFile } from 'node:fs/promises'
import { basename, delimiter, dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'

const run = promisify(execFile)
const context = fileURLToPath(new URL('../..', import.meta.url))

type Texts = { readonly [name: string]: string }

export interface Instruction {
  readonly keyword: string
  readonly flags: Texts
  readonly text: string
}

export interface Stage {
  readonly name: string
  /** As it is written: with the names of arguments. */
  readonly base: string
  readonly instructions: readonly Instruction[]
}

export interface Dockerfile {
  /** Arguments before the first FROM, with their defaults. */
  readonly defaults: Texts
  readonly stages: readonly Stage[]
}

export interface Image {
  /** The root of the last stage, without what its base would bring. */
  readonly root: string
  readonly workdir: string
  readonly user: string
  readonly entrypoint: readonly string[]
  readonly command: readonly string[]
  readonly environment: Texts
  readonly labels: Texts
  readonly ports: readonly string[]
}

export async function readDockerfile(): Promise<Dockerfile> {
  const text = await readFile(join(context, 'Dockerfile'), 'utf8')
  const lines = text.replace(/^\s*#.*\n/gm, '').replace(/\\\n/g, ' ')
  const all = lines.split('\n').filter((line) => line.trim() !== '')
  const instructions = all.map(parseInstruction)
  const first = instructions.findIndex(({ keyword }) => keyword === 'FROM')
  const starts = instructions.flatMap(({ keyword }, index) => (keyword === 'FROM' ? [index] : []))
  const stages = starts.map((start, number): Stage => {
    const [from, ...rest] = instructions.slice(start, starts[number + 1])
    const [base = '', , name = `${number}`] = from?.text.split(/\s+/) ?? []
    return { name, base, instructions: rest }
  })
  const defaults = Object.assign({}, ...instructions.slice(0, first).map(assignment))
  return { defaults, stages }
}

/** Everything in .dockerignore that is let through: each a file or a directory of the context. */
export async function readContextNames(): Promise<readonly string[]> {
  const text = await readFile(join(context, '.dockerignore'), 'utf8')
  const [all, ...names] = text.split('\n').filter((line) => line !== '' && !line.startsWith('#'))
  if (all !== '*' || !names.every((name) => /^![\w.-]+$/.test(name)))
    throw new Error('.dockerignore is no list of names that `*` leaves out and `!` lets in')
  return names.map((name) => name.slice(1))
}

/** Stages that need nothing of each other are made at the same time, as BuildKit does. */
export async function makeImage(directory: string, given: Texts): Promise<Image> {
  const { defaults, stages } = await readDockerfile()
  const names = await readContextNames()
  const made = new Map<string, Promise<Image>>()
  for (const stage of stages) {
    const rootOf = async (name: string) => (await made.get(name))?.root ?? unknown('stage', name)
    const place = { root: join(directory, stage.name), names, rootOf }
    const work = makeStage(stage, place, { ...defaults, ...given })
    work.catch(() => {}) // told of by the last stage, or by whoever waits for this one
    made.set(stage.name, work)
  }
  await Promise.all(made.values())
  return (await made.get(stages.at(-1)?.name ?? '')) ?? unknown('stage', 'the last')
}

interface Place {
  readonly root: string
  /** What the engine would be sent. */
  readonly names: readonly string[]
  rootOf(stage: string): Promise<string>
}

async function makeStage(stage: Stage, place: Place, given: Texts): Promise<Image> {
  const { root } = place
  let image: Image = {
    ...{ root, workdir: '/', user: '', entrypoint: [], command: [] },
    ...nothing,
  }
  let values: Texts = {}
  for (const instruction of stage.instructions) {
    const { keyword, flags } = instruction
    const text = keyword === 'RUN' ? instruction.text : substitute(instruction.text, values)
    if (keyword === 'ARG') {
      const [name, value] = Object.entries(assignment(instruction))[0] ?? []
      values = { ...values, [name ?? '']: given[name ?? ''] ?? value ?? '' }
    } else if (keyword === 'WORKDIR') {
      image = { ...image, workdir: text }
      await mkdir(join(root, text), { recursive: true })
    } else if (keyword === 'COPY') await copy(text, flags, image, place)
    else if (keyword === 'RUN') await runCommand(text, join(root, image.workdir), values)
    else image = { ...image, ...setting(keyword, text, image) }
  }
  return image
}

const nothing = { environment: {}, labels: {}, ports: [] }

function setting(keyword: string, text: string, image: Image): Partial<Image> {
  if (keyword === 'USER') return { user: text }
  if (keyword === 'ENTRYPOINT') return { entrypoint: JSON.parse(text) }
  if (keyword === 'CMD') return { command: JSON.parse(text) }
  if (keyword === 'EXPOSE') return { ports: text.split(/\s+/) }
  if (keyword === 'LABEL') return { labels: { ...image.labels, ...pairs(text) } }
  if (keyword === 'ENV') return { environment: { ...image.environment, ...pairs(text) } }
  // An instruction that is not carried out here would make this a proof of something else.
  return unknown('instruction', keyword)
}

async function copy(text: string, flags: Texts, image: Image, place: Place): Promise<void> {
  const words = text.split(/\s+/)
  const target = words.pop() ?? ''
  const from = flags['from']
  for (const word of words) {
    const name = word.replace(/^\.\//, '')
    if (from === undefined && !place.names.includes(name)) unknown('file in the context', name)
    const source = join(from === undefined ? context : await place.rootOf(from), name)
    const destination = join(place.root, image.workdir, target)
    const path = target.endsWith('/') ? join(destination, basename(name)) : destination
    await mkdir(dirname(path), { recursive: true })
    await cp(source, path, { recursive: true, verbatimSymlinks: true })
  }
}

/** With the machine's own files around it: so a command may name no path but below where it stands. */
async function runCommand(command: string, cwd: string, values: Texts): Promise<void> {
  if (/[\s=>]\/|\.\.\//.test(command)) throw new Error(`RUN with a path outside: ${command}`)
  const foreign =
    /^(npm_(?!config_)|npm_config_(local_|global_)?prefix$|INIT_CWD$|NODE_(?!EXTRA_CA_CERTS))/i
  const own = Object.entries(process.env).filter(([name]) => !foreign.test(name))
  const directories = (process.env['PATH'] ?? '').split(delimiter)
  const path = directories.filter((name) => !name.includes('node_modules')).join(delimiter)
  const env = {
    ...Object.fromEntries(own),
    ...values,
    PATH: [dirname(process.execPath), path].join(delimiter),
    npm_config_prefer_offline: 'true',
    npm_config_loglevel: 'error',
    npm_config_update_notifier: 'false',
  }
  await run('sh', ['-c', command], { cwd, env, maxBuffer: 64 * 1024 * 1024 }).catch((error) => {
    throw new Error(`RUN ${command}\n${error.stdout}${error.stderr}`)
  })
}

function parseInstruction(line: string): Instruction {
  const [, keyword = '', flagText = '', text = ''] =
    /^(\w+)\s+((?:--\S+\s+)*)(.*?)\s*$/.exec(line) ?? unknown('line', line)
  const flags = [...flagText.matchAll(/--([\w-]+)=(\S+)/g)].map(([, name, value]) => [name, value])
  return { keyword, flags: Object.fromEntries(flags), text }
}

function assignment({ text }: Instruction): Texts {
  const [, name = '', value] = /^(\w+)(?:=(.*))?$/.exec(text) ?? unknown('ARG', text)
  return value === undefined ? { [name]: '' } : { [name]: value }
}

function pairs(text: string): Texts {
  const all = text.matchAll(/([\w.]+)=(?:"([^"]*)"|(\S*))/g)
  return Object.fromEntries([...all].map(([, name, quoted, plain]) => [name, quoted ?? plain]))
}

function substitute(text: string, values: Texts): string {
  return text.replace(/\$\{(\w+)\}/g, (_, name) => values[name] ?? unknown('argument', name))
}

function unknown(what: string, which: string): never {
  throw new Error(`${what} is not known to this test: ${which}`)
}
