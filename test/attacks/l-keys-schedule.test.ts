import test from 'ava'
import type { FetchedDocument } from '../../src/token/fetch.ts'
import { createKeySource } from '../../src/token/key-source.ts'
import { createTestIssuer } from '../support/issuer.ts'

const corp = await createTestIssuer()
const bytes = Buffer.from(JSON.stringify(corp.jwks))

/** The seconds until the next read that a source asks for; the timer itself never runs. */
async function nextRead(
  load: () => Promise<FetchedDocument>,
  refreshSeconds = 300,
  afterwards: (close: () => void) => void = (close) => close(),
): Promise<number[]> {
  const original = globalThis.setTimeout
  const seconds: number[] = []
  const recorder = (_callback: () => void, ms: number) => {
    seconds.push(ms / 1000)
    return original(() => {}, 0)
  }
  Object.assign(globalThis, { setTimeout: recorder })
  try {
    const source = createKeySource({ load, algorithms: ['ES256'], clock: () => 0, refreshSeconds })
    afterwards(() => source.close())
    await source.tried
    source.close()
  } finally {
    Object.assign(globalThis, { setTimeout: original })
  }
  return seconds.filter((wait) => wait !== readLimitSeconds)
}

/** Every read has a limit of its own beside the wait for the next. */
const readLimitSeconds = 15

const keep = () => {}
const withMaxAge = (maxAgeSeconds: number | undefined) => async () => ({ bytes, maxAgeSeconds })

test.serial(
  'L214: max-age is taken between one and ten minutes, whatever the server says',
  async (t) => {
    const cases = [
      [0, 60],
      [1, 60],
      [60, 60],
      [61, 61],
      [300, 300],
      [600, 600],
      [601, 600],
      [10 * 365 * 86_400, 600],
      [9_999_999_999, 600],
      [undefined, 300],
    ] as const
    for (const [maxAge, expected] of cases)
      t.deepEqual(await nextRead(withMaxAge(maxAge), 300, keep), [expected], String(maxAge))
  },
)

test.serial('L205: a read that failed is tried again after 10 s, a file’s after 3 s', async (t) => {
  const down = async () => Promise.reject(new Error('down'))
  const empty = async () => ({ bytes: Buffer.from('{"keys":[]}'), maxAgeSeconds: 600 })
  for (const load of [down, empty]) {
    t.deepEqual(await nextRead(load, 300, keep), [10])
    t.deepEqual(await nextRead(load, 3, keep), [3])
  }
  t.deepEqual(await nextRead(withMaxAge(undefined), 3, keep), [3])
})

test.serial('L206: a source that was closed while it read asks for no other read', async (t) => {
  t.deepEqual(await nextRead(withMaxAge(60), 300, (close) => close()), [])
})

test.serial(
  'L206: a read that never ends has failed at its limit, and the next one is made',
  async (t) => {
    const original = globalThis.setTimeout
    const atOnce = (callback: () => void, ms: number) =>
      original(callback, ms === readLimitSeconds * 1000 ? 0 : ms)
    Object.assign(globalThis, { setTimeout: atOnce })
    const awake = setInterval(() => {}, 1000) // the limit’s timer keeps no process alive
    const results: string[] = []
    let loads = 0
    try {
      const source = createKeySource({
        load: () => (loads++ === 0 ? new Promise(() => {}) : Promise.resolve({ bytes })),
        algorithms: ['ES256'],
        clock: () => 0,
        refreshSeconds: 300,
        onFetch: (result) => results.push(result),
      })
      t.teardown(() => source.close())
      await source.tried
      await source.refresh()
    } finally {
      clearInterval(awake)
      Object.assign(globalThis, { setTimeout: original })
    }
    t.deepEqual(results, ['failed', 'ok'])
  },
)
