/** The rollout page as people meet it: in a real Chromium, without JavaScript, by keyboard, in the dark, on a phone. */

import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import anyTest, { type TestFn } from 'ava'
import type { Browser, Page } from 'puppeteer-core'
import { createRollout } from '../../src/observe/rollout.ts'
import { renderRolloutPage } from '../../src/observe/rollout-page.ts'
import { canRunBrowser, startBrowser } from '../support/browser.ts'
import { dayOf, observation, orders, start, thief } from '../support/rollout.ts'

const test = anyTest as TestFn<{ browser: Browser; directory: string; requests: string[] }>
const e2e = (await canRunBrowser()) ? test.serial : test.serial.skip

const evil = `<img src="http://evil.example/x"><script>document.title='owned'</script>`
const long = `spiffe://mesh.example/${'a-very-long-path/'.repeat(12)}`

/** A route of every verdict, hostile names, and names that are longer than a phone is wide. */
function renderSample(): string {
  const rollout = createRollout({ kind: 'log' })
  const withheld = { set: ['x-meshbind-presenter'], remove: ['authorization'] }
  const observations = [
    ...dayOf(300, { route: 'safe', withheld }),
    ...dayOf(300, { route: 'breaks' }),
    ...dayOf(3, { route: 'breaks', reason: 'binding_missing', presenter: long }),
    ...dayOf(2, { route: 'breaks', reason: 'binding_mismatch', presenter: thief }),
    ...dayOf(2, { route: 'breaks', reason: 'binding_rotated', presenter: orders }),
    ...dayOf(5, { route: 'breaks', method: 'none', presenter: evil, issuer: evil }),
    ...dayOf(3, { route: evil }),
    ...dayOf(3, { route: 'r'.repeat(60), mode: 'enforce', reason: 'workload_proof_replayed' }),
    ...dayOf(9, { route: 'health', method: 'none', issuer: null }),
    ...dayOf(9, { route: 'off', mode: 'disabled' }),
    ...dayOf(4, { route: null, mode: 'enforce', reason: 'route_unmatched' }),
    observation({ route: 'safe', revision: 'bbbbbbbbbbbbbbbb', time: start - 5 }),
  ]
  for (const one of observations) rollout.observe(one)
  return renderRolloutPage(rollout.report(), start)
}

test.before(async (t) => {
  if (!(await canRunBrowser())) return
  const directory = await mkdtemp(join(tmpdir(), 'meshbind-page-'))
  await writeFile(join(directory, 'report.html'), renderSample())
  t.context = { directory, browser: await startBrowser(), requests: [] }
})

test.after.always(async (t) => {
  await t.context.browser?.close()
  if (t.context.directory !== undefined)
    await rm(t.context.directory, { recursive: true, force: true })
})

interface View {
  readonly scheme?: 'light' | 'dark'
  readonly width?: number
}

/** The page's own scripts are off; what a test asks runs in a world of its own. */
async function open(
  { browser, directory, requests }: { browser: Browser; directory: string; requests: string[] },
  { scheme = 'light', width = 1100 }: View = {},
): Promise<Page> {
  const page = await browser.newPage()
  await page.setJavaScriptEnabled(false)
  await page.emulateMediaFeatures([{ name: 'prefers-color-scheme', value: scheme }])
  await page.setViewport({ width, height: 900 })
  page.on('request', (request) => requests.push(request.url()))
  await page.goto(pathToFileURL(join(directory, 'report.html')).href)
  return page
}

const ask = <T>(page: Page, script: string) => page.evaluate(script) as Promise<T>

e2e('the page is one request, and no name from the log becomes markup', async (t) => {
  t.context.requests.length = 0
  const page = await open(t.context)
  t.deepEqual(
    t.context.requests.map((url) => url.slice(-12)),
    ['/report.html'],
  )
  t.is(await page.title(), 'Rollout report – meshbind')
  t.is(await ask(page, `document.querySelectorAll('script, img, iframe, link').length`), 0)
  t.true(await ask(page, `document.body.innerText.includes('<script>')`))
  await page.close()
})

e2e('the policy of the page lets its own styles through, and nothing else', async (t) => {
  const page = await open(t.context)
  t.not(await ask(page, `getComputedStyle(document.body).backgroundColor`), 'rgba(0, 0, 0, 0)')
  const refused = `(() => {
    const style = document.createElement('style')
    style.textContent = 'body { background: rgb(1, 2, 3) !important }'
    document.head.append(style)
    return getComputedStyle(document.body).backgroundColor !== 'rgb(1, 2, 3)'
  })()`
  t.true(await ask(page, refused))
  await page.close()
})

e2e(
  'screen readers find landmarks, one first heading, and tables with captions and headers',
  async (t) => {
    for (const width of [1100, 360]) {
      const page = await open(t.context, { width })
      const counts = await ask<number[]>(
        page,
        `['main', 'body > header', 'body > footer', 'h1'].map((what) => document.querySelectorAll(what).length)`,
      )
      t.deepEqual(counts, [1, 1, 1, 1])
      const bare = `[...document.querySelectorAll('table')].filter((table) =>
      !table.caption?.textContent.trim() || !table.querySelector('thead th[scope=col]') ||
      !table.querySelector('tbody th[scope=row]')).length`
      t.is(await ask(page, bare), 0)
      const unnamed = `[...document.querySelectorAll('[aria-labelledby]')].filter((part) =>
      !document.getElementById(part.getAttribute('aria-labelledby'))).length`
      t.is(await ask(page, unnamed), 0)
      const tree = await page.accessibility.snapshot({ interestingOnly: false })
      const roles = JSON.stringify(tree)
      for (const role of ['main', 'table', 'columnheader', 'rowheader', 'cell'])
        t.true(roles.includes(`"role":"${role}"`), `${role} at ${width}`)
      await page.close()
    }
  },
)

e2e(
  'the keyboard reaches the skip link first, then each route, and the focus can be seen',
  async (t) => {
    const page = await open(t.context)
    const focused = `(() => {
    const at = document.activeElement
    const style = getComputedStyle(at)
    const box = at.getBoundingClientRect()
    return { to: at.getAttribute('href'), seen: style.outlineStyle !== 'none' && box.left >= 0 && box.width > 0 }
  })()`
    const routes = await ask<number>(page, `document.querySelectorAll('table a').length`)
    const reached: unknown[] = []
    for (let i = 0; i <= routes; i++) {
      await page.keyboard.press('Tab')
      reached.push(await ask(page, focused))
    }
    const links = Array.from({ length: routes }, (_, i) => `#route-${i}`)
    t.deepEqual(
      reached,
      ['#routes', ...links].map((to) => ({ to, seen: true })),
    )
    await page.keyboard.press('Enter')
    t.is(await ask(page, `document.activeElement.id`), `route-${routes - 1}`)
    await page.close()
  },
)

e2e(
  'the page follows the light or dark setting, and every text has contrast (WCAG 2.2, 1.4.3)',
  async (t) => {
    const backgrounds: unknown[] = []
    for (const scheme of ['light', 'dark'] as const) {
      const page = await open(t.context, { scheme })
      backgrounds.push(await ask(page, `getComputedStyle(document.body).backgroundColor`))
      const poor = `(() => {
      const channels = (text) => text.match(/[0-9.]+/g).map(Number)
      const luminance = (color) => {
        const [r, g, b] = channels(color).slice(0, 3).map((value) => value / 255)
          .map((value) => value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4)
        return 0.2126 * r + 0.7152 * g + 0.0722 * b
      }
      const behind = (element) => {
        for (let at = element; at; at = at.parentElement) {
          const color = getComputedStyle(at).backgroundColor
          if (channels(color)[3] !== 0) return color
        }
        throw new Error('no background')
      }
      const texts = [...document.body.querySelectorAll('*')].filter((element) =>
        [...element.childNodes].some((node) => node.nodeType === 3 && node.data.trim()))
      const found = texts.map((element) => {
        const [a, b] = [luminance(getComputedStyle(element).color), luminance(behind(element))]
        return [(Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05), element.outerHTML.slice(0, 80)]
      })
      return { texts: found.length, poor: found.filter(([ratio]) => ratio < 4.5) }
    })()`
      const result = await ask<{ texts: number; poor: unknown[] }>(page, poor)
      t.true(result.texts > 100)
      t.deepEqual(result.poor, [], scheme)
      await page.close()
    }
    t.is(new Set(backgrounds).size, 2)
  },
)

for (const width of [320, 360, 720, 961, 1100]) {
  e2e(`nothing scrolls sideways at ${width} pixels (WCAG 2.2, 1.4.10)`, async (t) => {
    const page = await open(t.context, { width })
    t.true((await ask<number>(page, `document.documentElement.scrollWidth`)) <= width)
    const cut = `[...document.querySelectorAll('main *')].filter((element) =>
      !element.closest('thead') && element.getBoundingClientRect().right > innerWidth + 1).length`
    t.is(await ask(page, cut), 0)
    await page.close()
  })
}
